"""Limits on guessing, by IPv4 address or IPv6 /64 (N138).

They slow an address down and never shut a person, or a plant, out for what somebody else does
elsewhere.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from threading import Lock
from typing import Final, Protocol

from framegate.errors import Reason, Refused
from framegate_host.prefixes import prefix_of

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
AHEAD_MS: Final = _MINUTE_MS
"""By which controllers of one fleet differ at most; who is further ahead was wrong."""
_Counter = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Try:
    """A try that is counted: at whose factors, from where, and when (ms)."""

    operator: str
    address: str
    at_ms: int


class SignInLimits(Protocol):
    """Counts tries at factors.

    A try counts as a wrong one from `begin` on, before a factor is looked at: many that come at
    once are many tries. Who began it MUST say `right` or `good` where the factor was right.
    """

    def begin(self, operator: str, address: str, now_ms: int) -> Try:
        """Count a try, in one step with asking whether there is one left.

        Raises Refused (LOCKED), saying for how long; for names that exist and others alike. A try
        that is refused is not counted.
        """

    def right(self, tried: Try) -> None:
        """Its factor was right: it counts no more."""

    def good(self, tried: Try) -> None:
        """It became a session: the pair's failures are forgotten, the address is known from now
        on.
        """

    def know(self, operator: str, address: str) -> None:
        """An address from which the operator signed in before this process began."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A counter, and how many tries it takes in a window."""

    counter: _Counter
    tries: int
    window_ms: int

    @property
    def name(self) -> str:
        """The counter as one text."""
        return " ".join(self.counter)


def counters_of(operator: str, network: str, *, known: bool) -> list[Rule]:
    """Where a try counts: of one person from one network first; whoever `known` signed in from
    there before is not held up by what strangers do elsewhere.
    """
    rules = [
        Rule(("pair", operator, network), PAIR_TRIES, PAIR_WINDOW_MS),
        Rule(("address", network), ADDRESS_TRIES, ADDRESS_WINDOW_MS),
    ]
    return rules if known else [*rules, Rule(("name", operator), NAME_TRIES, NAME_WINDOW_MS)]


class InMemorySignInLimits:
    """Counts of this process."""

    def __init__(self) -> None:
        self._seen: dict[_Counter, deque[int]] = {}
        self._known: dict[tuple[str, str], int] = {}
        self._lock = Lock()

    def begin(self, operator: str, address: str, now_ms: int) -> Try:
        """See `SignInLimits`."""
        network = prefix_of(address)
        with self._lock:
            rules = counters_of(operator, network, known=(operator, network) in self._known)
            for rule in rules:
                no_later(self._seen.get(rule.counter, deque()), now_ms)
                failures = self._recent(rule.counter, now_ms - rule.window_ms)
                if len(failures) >= rule.tries:
                    left_ms = failures[-rule.tries] + rule.window_ms - now_ms
                    raise locked(rule.tries, rule.window_ms, len(failures), left_ms)
            for rule in rules:
                self._add(rule.counter, now_ms)
        return Try(operator, address, now_ms)

    def right(self, tried: Try) -> None:
        """See `SignInLimits`."""
        network = prefix_of(tried.address)
        with self._lock:
            self._take_back(("pair", tried.operator, network), tried.at_ms)
            self._take_back(("address", network), tried.at_ms)
            self._take_back(("name", tried.operator), tried.at_ms)

    def good(self, tried: Try) -> None:
        """See `SignInLimits`."""
        self.right(tried)
        network = prefix_of(tried.address)
        with self._lock:
            self._seen.pop(("pair", tried.operator, network), None)
            self._known[tried.operator, network] = tried.at_ms
            if len(self._known) > MAX_KEPT:
                self._known.pop(next(iter(self._known)))

    def know(self, operator: str, address: str) -> None:
        """See `SignInLimits`."""
        with self._lock:
            self._known.setdefault((operator, prefix_of(address)), 0)

    def _recent(self, counter: _Counter, since_ms: int) -> deque[int]:
        failures = self._seen.get(counter, deque())
        while failures and failures[0] <= since_ms:
            failures.popleft()
        return failures

    def _add(self, counter: _Counter, now_ms: int) -> None:
        if counter not in self._seen and len(self._seen) >= MAX_KEPT:
            self._seen.pop(next(iter(self._seen)))
        self._seen.setdefault(counter, deque(maxlen=MAX_FAILURES)).append(now_ms)

    def _take_back(self, counter: _Counter, at_ms: int) -> None:
        failures = self._seen.get(counter)
        if failures is not None and at_ms in failures:
            failures.remove(at_ms)


def no_later(tries: deque[int], now_ms: int) -> None:
    """Tries of later than `AHEAD_MS` from now were counted by a clock that was ahead, and are of
    now: they hold up nobody for longer.
    """
    for place, at_ms in enumerate(tries):
        if at_ms > now_ms + AHEAD_MS:
            tries[place] = now_ms


def locked(tries: int, window_ms: int, failures: int, left_ms: int) -> Refused:
    """That a counter has no try left, and for how long."""
    wait = max(1, -(-left_ms // _MINUTE_MS))
    return Refused.of(
        Reason.LOCKED,
        f"at most {tries} wrong tries in {window_ms // _MINUTE_MS} min",
        f"{failures}",
        f"wait {wait} min; from where you signed in before it goes on",
    )
