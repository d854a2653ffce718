"""One timer for each name, in a thread of their own: no event loop and no other thread that is
busy keeps one from firing.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

AT_ONCE: Final = 100
"""Names that are fired together: what is done for them is one transaction, some tenths of a
second.
"""
Fire = Callable[[Sequence[str]], None]


class Timers(Protocol):
    """One timer for each name."""

    def arm(self, name: str, delay_s: float) -> None:
        """Fire for `name` after `delay_s`; an earlier timer of that name is gone."""

    def armed(self, name: str) -> bool:
        """Whether there is one that has not fired."""

    def stop(self) -> None:
        """Fire no more. Forgets them all; what was fired may be under way."""

    def ended(self, within_s: float) -> bool:
        """Wait until nothing is under way; whether that came in time."""


class ThreadTimers:
    """Timers of this process: they end with it, and are armed out of the store. Names that are due
    are fired together, `AT_ONCE` at most.

    A name stands in the heap once, unless its timer was set to fire earlier than it would have:
    what is later is looked up when that one is due. So it holds as many as there are names, however
    often they are armed.
    """

    def __init__(self, fire: Fire, name: str) -> None:
        self._fire = fire
        self._due: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []
        self._changed, self._ending = threading.Condition(), False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def arm(self, name: str, delay_s: float) -> None:
        """See `Timers`."""
        due_s = time.monotonic() + max(0.0, delay_s)
        with self._changed:
            if self._ending:
                return
            before = self._due.get(name)
            self._due[name] = due_s
            if before is None or due_s < before:
                heapq.heappush(self._heap, (due_s, name))
                self._changed.notify()
            if not self._thread.is_alive():
                self._thread.start()

    def armed(self, name: str) -> bool:
        """See `Timers`."""
        with self._changed:
            return name in self._due

    def stop(self) -> None:
        """See `Timers`."""
        with self._changed:
            self._ending = True
            self._due.clear()
            self._heap.clear()
            self._changed.notify()

    def ended(self, within_s: float) -> bool:
        """See `Timers`."""
        if self._thread.is_alive():
            self._thread.join(within_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (names := self._next()) is not None:
            if names:
                self._fire(names)

    def _next(self) -> Sequence[str] | None:
        """Names that are due, once there are any; None at the end."""
        with self._changed:
            while not self._ending:
                now = time.monotonic()
                names = self._taken(now)
                if names:
                    return names
                self._changed.wait(self._heap[0][0] - now if self._heap else None)
        return None

    def _taken(self, now_s: float) -> Sequence[str]:
        names: list[str] = []
        while self._heap and self._heap[0][0] <= now_s and len(names) < AT_ONCE:
            _, name = heapq.heappop(self._heap)
            due_s = self._due.get(name)
            if due_s is None:
                continue  # it was fired by an earlier place in the heap
            if due_s > now_s:
                heapq.heappush(self._heap, (due_s, name))  # it was armed anew since
                continue
            del self._due[name]
            names.append(name)
        return names
