"""Roles for a while and others' approval: asked for, decided, listed, taken to a gateway."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Self

from framegate.access.policy import Decision
from framegate.access.verbs import FLEET_WIDE, find_verb
from framegate.errors import Malformed, Reason
from framegate.identity.names import parse_name
from framegate.machines.request import RequestKind, RequestState
from framegate.registry.request import AccessRequest
from framegate_controller.events.notices import AccessChanged
from framegate_controller.people.approvals import find_approved, sign_approvals
from framegate_controller.people.approvers import OPEN, approvers
from framegate_controller.people.authority import Aim
from framegate_controller.people.operators import quorum
from framegate_controller.people.requests import (
    Asked,
    AskedRole,
    Word,
    as_of_now,
    ask,
    ask_role,
    decide,
)
from framegate_controller.store.ports import Transaction
from framegate_controller.verbs.verb import MAX_REASON, Call, Outcome, Verb
from framegate_proto.v1 import framegate_pb2 as pb

MAX_ROWS: Final = 500
DIGEST_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class RequestView:
    """A request, and how many people's word it still needs."""

    request: AccessRequest
    needed: int


@dataclass(frozen=True, slots=True)
class Requests:
    """Requests, and how many people a decision takes."""

    views: tuple[RequestView, ...]
    quorum: int


def _view(tx: Transaction, call: Call, request: AccessRequest) -> RequestView:
    if request.state != RequestState.PENDING:
        return RequestView(request, 0)
    if request.kind == RequestKind.REVIEW:
        return RequestView(request, 1)
    agree = len(approvers(tx, request, call.people.authority.policy(tx)))
    return RequestView(request, max(0, quorum(tx) - 1 - agree))


@dataclass(frozen=True, slots=True)
class RequestRole(Verb[RequestView]):
    """Ask for a role for a while."""

    role: str
    zone: str
    minutes: int
    why: str

    WRITES: ClassVar[bool] = True

    @classmethod
    def parse(cls, request: pb.RoleRequest) -> Self:
        """Raises Malformed."""
        zone = request.zone or FLEET_WIDE
        where = zone if zone == FLEET_WIDE else parse_name(zone, "zone")
        return cls(request.role, where, request.minutes, request.reason[:MAX_REASON])

    @property
    def reason(self) -> str:
        """See `Verb.reason`."""
        return self.why

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        return Aim("access.request")

    def run(self, tx: Transaction, call: Call) -> Outcome[RequestView]:
        """See `Verb.run`. Raises Malformed, Refused."""
        asked = AskedRole(
            requester=call.caller.name,
            role=self.role,
            zone=self.zone,
            minutes=self.minutes,
            reason=self.why,
        )
        request = ask_role(tx, asked, call.people.authority.policy(tx))
        return Outcome(_view(tx, call, request), (AccessChanged(),))


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestVerb(Verb[RequestView]):
    """Ask for others' approval of an act at a gateway."""

    verb: str
    zone: str
    target: str
    content_sha256: bytes
    summary: str
    why: str

    WRITES: ClassVar[bool] = True

    @classmethod
    def parse(cls, request: pb.VerbRequest) -> Self:
        """Raises Malformed."""
        if not find_verb(request.verb).two_person or len(request.content_sha256) != DIGEST_BYTES:
            expected = f"a verb that takes two, and a digest of {DIGEST_BYTES} bytes"
            raise Malformed.of(Reason.USAGE, expected, ascii(request.verb[:60]))
        return cls(
            verb=request.verb,
            zone=parse_name(request.zone, "zone"),
            target=request.target,
            content_sha256=request.content_sha256,
            summary=request.summary,
            why=request.reason[:MAX_REASON],
        )

    @property
    def reason(self) -> str:
        """See `Verb.reason`."""
        return self.why

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        return Aim("access.request")

    def run(self, tx: Transaction, call: Call) -> Outcome[RequestView]:
        """See `Verb.run`. Raises Refused."""
        asked = Asked(
            requester=call.caller.name,
            zone=self.zone,
            summary=self.summary,
            reason=self.why,
            verb=self.verb,
            target=self.target,
            content_sha256=self.content_sha256,
        )
        return Outcome(_view(tx, call, ask(tx, asked, call.people.authority.policy(tx))))


@dataclass(frozen=True, slots=True)
class DecideAccess(Verb[RequestView]):
    """Approve or deny; never one's own."""

    id: str
    approve: bool
    why: str

    @classmethod
    def parse(cls, request: pb.DecideRequest) -> Self:
        """Whatever is said."""
        return cls(request.id, request.approve, request.reason[:MAX_REASON])

    @property
    def reason(self) -> str:
        """See `Verb.reason`."""
        return self.why

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        request = tx.requests.find(self.id)
        word = "approve" if self.approve else "deny"
        summary = f"{word} {request.id}: {request.summary}"
        return Aim("access.approve", request.zone, request.about, summary)

    def run(self, tx: Transaction, call: Call) -> Outcome[RequestView]:
        """See `Verb.run`. Raises Refused (CONFLICT, POLICY_DENIED)."""
        word = Word(approver=call.caller.name, approve=self.approve, remark=self.why)
        policy = call.people.authority.policy(tx)
        decided = decide(tx, tx.requests.find(self.id), word, policy)
        return Outcome(_view(tx, call, decided), (AccessChanged(),))


@dataclass(frozen=True, slots=True)
class ListAccess(Verb[Requests]):
    """Requests that wait, and roles that run; with `past` also what was."""

    past: bool

    @classmethod
    def parse(cls, request: pb.ListAccessRequest) -> Self:
        """Whatever is asked for."""
        return cls(request.all)

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        return Aim("access.list")

    def run(self, tx: Transaction, call: Call) -> Outcome[Requests]:
        """See `Verb.run`. Whatever the caller asked for themselves is theirs to see."""
        requests = tx.requests.latest(MAX_ROWS) if self.past else tx.requests.in_state(OPEN)
        now = [as_of_now(tx, r) for r in requests]
        told = [r for r in now if self.past or _lives(r, tx.now_ms)][:MAX_ROWS]
        seen = [r for r in told if call.sees(r.zone) or r.requester == call.caller.name]
        return Outcome(Requests(tuple(_view(tx, call, r) for r in seen), quorum(tx)))


def _lives(request: AccessRequest, now_ms: int) -> bool:
    """Whether it waits, or was approved and is not over."""
    if request.state == RequestState.APPROVED:
        return request.kind != RequestKind.ROLE or request.until_ms > now_ms
    return request.state == RequestState.PENDING


@dataclass(frozen=True, slots=True)
class TakeApproval(Verb[tuple[bytes, ...]]):
    """The approval of one's own act at gateways of one zone, signed for each; spent by this."""

    verb: str
    content_sha256: bytes
    gateways: tuple[str, ...]

    WRITES: ClassVar[bool] = True

    @classmethod
    def parse(cls, request: pb.TakeApprovalRequest) -> Self:
        """Whatever is asked for."""
        return cls(request.verb, request.content_sha256, tuple(request.gateways))

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        return Aim("access.take")

    def run(self, tx: Transaction, call: Call) -> Outcome[tuple[bytes, ...]]:
        """See `Verb.run`. Raises Malformed, Refused (NOT_FOUND, APPROVAL_NEEDED)."""
        name, policy = call.caller.name, call.people.authority.policy(tx)
        request, people = find_approved(tx, name, self.verb, self.content_sha256, policy)
        return Outcome(sign_approvals(tx, call.fleet.keys, request, people, self.gateways))


@dataclass(frozen=True, slots=True)
class Opinion:
    """What the policy would say, and which one, in words."""

    decision: Decision
    policy: str


@dataclass(frozen=True, slots=True)
class CanI(Verb[Opinion]):
    """What the policy would say now to the caller.

    Asks nothing of anybody and records nothing but that it was asked.
    """

    verb: str
    zone: str
    target: str

    @classmethod
    def parse(cls, request: pb.CanIRequest) -> Self:
        """Raises Malformed where there is no such verb."""
        return cls(find_verb(request.verb).name, request.zone, request.target)

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        return Aim("auth.show")

    def run(self, tx: Transaction, call: Call) -> Outcome[Opinion]:
        """See `Verb.run`. The first zone that allows it, else what the first one says."""
        authority, caller = call.people.authority, call.caller
        policy, aim = authority.policy(tx), Aim(self.verb, target=self.target)
        wide = caller.zones_asked(find_verb(self.verb), FLEET_WIDE)
        zones = (self.zone,) if self.zone else wide
        said = [policy.decide(authority.question(tx, caller, aim, z, 0)) for z in zones]
        best = next((d for d in said if d.allow), said[0])
        return Outcome(Opinion(best, policy.label))
