"""Token buckets by key: a burst at once, and then so much a second."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock
from typing import Generic, NamedTuple, TypeVar

K = TypeVar("K", bound=Hashable)


class Rate(NamedTuple):
    """What a full bucket holds, and what comes back in a second."""

    burst: float
    per_s: float


class _Level(NamedTuple):
    tokens: float
    at_ms: int


class TokenBuckets(Generic[K]):
    """At most `most` buckets that are not full; the one untouched for longest is forgotten first,
    and so is full again. A clock that goes back fills nothing.
    """

    def __init__(self, rate: Rate, most: int) -> None:
        self._rate, self._most, self._lock = rate, most, Lock()
        self._levels: OrderedDict[K, _Level] = OrderedDict()

    def __len__(self) -> int:
        return len(self._levels)

    def take(self, key: K, now_ms: int, cost: float = 1.0) -> bool:
        """Whether there was as much, which is then gone."""
        with self._lock:
            tokens = self._tokens(key, now_ms)
            if tokens < cost:
                return False
            self._levels.pop(key, None)
            self._levels[key] = _Level(tokens - cost, now_ms)
            if len(self._levels) > self._most:
                self._levels.popitem(last=False)
            return True

    def has(self, key: K, now_ms: int, cost: float = 1.0) -> bool:
        """Whether there is as much; nothing is taken."""
        with self._lock:
            return self._tokens(key, now_ms) >= cost

    def wait_s(self, key: K, now_ms: int, cost: float = 1.0) -> float:
        """Seconds until there is as much; infinite where a full bucket does not hold it."""
        if cost > self._rate.burst:
            return float("inf")
        with self._lock:
            return max(0.0, (cost - self._tokens(key, now_ms)) / self._rate.per_s)

    def _tokens(self, key: K, now_ms: int) -> float:
        level = self._levels.get(key)
        if level is None:
            return self._rate.burst
        past_s = max(0, now_ms - level.at_ms) / 1000
        return min(self._rate.burst, level.tokens + past_s * self._rate.per_s)
