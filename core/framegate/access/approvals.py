"""Somebody else's approval of one exact act, as the controller signs it for a gateway."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Final

from cryptography import x509

from framegate.errors import Reason, Refused
from framegate.identity.certificates import Purpose
from framegate.signed.statement import CLOCK_SLACK_MS, Statement
from framegate.wire import sha256

APPROVAL_LIFE_MS: Final = 300_000
"""From its issue to the act: the command that fetched it runs at once."""


@dataclass(frozen=True, slots=True)
class Content:
    """One exact message: its type, its bytes (protobuf, deterministic), and those bytes in a line.

    `summary` is derived from the bytes alone. What somebody says about them is no part of it.
    """

    kind: str
    body: bytes
    summary: str

    def digest(self, verb: str) -> bytes:
        """What an approval of `verb` with exactly this is of."""
        return content_digest(verb, self.kind, self.body)


@dataclass(frozen=True, slots=True)
class AskedAct:
    """One exact act as a gateway is asked for it: `requester` wants `verb` with the content of this
    digest (32 bytes, `content_digest`), at `gateway` of `zone`, under the policy of this digest.
    """

    verb: str
    content_sha256: bytes
    requester: str
    gateway: str
    zone: str
    policy_sha256: bytes


@dataclass(frozen=True, slots=True)
class ApprovalStatement(Statement):
    """`approvers` approve that `requester` does `verb` with exactly the content of this digest
    (hex), under this policy, at this gateway, once.
    """

    request_id: str
    verb: str
    zone: str
    content_sha256: str
    requester: str
    approvers: tuple[str, ...]
    policy_sha256: str
    gateway: str
    reason: str
    issued_at_ms: int

    TYPE: ClassVar[str] = "application/vnd.framegate.approval+json"
    PURPOSE: ClassVar[Purpose] = Purpose.APPROVAL


def content_digest(verb: str, kind: str, content: bytes) -> bytes:
    """What an approval is of: the verb, the message's type and its bytes (protobuf, deterministic),
    so that nothing can be swapped afterwards.
    """
    return sha256(
        b"framegate/v1/content\0"
        + b"".join(len(p).to_bytes(4, "big") + p for p in (verb.encode(), kind.encode(), content))
    )


def verify_approval(
    data: bytes, act: AskedAct, root: x509.Certificate, now: datetime
) -> ApprovalStatement:
    """An approval of `act` that counts here and now.

    1. to 4. as `Statement.verify`; 5. it is of this verb and this content; 6. by this requester, at
       this gateway of this zone, and no approver is the requester;
    7. under the policy in force here; 8. not older than `APPROVAL_LIFE_MS`. That it was not used
       before, and that approvers still stand, the caller MUST check. Raises Malformed or Refused
       (APPROVAL_NEEDED).
    """
    approval, _ = ApprovalStatement.verify(data, (), root, now)
    if approval.verb != act.verb or approval.content_sha256 != act.content_sha256.hex():  # 5
        raise Refused.of(
            Reason.APPROVAL_NEEDED,
            f"an approval of exactly this {act.verb}",
            f"one of another {approval.verb}",
            "ask anew: what was approved is not what is asked",
        )
    if (
        approval.requester != act.requester
        or (approval.gateway, approval.zone) != (act.gateway, act.zone)
        or act.requester in approval.approvers
        or not approval.approvers
    ):  # 6
        raise Refused.of(
            Reason.APPROVAL_NEEDED,
            f"an approval of what {act.requester} asks of {act.gateway}",
            f"one for {approval.requester} at {approval.gateway} of {approval.zone}",
        )
    if approval.policy_sha256 != act.policy_sha256.hex():  # 7
        raise Refused.of(
            Reason.APPROVAL_NEEDED,
            "an approval under the policy in force",
            "one under another",
            "the policy changed since: ask anew",
        )
    age = int(now.timestamp() * 1000) - approval.issued_at_ms
    if not -CLOCK_SLACK_MS <= age <= APPROVAL_LIFE_MS:  # 8
        raise Refused.of(
            Reason.APPROVAL_NEEDED,
            f"an approval of the last {APPROVAL_LIFE_MS // 1000} s",
            f"{age / 1000:.0f} s old",
        )
    return approval
