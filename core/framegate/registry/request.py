"""A request as the controller keeps it: what was asked never changes after it was asked; its state
moves by its table.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from framegate.machines.request import RequestEvent, RequestKind, RequestState, step

REVIEW_TARGET: Final = "break-glass"
"""What policies and people's lists call a review, in the place of a verb's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """Who agreed, and when."""

    operator: str
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRequest:
    """Somebody asks for a role for `minutes`, for approval of `verb` with exactly `content_sha256`,
    or for a review.

    `summary` is derived from the message that is asked for, of type `content_type`; `reason` is
    what the requester says.
    """

    id: str
    kind: RequestKind
    requester: str
    zone: str
    summary: str
    reason: str
    verb: str = ""
    target: str = ""
    content_type: str = ""
    content_sha256: bytes = b""
    policy_sha256: bytes = b""
    role: str = ""
    minutes: int = 0
    state: RequestState = RequestState.PENDING
    approvals: tuple[Approval, ...] = ()
    asked_ms: int = 0
    expires_ms: int = 0
    until_ms: int = 0

    @property
    def about(self) -> str:
        """What an approver is asked to approve, as policies name it."""
        match self.kind:
            case RequestKind.ROLE:
                return f"role:{self.role}"
            case RequestKind.ACT:
                return self.verb
            case RequestKind.REVIEW:
                return REVIEW_TARGET

    def after(self, event: RequestEvent) -> AccessRequest:
        """The request after `event`. Raises Refused (TRANSITION)."""
        return replace(self, state=step(self.state, event))
