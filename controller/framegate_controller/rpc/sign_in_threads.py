"""Threads that sign-ins wait in: so many at once, so many that wait, so many of one address."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from framegate.errors import Reason, Unavailable
from framegate_host.prefixes import prefix_of

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Lane:
    """How much a kind of sign-in may take up: threads, calls in all, and calls of one address."""

    name: str
    threads: int
    calls: int
    calls_address: int


class SignInThreads:
    """One lane's threads. Of the event loop alone; what is done in them may block."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._pool = ThreadPoolExecutor(lane.threads, lane.name)
        self._calls: Counter[str] = Counter()

    async def run(self, address: str, work: Callable[[], T]) -> T:
        """What `work` gives. Raises Unavailable where too many wait already, in all or of one IPv4
        address or IPv6 /64.
        """
        lane, address = self._lane, prefix_of(address)
        if self._calls.total() >= lane.calls or self._calls[address] >= lane.calls_address:
            wanted = f"at most {lane.calls} people signing in at once"
            raise Unavailable.of(
                Reason.TOO_MANY_TRIES, wanted, "more", "try again in a few seconds"
            )
        self._calls[address] += 1
        done = asyncio.get_running_loop().run_in_executor(self._pool, work)
        # it counts until it has ended, not until its caller hangs up: a thread goes on
        done.add_done_callback(lambda _: self._ended(address))
        return await asyncio.shield(done)

    def close(self) -> None:
        """End its threads, when what is under way in them has ended; what waits is called off.
        Blocks.
        """
        self._pool.shutdown(cancel_futures=True)

    def _ended(self, address: str) -> None:
        self._calls[address] -= 1
        if not self._calls[address]:
            del self._calls[address]
