"""Limits on guessing. They slow an address down and never shut a person, or a plant, out for what somebody else does elsewhere."""

from __future__ import annotations

from collections import deque
from typing import Final

from framegate.errors import Reason, Refused

PAIR_TRIES: Final = 5
"""Wrong factors of one operator from one address, after which that address waits: a person mistypes twice, not five times."""
PAIR_WINDOW_MS: Final = 300_000
ADDRESS_TRIES: Final = 30
"""Wrong factors from one address, whoever's: a plant's one address at shift change has some mistyped ones."""
ADDRESS_WINDOW_MS: Final = 300_000
NAME_TRIES: Final = 20
"""Wrong factors of one operator from addresses that never knew them. Past it strangers' addresses wait; where the operator has signed in before, nothing changes."""
NAME_WINDOW_MS: Final = 900_000
MAX_KEPT: Final = 20_000
"""Counters in memory, each some hundred bytes; a flood of made-up names pushes out the oldest, which only makes them guess from the start."""


class SignInLimits:
    """Counts failures. `check` before a factor is looked at, `failed` after a wrong one; `good` after a right one remembers the address."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], deque[int]] = {}
        self._known: dict[tuple[str, str], int] = {}

    def check(self, operator: str, address: str, now_ms: int) -> None:
        """Raises Refused (LOCKED), saying for how long; the same for names that exist and names that do not."""
        rules = [(("pair", f"{operator} {address}"), PAIR_TRIES, PAIR_WINDOW_MS), (("address", address), ADDRESS_TRIES, ADDRESS_WINDOW_MS)]
        if (operator, address) not in self._known:
            rules.append((("name", operator), NAME_TRIES, NAME_WINDOW_MS))
        for key, tries, window in rules:
            failures = self._recent(key, window, now_ms)
            if len(failures) >= tries:
                wait = max(1, (failures[-tries] + window - now_ms + 59_999) // 60_000)
                raise Refused.of(
                    Reason.LOCKED, f"at most {tries} wrong tries in {window // 60_000} min", f"{len(failures)}", f"wait {wait} min; from where you signed in before it goes on"
                )

    def failed(self, operator: str, address: str, now_ms: int) -> None:
        """A wrong factor."""
        for key in (("pair", f"{operator} {address}"), ("address", address)):
            self._add(key, now_ms)
        if (operator, address) not in self._known:
            self._add(("name", operator), now_ms)

    def good(self, operator: str, address: str, now_ms: int) -> None:
        """A right one: the pair's failures are forgotten, the address is known from now on."""
        self._seen.pop(("pair", f"{operator} {address}"), None)
        self._known[operator, address] = now_ms
        if len(self._known) > MAX_KEPT:
            self._known.pop(next(iter(self._known)))

    def know(self, operator: str, address: str) -> None:
        """An address from which the operator signed in before this process began."""
        self._known.setdefault((operator, address), 0)

    def _recent(self, key: tuple[str, str], window: int, now_ms: int) -> deque[int]:
        failures = self._seen.get(key, deque())
        while failures and failures[0] <= now_ms - window:
            failures.popleft()
        return failures

    def _add(self, key: tuple[str, str], now_ms: int) -> None:
        if key not in self._seen and len(self._seen) >= MAX_KEPT:
            self._seen.pop(next(iter(self._seen)))
        self._seen.setdefault(key, deque(maxlen=100)).append(now_ms)
