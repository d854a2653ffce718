"""Requests for a role or for others' approval of one exact act: asked, decided, used once. What is asked never changes after it was asked."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from framegate.access.policy import PolicySet
from framegate.access.questions import verb_request
from framegate.access.verbs import Role, Scoped, find_verb
from framegate.errors import Malformed, Reason, Refused
from framegate_controller.people.operators import enrolled, quorum, roles_in, roles_now
from framegate_controller.store.registry import raise_revision, record
from framegate_controller.store.tables import AccessRequest, OperatorRow, ZoneRow

REQUEST_LIFE_MS: Final = 24 * 3_600_000
MAX_MINUTES: Final = 480
"""A role for longer than a shift is a standing one."""
MAX_PENDING: Final = 50
"""Open requests of one operator; more is a mistake or a flood at the approvers."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked: a verb with the digest of its content, or a role for `minutes`."""

    requester: str
    zone: str
    summary: str
    reason: str
    verb: str = ""
    target: str = ""
    content_sha256: bytes = b""
    role: str = ""
    minutes: int = 0

    @property
    def about(self) -> str:
        """What an approver is asked to approve, as policies name it."""
        return self.verb or f"role:{self.role}"


def ask(session: Session, asked: Asked, policy: PolicySet, now_ms: int) -> AccessRequest:
    """Keep a request; the same one again is the one that waits, or is approved and not used yet. Raises Refused."""
    expire(session, now_ms)
    mine = select(AccessRequest).where(AccessRequest.requester == asked.requester)
    open_ones = session.scalars(mine.where(AccessRequest.state == "pending")).all()
    unused = session.scalars(mine.where(AccessRequest.state == "approved", AccessRequest.verb != "")).all()
    for row in (*open_ones, *unused):
        same = (row.verb, row.role, row.zone, row.content_sha256, row.policy_sha256) == (asked.verb, asked.role, asked.zone, asked.content_sha256, policy.sha256)
        if same and row.minutes == asked.minutes:
            if row.state == "approved" and len(approvers(session, row, policy, now_ms)) + 1 < quorum(session):
                row.state = "pending"  # an approver does not count any more, or it takes more of them now: others may still agree
            return row
    if len(open_ones) >= MAX_PENDING:
        raise Refused.of(Reason.TOO_MANY_TRIES, f"at most {MAX_PENDING} open requests", len(open_ones), "framegate access list")
    row = AccessRequest(
        id=secrets.token_hex(4), requester=asked.requester, verb=asked.verb, role=asked.role, zone=asked.zone, target=asked.target[:200], content_sha256=asked.content_sha256,
        policy_sha256=policy.sha256, summary=asked.summary[:500], reason=asked.reason[:500], minutes=asked.minutes, state="pending", asked_ms=now_ms,
        expires_ms=now_ms + REQUEST_LIFE_MS, approvals="[]",
    )  # fmt: skip
    session.add(row)
    record(session, now_ms, "", "access-asked", f"operator.{asked.requester}", f"{row.id}: {asked.about} in {asked.zone}: {asked.summary}")
    return row


def ask_role(session: Session, *, requester: str, role: str, zone: str, minutes: int, reason: str, policy: PolicySet, now_ms: int) -> AccessRequest:
    """Ask for a role for a while. Where the quorum is one, it is granted at once, and said so. Raises Malformed, Refused."""
    if role not in set(Role):
        raise Malformed.of(Reason.USAGE, f"a role: {', '.join(Role)}", ascii(role[:40]))
    if not 1 <= minutes <= MAX_MINUTES:
        raise Malformed.of(Reason.USAGE, f"1 to {MAX_MINUTES} minutes", minutes)
    if not reason.strip():
        raise Malformed.of(Reason.USAGE, "a reason", "none", "--reason TEXT; whoever approves reads it")
    row = ask(session, Asked(requester, zone, f"{Scoped(role, zone)} for {minutes} min", reason, role=role, minutes=minutes), policy, now_ms)
    session.flush()
    if quorum(session) == 1 and row.state == "pending":
        _grant(session, row, "quorum 1", now_ms)
    return row


def decide(session: Session, row: AccessRequest, *, approver: str, approve: bool, reason: str, policy: PolicySet, now_ms: int) -> None:
    """Somebody says yes or no. That they may, the policy has said.

    1. it waits, and has not run out; 2. nobody approves their own, nor twice; 3. the policy under which it was asked is in force. A single no
    ends it. Raises Refused.
    """
    if row.state != "pending" or row.expires_ms <= now_ms:  # 1
        raise Refused.of(Reason.CONFLICT, "a request that waits", row.state if row.expires_ms > now_ms else "expired", "framegate access list --all")
    if approver == row.requester:  # 2
        raise Refused.of(Reason.POLICY_DENIED, "somebody other than who asked", "the same person", "nobody approves their own request; ask a colleague")
    if row.verb == "break-glass":
        row.state = "approved"
        record(session, now_ms, "", "break-glass-reviewed", f"operator.{approver}", f"{row.id}: {row.summary}; {reason}")
        return
    if row.policy_sha256 != policy.sha256:  # 3
        row.state = "expired"
        raise Refused.of(Reason.CONFLICT, "a request under the policy in force", "one under another", "let it be asked anew")
    if not approve:
        row.state = "denied"
        record(session, now_ms, "", "access-denied", f"operator.{approver}", f"{row.id}: {row.summary}; {reason}")
        return
    given = json.loads(row.approvals)
    if approver in {name for name, _ in given}:
        raise Refused.of(Reason.CONFLICT, "another person's approval", "yours again", "it waits for somebody else")
    row.approvals = json.dumps([*given, [approver, now_ms]])
    record(session, now_ms, "", "access-approved", f"operator.{approver}", f"{row.id}: {row.summary}; {reason}")
    standing = approvers(session, row, policy, now_ms)
    if len(standing) + 1 >= quorum(session):
        if row.role:
            _grant(session, row, ", ".join(standing), now_ms)
        else:
            row.state = "approved"


def _grant(session: Session, row: AccessRequest, by: str, now_ms: int) -> None:
    row.state, row.until_ms = "approved", now_ms + row.minutes * 60_000
    raise_revision(session)
    record(session, now_ms, "", "role-granted", f"operator.{row.requester}", f"{row.id}: {row.summary}, approved by {by}")


def approvers(session: Session, row: AccessRequest, policy: PolicySet, now_ms: int) -> tuple[str, ...]:
    """Those of `row`'s approvers whose word counts at this moment (N119).

    1. not the requester; 2. enabled, and able to sign in; 3. there before it was asked, and not brought in by the requester alone; 4. the
    policy in force lets them approve this, by the roles they hold now.
    """
    found = []
    for name, _ in json.loads(row.approvals):
        person = session.get(OperatorRow, name)
        if name == row.requester or person is None or not person.enabled or not enrolled(session, person):  # 1, 2
            continue
        if person.added_ms > row.asked_ms or (person.added_by == f"operator.{row.requester}" and not person.vouched):  # 3
            continue
        if may_approve(session, person, row, policy, now_ms):  # 4
            found.append(name)
    return tuple(sorted(found))


def may_approve(session: Session, person: OperatorRow, row: AccessRequest, policy: PolicySet, now_ms: int) -> bool:
    """Whether the policy lets `person` approve `row`; that the factor was fresh was asked when they did."""
    zone = session.get(ZoneRow, row.zone)
    question = verb_request(
        find_verb("access.approve"), operator=person.name, roles=roles_in(roles_now(session, person, now_ms), row.zone), zone=row.zone, frozen=bool(zone and zone.frozen), fleet="",
        approvals=0, quorum=1, factor_age_s=0, source="", target=row.verb or f"role:{row.role}",
    )  # fmt: skip
    return policy.decide(question).allow


def approved(session: Session, requester: str, verb: str, content_sha256: bytes, policy: PolicySet, now_ms: int) -> tuple[AccessRequest | None, tuple[str, ...]]:
    """(the request for exactly this, who approves it now), nobody where none was asked for or it was used."""
    query = select(AccessRequest).where(
        AccessRequest.requester == requester, AccessRequest.verb == verb, AccessRequest.content_sha256 == content_sha256, AccessRequest.policy_sha256 == policy.sha256,
        AccessRequest.state.in_(("pending", "approved")), AccessRequest.expires_ms > now_ms,
    )  # fmt: skip
    row = session.scalars(query.order_by(AccessRequest.state, AccessRequest.asked_ms.desc()).limit(1)).one_or_none()
    return (row, approvers(session, row, policy, now_ms)) if row is not None else (None, ())


def use(row: AccessRequest) -> None:
    """Spend it, in the transaction of the act: it counts once."""
    row.state = "used"


def expire(session: Session, now_ms: int) -> None:
    """Close what ran out."""
    for row in session.scalars(select(AccessRequest).where(AccessRequest.state.in_(("pending", "approved")), AccessRequest.expires_ms <= now_ms)).all():
        if row.verb != "break-glass":
            row.state = "expired"


def find_request(session: Session, text: str) -> AccessRequest:
    """By id or unique prefix. Raises Refused (NOT_FOUND)."""
    rows: Sequence[AccessRequest] = session.scalars(select(AccessRequest).where(AccessRequest.id.startswith(text[:16], autoescape=True)).limit(2)).all() if text else []
    if len(rows) != 1:
        raise Refused.of(Reason.NOT_FOUND, "a request's id or unique prefix", ascii(text[:16]), "framegate access list")
    return rows[0]
