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
    and so is full again. A clock that goes back fills nothing; what comes back counts from there.
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
            self._put(key, _Level(tokens - cost, now_ms))
            return True

    def level(self, key: K, now_ms: int) -> float:
        """How much there is; nothing is taken."""
        with self._lock:
            return self._tokens(key, now_ms)

    def learn(self, key: K, tokens: float, now_ms: int) -> None:
        """There is so much in it, as whoever counts for several processes says."""
        with self._lock:
            self._put(key, _Level(tokens, now_ms))

    def _put(self, key: K, level: _Level) -> None:
        self._levels.pop(key, None)
        self._levels[key] = level
        if len(self._levels) > self._most:
            self._levels.popitem(last=False)

    def _tokens(self, key: K, now_ms: int) -> float:
        level = self._levels.get(key)
        if level is None:
            return self._rate.burst
        if level.at_ms > now_ms:  # a clock set an hour back keeps an empty bucket empty for no hour
            level = self._levels[key] = _Level(level.tokens, now_ms)
        past_s = (now_ms - level.at_ms) / 1000
        return min(self._rate.burst, level.tokens + past_s * self._rate.per_s)
