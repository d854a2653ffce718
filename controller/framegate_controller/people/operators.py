"""Operators in the store: who they are, the roles they hold now, and how many of them a decision takes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from framegate.access.verbs import Role, Scoped, parse_scoped
from framegate.errors import Reason, Refused
from framegate.identity.names import parse_name
from framegate_controller.people.factors import new_code
from framegate_controller.store.registry import raise_revision, record
from framegate_controller.store.tables import AccessRequest, OperatorRow, OperatorSession, SecurityKey, Setting

ENROLMENT_LIFE_MS: Final = 24 * 3_600_000
SESSION_LIFE_MS: Final = 8 * 3_600_000
"""A shift."""
FOUNDER_ROLES: Final = (Scoped(Role.ENGINEER), Scoped(Role.SECURITY))
"""What the first operator keeps after set-up; admin is theirs only until a second operator is there."""
BREAK_GLASS: Final = "BREAK-GLASS"
"""How a notice begins that is told beside every answer."""
MAX_OPERATORS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Elevation:
    """A role for a while."""

    request: str
    scoped: Scoped
    until_ms: int


def find_operator(session: Session, name: str) -> OperatorRow:
    """The operator with this name or unique prefix. Raises Refused (NOT_FOUND)."""
    row = session.get(OperatorRow, name)
    if row is not None:
        return row
    found = session.scalars(select(OperatorRow).where(OperatorRow.name.startswith(name, autoescape=True)).limit(2)).all() if name else []
    if len(found) != 1:
        raise Refused.of(Reason.NOT_FOUND, "an operator's name or unique prefix", ascii(name[:63]), "framegate operator list")
    return found[0]


def standing_roles(row: OperatorRow) -> list[Scoped]:
    """Roles that need no asking; admin among them only during set-up."""
    found = [Scoped(r, z) for r, z in json.loads(row.roles)]
    return [*found, Scoped(Role.ADMIN)] if row.setup_admin else found


def elevations(session: Session, name: str, now_ms: int) -> list[Elevation]:
    """Roles granted for a while that still run; they end by the clock alone."""
    query = select(AccessRequest).where(AccessRequest.requester == name, AccessRequest.role != "", AccessRequest.state == "approved", AccessRequest.until_ms > now_ms)
    return [Elevation(r.id, Scoped(r.role, r.zone), r.until_ms) for r in session.scalars(query.order_by(AccessRequest.until_ms)).all()]


def roles_now(session: Session, row: OperatorRow, now_ms: int, *, break_glass: bool = False) -> list[Scoped]:
    """All that `row` holds now. A sealed credential gives admin and security for its session."""
    found = {*standing_roles(row), *(e.scoped for e in elevations(session, row.name, now_ms))}
    if break_glass:
        found |= {Scoped(Role.ADMIN), Scoped(Role.SECURITY)}
    return sorted(found)


def roles_in(roles: Sequence[Scoped], zone: str) -> tuple[str, ...]:
    """Names of the roles that hold in `zone` (`*`: the fleet)."""
    return tuple(sorted({r.role for r in roles if r.covers(zone)}))


def parse_roles(texts: Sequence[str]) -> list[Scoped]:
    """Standing roles as an admin gives them. Raises Malformed; Refused for admin, which nobody holds for good."""
    found = sorted({parse_scoped(t) for t in texts})
    if any(r.role == Role.ADMIN for r in found):
        raise Refused.of(Reason.USAGE, "roles that somebody may hold for good", "admin", "admin is asked for when it is needed: framegate access request --role admin --for 30m")
    return found


def add_operator(session: Session, *, name: str, words: str, roles: Sequence[Scoped], actor: str, now_ms: int, vouched: bool, oidc: tuple[str, str] = ("", "")) -> str:
    """A new operator, who sets password and second factor with the code that is returned. Raises Refused where the name is taken."""
    parse_name(name, "operator name")
    if session.get(OperatorRow, name) is not None:
        raise Refused.of(Reason.NAME_TAKEN, "a name that is free", name, f"names are not used again; framegate operator enable {name} brings that person back")
    if session.scalars(select(func.count()).select_from(OperatorRow)).one() >= MAX_OPERATORS:
        raise Refused.of(Reason.CONFLICT, f"at most {MAX_OPERATORS} operators", "more")
    code, hashed = new_code()
    session.add(OperatorRow(
        name=name, words=words[:200], enabled=True, vouched=vouched, roles=json.dumps([[r.role, r.zone] for r in roles]), added_ms=now_ms, added_by=actor, oidc_issuer=oidc[0],
        oidc_subject=oidc[1], enrolment=hashed, enrolment_expires_ms=now_ms + ENROLMENT_LIFE_MS,
    ))  # fmt: skip
    record(session, now_ms, "", "operator-added", actor, f"{name}: {', '.join(map(str, roles)) or 'no role'}")
    return code


def reset_factors(session: Session, row: OperatorRow, actor: str, now_ms: int) -> str:
    """Forget every second factor and password, end every session; returns a new enrolment code."""
    code, hashed = new_code()
    row.password, row.totp, row.recovery = "", b"", "[]"
    row.enrolment, row.enrolment_expires_ms = hashed, now_ms + ENROLMENT_LIFE_MS
    for key in session.scalars(select(SecurityKey).where(SecurityKey.operator == row.name)).all():
        session.delete(key)
    end_sessions(session, row.name, now_ms)
    record(session, now_ms, "", "operator-factors-reset", actor, row.name)
    return code


def end_sessions(session: Session, name: str, now_ms: int) -> int:
    """End every session of an operator, now and everywhere; returns how many."""
    open_ones = session.scalars(select(OperatorSession).where(OperatorSession.operator == name, OperatorSession.ended_ms == 0, OperatorSession.expires_ms > now_ms)).all()
    for row in open_ones:
        row.ended_ms = now_ms
    raise_revision(session)
    return len(open_ones)


def enrolled(session: Session, row: OperatorRow) -> bool:
    """Whether the person can sign in: has a second factor, or a provider that vouches."""
    return bool((row.password and row.totp) or row.oidc_subject or session.scalars(select(SecurityKey.credential).where(SecurityKey.operator == row.name).limit(1)).first())


def quorum(session: Session) -> int:
    """How many people a decision takes: 1 until a second operator is there, then 2."""
    row = session.get(Setting, "quorum")
    return int(row.value) if row else 1


def set_quorum(session: Session, value: int, actor: str, now_ms: int) -> None:
    """Raises Refused unless 1 to 3."""
    if value not in {1, 2, 3}:
        raise Refused.of(Reason.USAGE, "a quorum of 1, 2 or 3", value)
    people = sum(enrolled(session, r) for r in session.scalars(select(OperatorRow).where(OperatorRow.enabled)).all())
    if value > people:
        raise Refused.of(Reason.CONFLICT, f"at least {value} operators who can sign in", people, "framegate operator add")
    session.merge(Setting(name="quorum", value=str(value)))
    raise_revision(session)
    record(session, now_ms, "", "quorum-set", actor, str(value))


def after_first_sign_in(session: Session, now_ms: int) -> None:
    """Set-up ends when a second operator can sign in: the quorum becomes two, and nobody is admin for good any more."""
    session.flush()
    people = [r for r in session.scalars(select(OperatorRow).where(OperatorRow.enabled)).all() if enrolled(session, r)]
    if len(people) < 2:
        return
    if session.get(Setting, "quorum") is None:
        session.add(Setting(name="quorum", value="2"))
        record(session, now_ms, "", "quorum-set", "controller", "2: a second operator is there")
    for row in people:
        if row.setup_admin:
            row.setup_admin = False
            record(session, now_ms, "", "set-up-ended", "controller", f"{row.name} is admin no more; framegate access request --role admin")
    raise_revision(session)


def notices(session: Session, now_ms: int) -> list[str]:
    """What every operator is told until somebody deals with it."""
    found = []
    waiting = select(AccessRequest).where(AccessRequest.verb == "break-glass", AccessRequest.state == "pending")
    for row in session.scalars(waiting).all():
        found.append(f"{BREAK_GLASS} was used by {row.requester}: {row.summary}; whoever has looked into it: framegate access approve {row.id}")
    if quorum(session) == 1:
        found.append("quorum 1: one person decides alone until a second operator signs in (framegate operator add NAME --role ROLE)")
    return found
