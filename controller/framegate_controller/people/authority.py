"""Who is calling, and whether the access policy lets them: asked anew for every call, inside the transaction that acts on the answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy.orm import Session

from framegate.access.policy import Decision, PolicySet, Request
from framegate.access.questions import address_text, inspect_request, verb_request
from framegate.access.verbs import FLEET_WIDE, Scoped, find_verb
from framegate.errors import Failure, Reason, Refused
from framegate.identity.certificates import Purpose
from framegate.record.entry import Act
from framegate.wire import sha256
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.people.operators import quorum, roles_in, roles_now
from framegate_controller.people.policies import load_policy
from framegate_controller.people.requests import Asked, approved, ask, use
from framegate_controller.rpc.peer import verify_peer
from framegate_controller.rpc.wire import Context
from framegate_controller.store.registry import acting, record
from framegate_controller.store.tables import DecisionRow, OperatorRow, OperatorSession, ZoneRow

READ_GROUPS: Final = frozenset({"self", "view", "audit"})
QUIET_MS: Final = 3_600_000
"""Reads of one kind by one session in one zone are one entry an hour: a live view asks every second."""


@dataclass(frozen=True, slots=True)
class Caller:
    """An operator whose session stands: made by `Authority.caller` only."""

    name: str
    roles: tuple[Scoped, ...]
    session: bytes
    factor_ms: int
    break_glass: bool
    source: str

    @property
    def actor(self) -> str:
        """As entries name them."""
        return f"operator.{self.name}"


@dataclass(frozen=True, slots=True)
class Aim:
    """What a call is about to do: verb, the zone it is in (`*`: none or all), what exactly, and words for whoever is asked to approve."""

    verb: str
    zone: str = FLEET_WIDE
    target: str = ""
    summary: str = ""


@dataclass(frozen=True, slots=True)
class Allowed:
    """What was decided. `zones` are those the caller may do it in, None for all."""

    act: Act
    zones: frozenset[str] | None

    def sees(self, zone: str) -> bool:
        """Whether something in `zone` is the caller's to see."""
        return self.zones is None or zone in self.zones


class Denied(Refused):
    """The policy said no; carries what has to be recorded once the transaction is rolled back."""

    def __init__(self, failure: Failure, caller: Caller, aim: Aim, request: Request, decision: Decision, content: bytes, policy: PolicySet) -> None:
        super().__init__([failure])
        self.caller, self.aim, self.request, self.decision, self.content, self.policy = caller, aim, request, decision, content, policy


class Authority:
    """Establishes callers and asks the policy."""

    def __init__(self, keys: FleetKeys, clock: Callable[[], int]) -> None:
        self.keys, self.clock = keys, clock
        self._read: dict[tuple[bytes, str, str], int] = {}

    def caller(self, session: Session, context: Context) -> Caller:
        """The operator at the other end.

        1. the certificate is an operator's of this fleet, alive now; 2. its key is that of a session that was not ended; 3. that session's operator is
        enabled, and is the one the certificate names. Raises Refused.
        """
        peer = verify_peer(context, self.keys, Purpose.OPERATOR)  # 1
        now = self.clock()
        row = session.get(OperatorSession, sha256(peer.identity.spki))
        if row is None or row.ended_ms or row.expires_ms <= now:  # 2
            raise Refused.of(Reason.SIGNED_OUT, "a session that stands", "one that ended" if row else "none", "framegate login")
        person = session.get(OperatorRow, row.operator)
        if person is None or not person.enabled or peer.name != f"operator.{row.operator}":  # 3
            raise Refused.of(Reason.SIGNED_OUT, "an operator who is enabled", f"{row.operator} is not", "ask an admin: framegate operator list")
        roles = roles_now(session, person, now, break_glass=bool(row.break_glass))
        return Caller(person.name, tuple(roles), row.spki_sha256, row.factor_ms, bool(row.break_glass), peer.address)

    def authorise(self, session: Session, caller: Caller, aim: Aim, content: bytes, reason: str) -> Allowed:
        """Ask the policy; where it takes others' approval, look for one of exactly this content, and spend it. Raises Denied."""
        verb, policy, now = find_verb(aim.verb), load_policy(session, self.keys), self.clock()
        waiting, people = approved(session, caller.name, aim.verb, content, policy, now) if verb.two_person else (None, ())
        tried: list[tuple[str, Request, Decision]] = []
        for zone in self._zones(caller, verb.on, aim.zone):
            request = self.question(session, caller, aim, zone, len(people))
            tried.append((zone, request, policy.decide(request)))
            if tried[-1][2].allow and zone == FLEET_WIDE:
                break
        allowed = [t for t in tried if t[2].allow]
        zone, request, decision = allowed[0] if allowed else next((t for t in tried if t[2].policies), tried[0])
        if not allowed:
            assert decision.failure is not None  # noqa: S101 - a denial has one
            raise Denied(decision.failure, caller, aim, request, decision, content, policy)
        if waiting is not None and people:
            use(waiting)
        keep_decision(session, request, decision, policy, now)
        act = Act(
            actor=caller.actor, source=address_text(caller.source), approved_by=people, reason=reason, verb=aim.verb, policies=decision.policies, policy=policy.words,
            request=waiting.id if waiting is not None and people else "",
        )  # fmt: skip
        everywhere = any(z == FLEET_WIDE for z, _, _ in allowed) or verb.on != "any" or aim.zone != FLEET_WIDE
        return Allowed(act, None if everywhere else frozenset(z for z, _, _ in allowed))

    def question(self, session: Session, caller: Caller, aim: Aim, zone: str, approvals: int) -> Request:
        """What is put to the policy."""
        held = session.get(ZoneRow, zone)
        return verb_request(
            find_verb(aim.verb), operator=caller.name, roles=roles_in(caller.roles, zone), zone=zone, frozen=bool(held and held.frozen), fleet=self.keys.fleet,
            approvals=approvals, quorum=1 if caller.break_glass else quorum(session), factor_age_s=(self.clock() - caller.factor_ms) // 1000, source=caller.source,
            target=aim.target, break_glass=caller.break_glass,
        )  # fmt: skip

    def note_allowed(self, session: Session, caller: Caller, aim: Aim, act: Act) -> None:
        """An allow that left no entry of its own gets one; reads of one kind are one entry an hour."""
        if session.info["tx"].recorded:
            return
        groups = set(find_verb(aim.verb).groups)
        if groups & READ_GROUPS and "fresh" not in groups:
            key, now = (caller.session, aim.verb, aim.zone), self.clock()
            if self._read.get(key, 0) > now - QUIET_MS:
                return
            if len(self._read) > 10_000:
                self._read.clear()
            self._read[key] = now
        record(session, self.clock(), aim.target if aim.target.count(".") == 2 else "", "allowed", act.actor, f"{aim.verb} {aim.summary or aim.target}".strip())

    def note_denied(self, session: Session, denied: Denied, reason: str, *, dry: bool = False) -> Refused:
        """Record a denial, in a transaction of its own; where an approval is what is missing, ask for it, but not for a dry run. Returns what the caller is told."""
        caller, aim, now = denied.caller, denied.aim, self.clock()
        acting(session, Act(actor=caller.actor, source=address_text(caller.source), reason=reason, verb=aim.verb, policies=denied.decision.policies, policy=denied.policy.words))
        keep_decision(session, denied.request, denied.decision, denied.policy, now)
        failure = denied.failures[0]
        record(session, now, aim.target if aim.target.count(".") == 2 else "", "denied", caller.actor, f"{aim.verb} {aim.summary or aim.target}: {failure.reason}")
        if failure.reason != Reason.APPROVAL_NEEDED or dry:
            return Refused(denied.failures)
        asked = Asked(caller.name, aim.zone, aim.summary or f"{aim.verb} {aim.target}".strip(), reason, verb=aim.verb, target=aim.target, content_sha256=denied.content)
        row = ask(session, asked, denied.policy, now)
        more = quorum(session) - 1
        hint = f"somebody else: framegate access approve {row.id}; then run this command again"
        return Refused(
            [replace(failure, expected=f"the approval of {more} other{'s' if more > 1 else ''} for {aim.verb}", actual=f"{denied.request.context['approvals']}", hint=hint)]
        )

    def _zones(self, caller: Caller, on: str, zone: str) -> list[str]:
        if on != "any" or zone != FLEET_WIDE:
            return [zone]
        return [FLEET_WIDE, *sorted({r.zone for r in caller.roles} - {FLEET_WIDE})]


def may_inspect(session: Session, keys: FleetKeys, facts: dict[str, object], device: str, model: str, zone: str, now_ms: int) -> tuple[Decision, PolicySet]:
    """Whether `device` may use the model with this digest at a gateway of `zone`; kept, to be replayed under another policy."""
    policy = load_policy(session, keys)
    request = inspect_request(facts, device, model, zone)
    decision = policy.decide(request)
    keep_decision(session, request, decision, policy, now_ms)
    return decision, policy


def keep_decision(session: Session, request: Request, decision: Decision, policy: PolicySet, now_ms: int) -> None:
    """Keep what was asked and answered, once for each content; the age of a factor and the address are not content."""
    same = replace(request, context={k: v for k, v in request.context.items() if k not in {"factorAge", "source"}})
    digest = sha256(f"{same.marshal()} {decision.allow} {policy.version}".encode())
    row = session.get(DecisionRow, digest)
    if row is None:
        session.add(DecisionRow(
            sha256=digest, request=request.marshal(), allow=decision.allow, policies=json.dumps(decision.policies), policy_version=policy.version, first_ms=now_ms,
            last_ms=now_ms, count=1,
        ))  # fmt: skip
    else:
        row.last_ms, row.count = now_ms, row.count + 1
