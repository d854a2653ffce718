"""Roles for a while and others' approval: asked for, decided, listed, taken to a gateway."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Self

from framegate.access.approvals import Content
from framegate.access.decision import Decision
from framegate.access.verbs import FLEET_WIDE, find_verb
from framegate.errors import Malformed, Reason, Refused
from framegate.identity.names import parse_name, split_device_id
from framegate.machines.request import RequestKind, RequestState
from framegate.registry.request import AccessRequest
from framegate_controller.events.notices import AccessChanged
from framegate_controller.people.approvals import MAX_GATEWAYS, find_approved, sign_approvals
from framegate_controller.people.approvers import OPEN, approvers, gateways_text
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
from framegate_controller.verbs.in_force import in_force
from framegate_controller.verbs.verb import MAX_REASON, Call, Outcome, Verb
from framegate_proto.asked import content_of, message_of, messages_of
from framegate_proto.v1 import framegate_pb2 as pb

MAX_ROWS: Final = 500


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
        message = pb.RoleRequest(role=self.role, zone=self.zone, minutes=self.minutes)
        asked = AskedRole(
            requester=call.caller.name,
            content=content_of(message),
            role=self.role,
            zone=self.zone,
            minutes=self.minutes,
            reason=self.why,
        )
        request = ask_role(tx, asked, call.people.authority.policy(tx))
        return Outcome(_view(tx, call, request), (AccessChanged(),))


@dataclass(frozen=True, slots=True)
class RequestVerb(Verb[RequestView]):
    """Ask for others' approval of an act at gateways of one zone: of the very message they will be
    sent.
    """

    verb: str
    gateways: tuple[str, ...]
    content: Content
    why: str

    WRITES: ClassVar[bool] = True

    @classmethod
    def parse(cls, request: pb.VerbRequest) -> Self:
        """Raises Malformed.

        1. the verb takes two, and is done at gateways; 2. the message is one by which they are
        asked for it, whole and as it is written here; 3. 1 to `MAX_GATEWAYS` gateways are named,
        all of one zone. Nothing else that a requester says is of any weight.
        """
        types = messages_of(request.verb, "GatewayOperator")
        if not find_verb(request.verb).two_person or not types:  # 1
            expected = "a verb that takes two, at a gateway"
            raise Malformed.of(Reason.USAGE, expected, ascii(request.verb[:60]))
        if request.content_type not in types:  # 2
            expected = f"a {' or '.join(sorted(types))} for {request.verb}"
            raise Malformed.of(Reason.USAGE, expected, ascii(request.content_type[:60]))
        content = content_of(message_of(request.content_type, request.content))
        named = {split_device_id(g) for g in request.gateways}  # 3
        if not 0 < len(named) <= MAX_GATEWAYS or len({n.zone for n in named}) != 1:
            expected = f"1 to {MAX_GATEWAYS} gateways of one zone"
            raise Malformed.of(Reason.USAGE, expected, len(named))
        gateways = tuple(sorted(set(request.gateways)))
        return cls(request.verb, gateways, content, request.reason[:MAX_REASON])

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
            zone=split_device_id(self.gateways[0]).zone,
            content=self.content,
            reason=self.why,
            verb=self.verb,
            target=gateways_text(self.gateways),
        )
        return Outcome(_view(tx, call, ask(tx, asked, call.people.authority.policy(tx))))


@dataclass(frozen=True, slots=True)
class DecideAccess(Verb[RequestView]):
    """Approve or deny; never one's own. `content_sha256` is of what the caller was shown."""

    id: str
    approve: bool
    why: str
    content_sha256: bytes = b""

    @classmethod
    def parse(cls, request: pb.DecideRequest) -> Self:
        """Whatever is said."""
        why = request.reason[:MAX_REASON]
        return cls(request.id, request.approve, why, request.content_sha256)

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
        word = Word(
            approver=call.caller.name,
            approve=self.approve,
            remark=self.why,
            content_sha256=self.content_sha256,
        )
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
        seen = [r for r in told if _is_seen(r, call)]
        return Outcome(Requests(tuple(_view(tx, call, r) for r in seen), quorum(tx)))


def _is_seen(request: AccessRequest, call: Call) -> bool:
    return call.sees(request.zone) or request.requester == call.caller.name


@dataclass(frozen=True, slots=True)
class AskedContent:
    """A request with the message it is of, and what stands in its place now, where anything does.

    Both messages are of type `view.request.content_type`.
    """

    view: RequestView
    content: bytes
    in_force: bytes | None


@dataclass(frozen=True, slots=True)
class ShowAccess(Verb[AskedContent]):
    """One request, whole: what whoever approves it reads."""

    id: str

    @classmethod
    def parse(cls, request: pb.ShowAccessRequest) -> Self:
        """Whatever is asked for."""
        return cls(request.id)

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        return Aim("access.list")

    def run(self, tx: Transaction, call: Call) -> Outcome[AskedContent]:
        """See `Verb.run`. Raises Refused (NOT_FOUND)."""
        request = as_of_now(tx, tx.requests.find(self.id))
        if not _is_seen(request, call):
            expected, hint = "a request's id", "framegate access list"
            raise Refused.of(Reason.NOT_FOUND, expected, ascii(self.id[:16]), hint)
        view, content = _view(tx, call, request), tx.requests.content(request.id)
        if content is None:
            return Outcome(AskedContent(view, b"", None))
        asked = message_of(request.content_type, content)
        current = in_force(tx, request.verb, asked)
        encoded = None if current is None else content_of(current).body
        return Outcome(AskedContent(view, content, encoded))


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
        request, people = find_approved(
            tx, name, self.verb, self.content_sha256, policy, gateways=self.gateways
        )
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
