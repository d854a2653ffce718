"""Limits on strangers at the join port: wrong tickets of a network."""

from __future__ import annotations

from collections import deque
from threading import Lock
from typing import Final, Protocol

from framegate.errors import Reason, Refused
from framegate_controller.store.shared.limits import no_later
from framegate_controller.timing import TICKET_TRIES, TICKET_WINDOW_S
from framegate_host.prefixes import prefix_of

MAX_NETWORKS: Final = 10_000
"""Networks remembered, each some hundred bytes; a flood of others pushes out the quietest, which
only lets them try from the start.
"""


class TicketTries(Protocol):
    """Tries of tickets by each network (IPv4 address, IPv6 /64) in the last minute (N31, N138).

    A try counts as a wrong one from `begin` on, before the ticket is looked up.
    """

    def begin(self, address: str, now_ms: int) -> None:
        """Count a try, in one step with asking whether there is one left.

        Raises Refused (TOO_MANY_TRIES) where its network has used up its tries.
        """

    def right(self, address: str, now_ms: int) -> None:
        """The ticket of the try of `now_ms` is one of this fleet: it counts no more."""


class InMemoryTicketTries:
    """Tries at this process."""

    def __init__(self) -> None:
        self._seen: dict[str, deque[int]] = {}
        self._lock = Lock()

    def begin(self, address: str, now_ms: int) -> None:
        """See `TicketTries`."""
        network = prefix_of(address)
        with self._lock:
            tries = self._seen.get(network, deque())
            no_later(tries, now_ms)
            while tries and tries[0] < now_ms - TICKET_WINDOW_S * 1000:
                tries.popleft()
            if len(tries) >= TICKET_TRIES:
                raise too_many_tickets(len(tries))
            if network not in self._seen and len(self._seen) >= MAX_NETWORKS:
                self._seen.pop(next(iter(self._seen)))
            self._seen.setdefault(network, tries).append(now_ms)

    def right(self, address: str, now_ms: int) -> None:
        """See `TicketTries`."""
        network = prefix_of(address)
        with self._lock:
            tries = self._seen.get(network)
            if tries is not None and now_ms in tries:
                tries.remove(now_ms)
                if not tries:
                    del self._seen[network]


def too_many_tickets(tries: int) -> Refused:
    """That a network has used up its tries."""
    hint = "wait a minute, then use the ticket as it was given"
    wanted = f"at most {TICKET_TRIES} wrong tickets a minute"
    return Refused.of(Reason.TOO_MANY_TRIES, wanted, tries, hint)
