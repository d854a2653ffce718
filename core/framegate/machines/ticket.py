"""A ticket to join as a state machine. It is good once: no event leads out of USED."""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType

from framegate.machines.table import move


class TicketState(StrEnum):
    """Where a ticket stands. That a reservation or the ticket itself ran out, the clock says
    (`Ticket.state`).
    """

    OPEN = "open"
    RESERVED = "reserved"
    USED = "used"
    EXPIRED = "expired"


class TicketEvent(StrEnum):
    """What happens to it."""

    RESERVE = "reserve"  # a TPM began with it: for a minute nobody else can
    USE = "use"  # that TPM proved itself


_S, _E = TicketState, TicketEvent
TABLE = MappingProxyType(
    {
        (_S.OPEN, _E.RESERVE): _S.RESERVED,
        (_S.RESERVED, _E.RESERVE): _S.RESERVED,  # by the same TPM, which began again
        (_S.RESERVED, _E.USE): _S.USED,
        (
            _S.OPEN,
            _E.USE,
            # its reservation ran out while the evidence was on its way, and nobody else took it
        ): _S.USED,
    }
)


def step(state: TicketState, event: TicketEvent) -> TicketState:
    """The next state. Raises Refused (TRANSITION)."""
    return move(TABLE, state, event, "a ticket")
