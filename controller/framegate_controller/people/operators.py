"""Operators: who they are, the roles they hold now, and how many of them a decision takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from framegate.access.caller import BREAK_GLASS_ROLES, OPERATOR_PREFIX
from framegate.access.verbs import Role, Scoped, parse_scoped
from framegate.errors import Reason, Refused
from framegate.federation.visit import SCHEME
from framegate.identity.names import parse_identifier, parse_name
from framegate.machines.request import RequestKind, RequestState
from framegate.record.people_events import (
    FactorsReset,
    OperatorAdded,
    OperatorDisabled,
    QuorumSet,
    SetUpEnded,
)
from framegate.registry.operator import Factors, Operator
from framegate_controller.people.factors import new_code
from framegate_controller.store.ports import CONTROLLER, Transaction

ENROLMENT_LIFE_MS: Final = 24 * 3_600_000
SESSION_LIFE_MS: Final = 8 * 3_600_000
"""A shift."""
FOUNDER_ROLES: Final = (Scoped(Role.ENGINEER), Scoped(Role.SECURITY))
"""What the first operator keeps after set-up; admin is theirs until a second operator is there."""
BREAK_GLASS: Final = "BREAK-GLASS"
"""How a notice begins that is told beside every answer."""
MAX_OPERATORS: Final = 1_000
MAX_REMARK: Final = 200
"""Characters that say who an operator is."""
_QUORUM: Final = "quorum"
_QUORUMS: Final = range(1, 4)


@dataclass(frozen=True, slots=True)
class Elevation:
    """A role for a while."""

    request: str
    scoped: Scoped
    until_ms: int


def elevations(tx: Transaction, name: str) -> list[Elevation]:
    """Roles granted for a while that still run, the next to end first; the clock ends them."""
    granted = tx.requests.of(name, (RequestState.APPROVED,))
    running = [r for r in granted if r.kind == RequestKind.ROLE and r.until_ms > tx.now_ms]
    running.sort(key=lambda r: r.until_ms)
    return [Elevation(r.id, Scoped(r.role, r.zone), r.until_ms) for r in running]


def roles_now(tx: Transaction, operator: Operator, *, break_glass: bool = False) -> list[Scoped]:
    """All roles held now; a sealed credential gives admin and security for its session."""
    roles = {*operator.standing_roles, *(e.scoped for e in elevations(tx, operator.name))}
    return sorted(roles | set(BREAK_GLASS_ROLES) if break_glass else roles)


def parse_roles(texts: Sequence[str]) -> list[Scoped]:
    """Standing roles as an admin gives them.

    Raises Malformed; Refused for admin, which nobody holds for good.
    """
    roles = sorted({parse_scoped(t) for t in texts})
    if any(r.role == Role.ADMIN for r in roles):
        raise Refused.of(
            Reason.USAGE,
            "roles that somebody may hold for good",
            "admin",
            "admin is asked for when it is needed: framegate access request --role admin --for 30m",
        )
    return roles


@dataclass(frozen=True, slots=True, kw_only=True)
class NewOperator:
    """Somebody to add. `vouched`: somebody besides who adds them approved it, or it is set-up.

    With issuer and subject a provider vouches for them.
    """

    name: str
    roles: tuple[Scoped, ...]
    vouched: bool
    remark: str = ""
    oidc_issuer: str = ""
    oidc_subject: str = ""


def add_operator(tx: Transaction, new: NewOperator, *, by: str) -> tuple[Operator, str]:
    """A new operator, and the code with which they set password and second factor.

    Raises Malformed; Refused where the name is taken, or there are too many.
    """
    name = parse_name(new.name, "operator name")
    parse_identifier(f"{OPERATOR_PREFIX}{name}")
    if tx.people.get(name) is not None:
        hint = f"names are not used again; framegate operator enable {name} brings that person back"
        raise Refused.of(Reason.NAME_TAKEN, "a name that is free", name, hint)
    if tx.people.count() >= MAX_OPERATORS:
        raise Refused.of(Reason.CONFLICT, f"at most {MAX_OPERATORS} operators", "more")
    code, hashed = new_code()
    operator = Operator(
        name=name,
        remark=new.remark[:MAX_REMARK],
        enabled=True,
        roles=new.roles,
        added_ms=tx.now_ms,
        added_by=by,
        vouched=new.vouched,
        factors=Factors(
            oidc_issuer=new.oidc_issuer,
            oidc_subject=new.oidc_subject,
            enrolment=hashed,
            enrolment_expires_ms=tx.now_ms + ENROLMENT_LIFE_MS,
        ),
    )
    tx.people.add(operator)
    tx.record(OperatorAdded(operator=name, roles=tuple(map(str, new.roles))), by=by)
    return operator, code


def reset_factors(tx: Transaction, operator: Operator, *, by: str = "") -> tuple[Operator, str]:
    """Forget every factor but a provider's word, end every session; with a new enrolment code."""
    code, hashed = new_code()
    factors = Factors(
        totp_step=operator.factors.totp_step,
        oidc_issuer=operator.factors.oidc_issuer,
        oidc_subject=operator.factors.oidc_subject,
        enrolment=hashed,
        enrolment_expires_ms=tx.now_ms + ENROLMENT_LIFE_MS,
    )
    bare = replace(operator, factors=factors)
    tx.people.put(bare)
    tx.people.remove_keys(operator.name)
    end_sessions(tx, operator.name)
    tx.record(FactorsReset(operator=operator.name), by=by)
    return bare, code


def disable(tx: Transaction, operator: Operator, why: str, *, by: str = "") -> Operator:
    """Bar an operator; sessions end here and at gateways."""
    barred = replace(operator, enabled=False)
    tx.people.put(barred)
    ended = end_sessions(tx, operator.name)
    tx.record(OperatorDisabled(operator=operator.name, sessions=ended, why=why), by=by)
    return barred


def end_sessions(tx: Transaction, name: str) -> int:
    """End every session of an operator, now and everywhere; returns how many."""
    standing = tx.people.sessions(tx.now_ms, name)
    for session in standing:
        tx.people.put_session(replace(session, ended_ms=tx.now_ms))
    tx.raise_revision()
    return len(standing)


def enrolled(tx: Transaction, operator: Operator) -> bool:
    """Whether the person can sign in: has a second factor, or a provider that vouches."""
    factors = operator.factors
    known = (factors.password and factors.totp) or factors.oidc_subject
    return bool(known) or bool(tx.people.keys(operator.name))


def quorum(tx: Transaction) -> int:
    """How many people a decision takes: 1 until a second operator is there, then 2."""
    return int(tx.settings.get(_QUORUM) or 1)


def set_quorum(tx: Transaction, value: int) -> None:
    """Raises Refused unless 1 to 3, and no more than can sign in."""
    if value not in _QUORUMS:
        raise Refused.of(Reason.USAGE, "a quorum of 1, 2 or 3", value)
    people = len(_who_can_sign_in(tx))
    if value > people:
        expected = f"at least {value} operators who can sign in"
        raise Refused.of(Reason.CONFLICT, expected, people, "framegate operator add")
    tx.settings.put(_QUORUM, str(value))
    tx.raise_revision()
    tx.record(QuorumSet(quorum=value))


def after_first_sign_in(tx: Transaction) -> None:
    """Set-up ends when a second operator can sign in.

    The quorum becomes two, and nobody is admin for good any more.
    """
    people = _who_can_sign_in(tx)
    if len(people) < 2:
        return
    if tx.settings.get(_QUORUM) is None:
        tx.settings.put(_QUORUM, "2")
        tx.record(QuorumSet(quorum=2, why="a second operator is there"), by=CONTROLLER)
    for person in people:
        if person.setup_admin:
            tx.people.put(replace(person, setup_admin=False))
            tx.record(SetUpEnded(operator=person.name), by=CONTROLLER)
    tx.raise_revision()


def notices(tx: Transaction) -> list[str]:
    """What every operator is told until somebody deals with it."""
    messages = [
        f"{BREAK_GLASS} was used by {r.requester}: {r.summary}; "
        f"whoever has looked into it: framegate access approve {r.id}"
        for r in reversed(tx.requests.in_state((RequestState.PENDING,), RequestKind.REVIEW))
    ]
    if quorum(tx) == 1:
        messages.append(
            "quorum 1: one person decides alone until a second operator signs in "
            "(framegate operator add NAME --role ROLE)"
        )
    return messages


def _who_can_sign_in(tx: Transaction) -> list[Operator]:
    """Those of this fleet: a visitor of another site shows no factor here, and approves nothing."""
    people = tx.people.all(enabled_only=True)
    return [p for p in people if enrolled(tx, p) and not visits(p)]


def visits(operator: Operator) -> bool:
    """Whether the person is of another site, whose controller vouches for them."""
    return operator.factors.oidc_issuer.startswith(SCHEME)


def end_visits(tx: Transaction, issuer: str) -> int:
    """End every session of people of another site; returns how many."""
    visitors = [p for p in tx.people.all() if p.factors.oidc_issuer == issuer]
    return sum(end_sessions(tx, p.name) for p in visitors)
