"""Requests for a role or for others' approval of one exact act: asked, decided, used once.

What is asked never changes after it was asked.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from typing import Final

from framegate.access.approvals import Content
from framegate.access.caller import OPERATOR_PREFIX
from framegate.access.policy import PolicySet
from framegate.access.verbs import Role
from framegate.errors import Malformed, Reason, Refused
from framegate.machines.request import RequestEvent, RequestKind, RequestState
from framegate.record.people_events import (
    AccessApproved,
    AccessAsked,
    AccessDenied,
    BreakGlassReviewed,
    RoleGranted,
)
from framegate.registry.request import AccessRequest, Approval
from framegate_controller.people.approvers import OPEN, approvers
from framegate_controller.people.operators import quorum
from framegate_controller.store.ports import Transaction

REQUEST_LIFE_MS: Final = 24 * 3_600_000
MAX_MINUTES: Final = 480
"""A role for longer than a shift is a standing one."""
MAX_PENDING: Final = 50
"""Open requests of one operator; more is a mistake or a flood at the approvers."""
MAX_OPEN_BYTES: Final = 32 * 1024 * 1024
"""Messages of one operator's open requests, together: ten parts with golden images, or profiles
with allowlists, as large as a call may carry.
"""
MAX_KEPT_BYTES: Final = 64 * 1024
"""Of a request that is over, a larger message is forgotten: what came of it is kept elsewhere."""
MAX_WORDS: Final = 500
"""Characters of a reason."""
ROLE_VERB: Final = "access.request"
"""The verb by which a role is asked for."""
_ID_BYTES: Final = 4
"""An approver types the id, or its beginning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is asked: a verb with exactly `content`, or a role for `minutes`.

    `content` is the message that says so; `reason` is what the requester says beside it.
    """

    requester: str
    zone: str
    content: Content
    reason: str
    verb: str = ""
    target: str = ""
    role: str = ""
    minutes: int = 0

    @property
    def kind(self) -> RequestKind:
        """A role, or an act."""
        return RequestKind.ROLE if self.role else RequestKind.ACT

    @property
    def content_sha256(self) -> bytes:
        """What an approval is of."""
        return self.content.digest(self.verb or ROLE_VERB)

    @property
    def summary(self) -> str:
        """In one line, derived from the message alone."""
        return f"{self.verb or ROLE_VERB}: {self.content.summary}"

    def is_of(self, request: AccessRequest, policy: PolicySet) -> bool:
        """Whether `request` asked for the same, under `policy`."""
        return (
            (request.kind, request.verb, request.role) == (self.kind, self.verb, self.role)
            and (request.zone, request.minutes) == (self.zone, self.minutes)
            and (request.content_sha256, request.target) == (self.content_sha256, self.target)
            and request.policy_sha256 == policy.sha256
        )


def ask(tx: Transaction, asked: Asked, policy: PolicySet) -> AccessRequest:
    """Keep a request; the same one again is the one that waits, or is approved and not used yet.

    Raises Refused.
    """
    expire(tx)
    mine = tx.requests.of(asked.requester, OPEN)
    pending = [r for r in mine if r.state == RequestState.PENDING]
    unused = [r for r in mine if r.state == RequestState.APPROVED and r.kind == RequestKind.ACT]
    for request in (*pending, *unused):
        if asked.is_of(request, policy):
            return _still_enough(tx, request, policy)
    if len(pending) >= MAX_PENDING:
        expected, hint = f"at most {MAX_PENDING} open requests", "framegate access list"
        raise Refused.of(Reason.TOO_MANY_TRIES, expected, len(pending), hint)
    held = tx.requests.content_bytes(asked.requester, OPEN) + len(asked.content.body)
    if held > MAX_OPEN_BYTES:
        expected, hint = f"open requests of at most {MAX_OPEN_BYTES} bytes", "framegate access list"
        raise Refused.of(Reason.TOO_LARGE, expected, held, hint)
    request = AccessRequest(
        id=secrets.token_hex(_ID_BYTES),
        kind=asked.kind,
        requester=asked.requester,
        zone=asked.zone,
        summary=asked.summary,
        reason=asked.reason[:MAX_WORDS],
        verb=asked.verb,
        target=asked.target,
        content_type=asked.content.kind,
        content_sha256=asked.content_sha256,
        policy_sha256=policy.sha256,
        role=asked.role,
        minutes=asked.minutes,
        asked_ms=tx.now_ms,
        expires_ms=tx.now_ms + REQUEST_LIFE_MS,
    )
    tx.requests.put(request)
    tx.requests.keep_content(request.id, asked.content.body)
    told = AccessAsked(
        request=request.id,
        about=request.about,
        zone=request.zone,
        summary=asked.summary,
        content_sha256=request.content_sha256.hex(),
    )
    tx.record(told)
    return request


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedRole:
    """A role in a zone (`*`: everywhere) for a while, as `content` says it, and why."""

    requester: str
    content: Content
    role: str
    zone: str
    minutes: int
    reason: str


def ask_role(tx: Transaction, asked: AskedRole, policy: PolicySet) -> AccessRequest:
    """Ask for a role for a while. Where the quorum is one, it is granted at once, and said so.

    Raises Malformed, Refused.
    """
    if asked.role not in set(Role):
        raise Malformed.of(Reason.USAGE, f"a role: {', '.join(Role)}", ascii(asked.role[:40]))
    if not 1 <= asked.minutes <= MAX_MINUTES:
        raise Malformed.of(Reason.USAGE, f"1 to {MAX_MINUTES} minutes", asked.minutes)
    if not asked.reason.strip():
        hint = "--reason TEXT; whoever approves reads it"
        raise Malformed.of(Reason.USAGE, "a reason", "none", hint)
    request = ask(
        tx,
        Asked(
            requester=asked.requester,
            zone=asked.zone,
            content=asked.content,
            reason=asked.reason,
            role=asked.role,
            minutes=asked.minutes,
        ),
        policy,
    )
    if quorum(tx) == 1 and request.state == RequestState.PENDING:
        return _grant(tx, request, "quorum 1")
    return request


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """What somebody says to a request: yes or no, and why.

    `content_sha256` is of the bytes that they were shown, as their own client worked it out.
    """

    approver: str
    approve: bool
    remark: str
    content_sha256: bytes = b""


def decide(tx: Transaction, request: AccessRequest, word: Word, policy: PolicySet) -> AccessRequest:
    """Somebody says yes or no. That they may, the policy has said.

    1. it waits, and has not run out; 2. nobody approves their own, nor twice; 3. the policy under
    which it was asked is in force; 4. a yes is to the very bytes that the approver was shown, not
    to whatever has this id. A single no ends it. Raises Refused.
    """
    _require_waiting(tx, request)  # 1
    if word.approver == request.requester:  # 2
        expected = "somebody other than who asked"
        hint = "nobody approves their own request; ask a colleague"
        raise Refused.of(Reason.POLICY_DENIED, expected, "the same person", hint)
    if request.kind == RequestKind.REVIEW:
        return _reviewed(tx, request, word)
    if request.policy_sha256 != policy.sha256:  # 3
        expected, hint = "a request under the policy in force", "let it be asked anew"
        raise Refused.of(Reason.CONFLICT, expected, "one under another", hint)
    if not word.approve:
        denied = AccessDenied(request=request.id, summary=request.summary, remark=word.remark)
        tx.record(denied)
        return _moved(tx, request, RequestEvent.DENY)
    if word.content_sha256 != request.content_sha256 or not request.content_sha256:  # 4
        expected = f"an approval of the content {request.content_sha256.hex()}"
        actual, hint = word.content_sha256.hex() or "of none", "framegate access show " + request.id
        raise Refused.of(Reason.CONFLICT, expected, actual, hint)
    return _approve(tx, request, word, policy)


def use(tx: Transaction, request: AccessRequest) -> AccessRequest:
    """Spend it, in the transaction of the act: it counts once. Raises Refused (TRANSITION)."""
    return _moved(tx, request, RequestEvent.USE)


def expire(tx: Transaction) -> None:
    """Close what ran out."""
    for request in tx.requests.overdue(tx.now_ms):
        if _runs_out(request):
            _moved(tx, request, RequestEvent.EXPIRE)


def as_of_now(tx: Transaction, request: AccessRequest) -> AccessRequest:
    """As it stands by the clock, whether or not somebody closed it: for who only looks."""
    late = request.state in OPEN and request.expires_ms <= tx.now_ms
    return request.after(RequestEvent.EXPIRE) if late and _runs_out(request) else request


def _runs_out(request: AccessRequest) -> bool:
    """A review waits until somebody has looked; a role that was granted ends by its own time,
    however late that was.
    """
    granted = request.kind == RequestKind.ROLE and request.state == RequestState.APPROVED
    return request.kind != RequestKind.REVIEW and not granted


def _require_waiting(tx: Transaction, request: AccessRequest) -> None:
    late = request.expires_ms <= tx.now_ms
    if request.state != RequestState.PENDING or late:
        actual = "expired" if late else request.state
        hint = "framegate access list --all"
        raise Refused.of(Reason.CONFLICT, "a request that waits", actual, hint)


def _reviewed(tx: Transaction, request: AccessRequest, word: Word) -> AccessRequest:
    reviewed = BreakGlassReviewed(request=request.id, summary=request.summary, remark=word.remark)
    tx.record(reviewed)
    return _moved(tx, request, RequestEvent.APPROVE)


def _approve(
    tx: Transaction, request: AccessRequest, word: Word, policy: PolicySet
) -> AccessRequest:
    if word.approver in {a.operator for a in request.approvals}:
        expected, hint = "another person's approval", "it waits for somebody else"
        raise Refused.of(Reason.CONFLICT, expected, "yours again", hint)
    given = (*request.approvals, Approval(operator=word.approver, at_ms=tx.now_ms))
    backed = replace(request, approvals=given)
    tx.requests.put(backed)
    tx.record(
        AccessApproved(
            request=request.id,
            summary=request.summary,
            remark=word.remark,
            content_sha256=word.content_sha256.hex(),
        )
    )
    standing = approvers(tx, backed, policy)
    if len(standing) + 1 < quorum(tx):
        return backed
    if request.kind == RequestKind.ROLE:
        return _grant(tx, backed, ", ".join(standing))
    return _moved(tx, backed, RequestEvent.APPROVE)


def _still_enough(tx: Transaction, request: AccessRequest, policy: PolicySet) -> AccessRequest:
    """As it is, or waiting again: an approver counts no more, or it takes more of them now."""
    enough = len(approvers(tx, request, policy)) + 1 >= quorum(tx)
    if request.state == RequestState.PENDING or enough:
        return request
    return _moved(tx, request, RequestEvent.REOPEN)


def _grant(tx: Transaction, request: AccessRequest, by: str) -> AccessRequest:
    until = tx.now_ms + request.minutes * 60_000
    granted = replace(request.after(RequestEvent.APPROVE), until_ms=until)
    tx.requests.put(granted)
    tx.raise_revision()
    told = RoleGranted(request=request.id, summary=request.summary, by=by)
    tx.record(told, by=OPERATOR_PREFIX + request.requester)
    return granted


def _moved(tx: Transaction, request: AccessRequest, event: RequestEvent) -> AccessRequest:
    moved = request.after(event)
    tx.requests.put(moved)
    if moved.state not in OPEN:
        tx.requests.drop_content(moved.id, MAX_KEPT_BYTES)
    return moved
