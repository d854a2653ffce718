"""Limits on guessing.

They slow an address down and never shut a person, or a plant, out for what somebody else does
elsewhere.
"""

from __future__ import annotations

from collections import deque
from threading import Lock
from typing import Final, Protocol

from framegate.errors import Reason, Refused

PAIR_TRIES: Final = 5
"""Wrong factors of one operator from one address, after which that address waits.

A person mistypes twice, not five times.
"""
PAIR_WINDOW_MS: Final = 300_000
ADDRESS_TRIES: Final = 30
"""Wrong factors from one address, whoever's.

A plant's one address at shift change has some mistyped ones.
"""
ADDRESS_WINDOW_MS: Final = 300_000
NAME_TRIES: Final = 20
"""Wrong factors of one operator from addresses that never knew them.

Past it strangers' addresses wait; where the operator has signed in before, nothing changes.
"""
NAME_WINDOW_MS: Final = 900_000
MAX_KEPT: Final = 20_000
"""Counters in memory, each some hundred bytes.

A flood of made-up names pushes out the oldest, which only makes them guess from the start.
"""
MAX_FAILURES: Final = 100
"""Failures of one counter that are remembered: more than any limit asks for."""
_MINUTE_MS: Final = 60_000
_Counter = tuple[str, ...]


class SignInLimits(Protocol):
    """Counts failures: `check` before a factor is looked at, then `failed` or `good`."""

    def check(self, operator: str, address: str, now_ms: int) -> None:
        """Raises Refused (LOCKED), saying for how long; for names that exist and others alike."""

    def failed(self, operator: str, address: str, now_ms: int) -> None:
        """A wrong factor."""

    def good(self, operator: str, address: str, now_ms: int) -> None:
        """A right one: the pair's failures are forgotten, the address is known from now on."""

    def know(self, operator: str, address: str) -> None:
        """An address from which the operator signed in before this process began."""


class InMemorySignInLimits:
    """Counts of this process."""

    def __init__(self) -> None:
        self._seen: dict[_Counter, deque[int]] = {}
        self._known: dict[tuple[str, str], int] = {}
        self._lock = Lock()

    def check(self, operator: str, address: str, now_ms: int) -> None:
        """See `SignInLimits`."""
        rules: list[tuple[_Counter, int, int]] = [
            (("pair", operator, address), PAIR_TRIES, PAIR_WINDOW_MS),
            (("address", address), ADDRESS_TRIES, ADDRESS_WINDOW_MS),
        ]
        with self._lock:
            if (operator, address) not in self._known:
                rules.append((("name", operator), NAME_TRIES, NAME_WINDOW_MS))
            for counter, tries, window in rules:
                failures = self._recent(counter, now_ms - window)
                if len(failures) >= tries:
                    raise _locked(tries, window, len(failures), failures[-tries] + window - now_ms)

    def failed(self, operator: str, address: str, now_ms: int) -> None:
        """See `SignInLimits`."""
        with self._lock:
            self._add(("pair", operator, address), now_ms)
            self._add(("address", address), now_ms)
            if (operator, address) not in self._known:
                self._add(("name", operator), now_ms)

    def good(self, operator: str, address: str, now_ms: int) -> None:
        """See `SignInLimits`."""
        with self._lock:
            self._seen.pop(("pair", operator, address), None)
            self._known[operator, address] = now_ms
            if len(self._known) > MAX_KEPT:
                self._known.pop(next(iter(self._known)))

    def know(self, operator: str, address: str) -> None:
        """See `SignInLimits`."""
        with self._lock:
            self._known.setdefault((operator, address), 0)

    def _recent(self, counter: _Counter, since_ms: int) -> deque[int]:
        failures = self._seen.get(counter, deque())
        while failures and failures[0] <= since_ms:
            failures.popleft()
        return failures

    def _add(self, counter: _Counter, now_ms: int) -> None:
        if counter not in self._seen and len(self._seen) >= MAX_KEPT:
            self._seen.pop(next(iter(self._seen)))
        self._seen.setdefault(counter, deque(maxlen=MAX_FAILURES)).append(now_ms)


def _locked(tries: int, window_ms: int, failures: int, left_ms: int) -> Refused:
    wait = max(1, -(-left_ms // _MINUTE_MS))
    return Refused.of(
        Reason.LOCKED,
        f"at most {tries} wrong tries in {window_ms // _MINUTE_MS} min",
        f"{failures}",
        f"wait {wait} min; from where you signed in before it goes on",
    )
