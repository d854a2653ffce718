"""Who asks, and what the policy says to them: what controller and gateway decide alike.

Whether a caller's session stands, each of the two establishes by itself: the controller from its
store, the gateway from the trust feed. Nothing here checks that.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from framegate.access.decision import Decision
from framegate.access.policy import PolicySet, Request
from framegate.access.questions import verb_request
from framegate.access.verbs import FLEET_WIDE, Role, Scoped, Verb

OPERATOR_PREFIX: Final = "operator."
"""How certificates and entries name an operator: `operator.anna`."""
PLAYBOOK_PREFIX: Final = "playbook."
"""How entries name a playbook: `playbook.hold-suspects`."""
BREAK_GLASS_ROLES: Final = (Scoped(Role.ADMIN), Scoped(Role.SECURITY))
"""What a sealed credential gives for its one session, to nobody else and to no other session."""


def roles_in(roles: Iterable[Scoped], zone: str) -> tuple[str, ...]:
    """Names of those of `roles` that hold in `zone` (`*`: the fleet), sorted, each once."""
    return tuple(sorted({r.role for r in roles if r.covers(zone)}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """An operator whose session stands; whoever makes one MUST have established that.

    `session` is SHA-256 of the session key's SubjectPublicKeyInfo, `factor_ms` when the second
    factor was last shown, `source` gRPC's name of the peer.
    """

    name: str
    roles: tuple[Scoped, ...]
    session: bytes
    factor_ms: int
    break_glass: bool
    source: str

    @property
    def actor(self) -> str:
        """As entries and leaves name them."""
        return f"{OPERATOR_PREFIX}{self.name}"

    @property
    def playbook_mode(self) -> str:
        """In which mode it is in force, where it is a playbook; empty for people."""
        return ""

    def roles_in(self, zone: str) -> tuple[str, ...]:
        """See `roles_in`."""
        return roles_in(self.roles, zone)

    def zones_asked(self, verb: Verb, zone: str) -> tuple[str, ...]:
        """Zones to put to the policy, in order.

        One that was named, or the fleet, is the only one. A verb on any zone, with none named, is
        asked of the fleet first and then of each zone in which the caller holds a role.
        """
        if verb.on != "any" or zone != FLEET_WIDE:
            return (zone,)
        return (FLEET_WIDE, *sorted({r.zone for r in self.roles} - {FLEET_WIDE}))


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaybookCaller(Caller):
    """A playbook in force, which acts by itself. `approvers` are the people whose word for exactly
    this revision counts at this moment; whoever makes one MUST have established that. `request` is
    the approval it acts on beside theirs, empty where it acts by itself.
    """

    mode: str
    approvers: tuple[str, ...]
    request: str = ""

    @property
    def actor(self) -> str:
        """As entries name it: `playbook.NAME`."""
        return f"{PLAYBOOK_PREFIX}{self.name}"

    @property
    def playbook_mode(self) -> str:
        """See `Caller.playbook_mode`."""
        return self.mode


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where it is asked: a zone (`*`: the fleet), whether it is frozen, the fleet's quorum."""

    zone: str
    frozen: bool
    fleet: str
    quorum: int


def question(
    caller: Caller, verb: Verb, place: Place, *, approvals: int, target: str, now_ms: int
) -> Request:
    """What is put to the policy. Whoever broke the glass decides alone, so their quorum is one."""
    return verb_request(
        verb,
        operator=caller.name,
        roles=caller.roles_in(place.zone),
        zone=place.zone,
        frozen=place.frozen,
        fleet=place.fleet,
        approvals=approvals,
        quorum=1 if caller.break_glass else place.quorum,
        factor_age_s=(now_ms - caller.factor_ms) // 1000,
        source=caller.source,
        target=target,
        break_glass=caller.break_glass,
        playbook_mode=caller.playbook_mode,
    )


@dataclass(frozen=True, slots=True)
class Answer:
    """What the policy said to one question in one zone."""

    zone: str
    request: Request
    decision: Decision


@dataclass(frozen=True, slots=True)
class Ruling:
    """The answers of one act, in the order in which they were asked; at least one."""

    answers: tuple[Answer, ...]

    @property
    def allowed(self) -> bool:
        """Whether any zone allows it."""
        return any(a.decision.allow for a in self.answers)

    @property
    def decisive(self) -> Answer:
        """The answer to record: the first allow; else the first denial that names a policy."""
        allows = (a for a in self.answers if a.decision.allow)
        named = (a for a in self.answers if a.decision.policies)
        return next(allows, None) or next(named, None) or self.answers[0]

    @property
    def zones(self) -> frozenset[str] | None:
        """Zones it is allowed in, or None where that is all that was asked."""
        allowed = frozenset(a.zone for a in self.answers if a.decision.allow)
        everywhere = FLEET_WIDE in allowed or self.answers[0].zone != FLEET_WIDE
        return None if everywhere else allowed


def rule(policy: PolicySet, asked: Iterable[tuple[str, Request]]) -> Ruling:
    """Put each (zone, request) to `policy`, in order; what the fleet allows needs no more zones."""
    answers: list[Answer] = []
    for zone, request in asked:
        answers.append(Answer(zone, request, policy.decide(request)))
        if zone == FLEET_WIDE and answers[-1].decision.allow:
            break
    return Ruling(tuple(answers))
