"""Requests as a state machine: a role for a while, others' approval of one exact act, a review of
what cannot be undone.

A request counts once: no event leads out of USED, DENIED, EXPIRED or ENDED, and APPROVED goes back
to PENDING only where an approver does not count any more before it was used.
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType

from framegate.machines.table import move


class RequestKind(StrEnum):
    """What is asked."""

    ROLE = "role"  # a role for some minutes
    ACT = "act"  # others' approval of a verb with exactly this content
    REVIEW = "review"  # somebody else is to look into the use of a sealed credential


class RequestState(StrEnum):
    """Where it stands."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    USED = "used"
    EXPIRED = "expired"
    ENDED = "ended"


class RequestEvent(StrEnum):
    """What happens to it."""

    APPROVE = "approve"  # as many as it takes have agreed
    REOPEN = "reopen"  # an approver counts no more, or it takes more of them now
    DENY = "deny"  # a single no
    USE = "use"  # the act was done, in this very transaction
    EXPIRE = "expire"  # nobody decided, or nobody did it, in time
    END = "end"  # the role's time is over


_S, _E = RequestState, RequestEvent
TABLE = MappingProxyType(
    {
        (_S.PENDING, _E.APPROVE): _S.APPROVED,
        (_S.PENDING, _E.DENY): _S.DENIED,
        (_S.PENDING, _E.EXPIRE): _S.EXPIRED,
        (
            _S.PENDING,
            _E.USE,
        ): _S.USED,  # enough approvals count at this moment, though it was not marked so
        (_S.APPROVED, _E.REOPEN): _S.PENDING,
        (_S.APPROVED, _E.USE): _S.USED,
        (_S.APPROVED, _E.EXPIRE): _S.EXPIRED,
        (_S.APPROVED, _E.END): _S.ENDED,
    }
)


def step(state: RequestState, event: RequestEvent) -> RequestState:
    """The next state. Raises Refused (TRANSITION)."""
    return move(TABLE, state, event, "a request")
