"""Limits on strangers at the join port: wrong tickets of an address, and challenges it left
open.
"""

from __future__ import annotations

from collections import deque
from threading import Lock
from typing import Final, Protocol

from framegate.errors import Reason, Refused
from framegate_controller.timing import NONCE_LIFE_MS, TICKET_TRIES, TICKET_WINDOW_S

MAX_ADDRESSES: Final = 10_000
"""Addresses remembered, each some hundred bytes; a flood of others pushes out the quietest, which
only lets them try from the start.
"""
MAX_OPEN: Final = 2_000
"""Unfinished challenges of strangers in their minute, all addresses together."""
MAX_OPEN_ADDRESS: Final = 64
"""Unfinished challenges of one address: a plant behind one NAT joins some dozen machines at once.
"""


class TicketTries(Protocol):
    """Tries of tickets by each address in the last minute (N31).

    A try counts as a wrong one from `begin` on, before the ticket is looked up.
    """

    def begin(self, address: str, now_ms: int) -> None:
        """Count a try, in one step with asking whether there is one left.

        Raises Refused (TOO_MANY_TRIES) where the address has used up its tries.
        """

    def right(self, address: str, now_ms: int) -> None:
        """The ticket of the try of `now_ms` is one of this fleet: it counts no more."""


class OpenChallenges(Protocol):
    """Challenges given to strangers and not answered yet (N86). They cost nothing but this
    count.
    """

    def opened(self, address: str, session: bytes, now_ms: int) -> None:
        """One more. Raises Refused (TOO_MANY_TRIES) where too many are open."""

    def closed(self, session: bytes) -> None:
        """It was answered."""


class InMemoryTicketTries:
    """Tries at this process."""

    def __init__(self) -> None:
        self._seen: dict[str, deque[int]] = {}
        self._lock = Lock()

    def begin(self, address: str, now_ms: int) -> None:
        """See `TicketTries`."""
        with self._lock:
            tries = self._seen.get(address, deque())
            while tries and tries[0] < now_ms - TICKET_WINDOW_S * 1000:
                tries.popleft()
            if len(tries) >= TICKET_TRIES:
                hint = "wait a minute, then use the ticket as it was given"
                raise Refused.of(
                    Reason.TOO_MANY_TRIES,
                    f"at most {TICKET_TRIES} wrong tickets a minute",
                    len(tries),
                    hint,
                )
            if address not in self._seen and len(self._seen) >= MAX_ADDRESSES:
                self._seen.pop(next(iter(self._seen)))
            self._seen.setdefault(address, tries).append(now_ms)

    def right(self, address: str, now_ms: int) -> None:
        """See `TicketTries`."""
        with self._lock:
            tries = self._seen.get(address)
            if tries is not None and now_ms in tries:
                tries.remove(now_ms)
                if not tries:
                    del self._seen[address]


class InMemoryOpenChallenges:
    """Challenges of this process, in the order in which they end."""

    def __init__(self) -> None:
        self._open: dict[bytes, tuple[str, int]] = {}
        self._of: dict[str, int] = {}

    def opened(self, address: str, session: bytes, now_ms: int) -> None:
        """See `OpenChallenges`."""
        while self._open and next(iter(self._open.values()))[1] < now_ms:
            self.closed(next(iter(self._open)))
        mine = self._of.get(address, 0)
        if len(self._open) >= MAX_OPEN or mine >= MAX_OPEN_ADDRESS:
            raise Refused.of(
                Reason.TOO_MANY_TRIES,
                f"at most {MAX_OPEN_ADDRESS} open challenges from one address",
                mine,
                "finish or wait a minute",
            )
        self._open[session] = (address, now_ms + NONCE_LIFE_MS)
        self._of[address] = mine + 1

    def closed(self, session: bytes) -> None:
        """See `OpenChallenges`."""
        opened = self._open.pop(session, None)
        if opened is None:
            return
        left = self._of[opened[0]] - 1
        if left:
            self._of[opened[0]] = left
        else:
            del self._of[opened[0]]
