"""A device's states as a table. There is no path to TRUSTED but a fresh affirming result
(PROVED).
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType

from framegate.errors import Reason, Refused


class State(StrEnum):
    """Where a device stands."""

    INVITED = "invited"
    PENDING = "pending"
    TRUSTED = "trusted"
    STALE = "stale"
    SUSPECT = "suspect"
    QUARANTINED = "quarantined"
    RETIRED = "retired"


class Event(StrEnum):
    """What can happen to it; also the reason code of the edge."""

    PROVED = "proved"  # a fresh affirming result
    PROVED_UNPINNED = (  # the same by a ticket without an EK hash: an operator has to approve
        "proved-unpinned"
    )
    CONTRADICTED = "contradicted"  # authenticated evidence contradicts policy
    LATE = "late"  # two intervals without a result
    APPROVED = "approved"
    QUARANTINE = "quarantine"
    RELEASE = "release"
    # a changed profile affirms the stored evidence that made it suspect; a fresh quote has to pass
    # too
    RECONSIDERED = "reconsidered"
    RETIRE = "retire"
    # another machine takes its place by an operator's ticket; it has proved nothing yet
    REPLACED = "replaced"


_S, _E = State, Event
TABLE = MappingProxyType(
    {
        (_S.INVITED, _E.PROVED): _S.TRUSTED,
        (_S.INVITED, _E.PROVED_UNPINNED): _S.PENDING,
        (_S.INVITED, _E.CONTRADICTED): _S.SUSPECT,
        (_S.INVITED, _E.QUARANTINE): _S.QUARANTINED,
        (_S.INVITED, _E.RETIRE): _S.RETIRED,
        (_S.PENDING, _E.PROVED): _S.PENDING,
        (_S.PENDING, _E.CONTRADICTED): _S.SUSPECT,
        (_S.PENDING, _E.APPROVED): _S.STALE,
        (_S.PENDING, _E.QUARANTINE): _S.QUARANTINED,
        (_S.PENDING, _E.RETIRE): _S.RETIRED,
        (_S.TRUSTED, _E.PROVED): _S.TRUSTED,
        (_S.TRUSTED, _E.CONTRADICTED): _S.SUSPECT,
        (_S.TRUSTED, _E.LATE): _S.STALE,
        (_S.TRUSTED, _E.QUARANTINE): _S.QUARANTINED,
        (_S.TRUSTED, _E.RETIRE): _S.RETIRED,
        (_S.STALE, _E.PROVED): _S.TRUSTED,
        (_S.STALE, _E.CONTRADICTED): _S.SUSPECT,
        (_S.STALE, _E.QUARANTINE): _S.QUARANTINED,
        (_S.STALE, _E.RETIRE): _S.RETIRED,
        (_S.SUSPECT, _E.PROVED): _S.SUSPECT,
        (_S.SUSPECT, _E.CONTRADICTED): _S.SUSPECT,
        (_S.SUSPECT, _E.RELEASE): _S.STALE,
        (_S.SUSPECT, _E.RECONSIDERED): _S.STALE,
        (_S.SUSPECT, _E.QUARANTINE): _S.QUARANTINED,
        (_S.SUSPECT, _E.RETIRE): _S.RETIRED,
        (_S.INVITED, _E.REPLACED): _S.INVITED,
        (_S.PENDING, _E.REPLACED): _S.INVITED,
        (_S.TRUSTED, _E.REPLACED): _S.INVITED,
        (_S.STALE, _E.REPLACED): _S.INVITED,
        (_S.SUSPECT, _E.REPLACED): _S.INVITED,
        (_S.QUARANTINED, _E.REPLACED): _S.QUARANTINED,
        (_S.QUARANTINED, _E.PROVED): _S.QUARANTINED,
        (_S.QUARANTINED, _E.CONTRADICTED): _S.QUARANTINED,
        (_S.QUARANTINED, _E.RELEASE): _S.STALE,
        (_S.QUARANTINED, _E.RETIRE): _S.RETIRED,
    }
)
"""(state, event) to next state; what is not here is refused. RETIRED has no way out: the name and
EK come back only by a new ticket.
"""


def step(state: State, event: Event) -> State:
    """The next state. Raises Refused (TRANSITION), saying what is allowed."""
    try:
        return TABLE[state, event]
    except KeyError:
        allowed = ", ".join(e for s, e in TABLE if s == state) or "nothing"
        raise Refused.of(
            Reason.TRANSITION, f"for a device that is {state}: {allowed}", event
        ) from None
