"""Shares of verifiers' time, counted by the controllers of a PostgreSQL database together (N210).

What is taken is one statement beside the others. What was last seen of a share stays in memory, so
whoever has used theirs up is refused without another question.
"""

from __future__ import annotations

from itertools import count
from typing import Final, NamedTuple

from framegate.errors import Refused
from framegate_controller.store.postgres import PostgresEngines
from framegate_controller.store.shared.quotas import (
    BEGINS,
    MAX_KEPT,
    Level,
    MachineRates,
    too_many_begins,
)
from framegate_host.prefixes import prefix_of
from framegate_host.token_buckets import Rate, TokenBuckets

NOTHING: Final = Rate(0, 0)
"""The other half of a share that is of calls alone."""
CLEAR_EVERY: Final = 64
CLEAR: Final = 256
"""Every so many takes so many full shares are forgotten: strangers make names up at 32 a second."""
_FILLED: Final = "LEAST({0}::float8, q.{1} + GREATEST(0, $2::bigint - q.at_ms) * {2}::float8)"
_CALLS: Final = _FILLED.format("$3", "calls", "$5")
_SIZE: Final = _FILLED.format("$4", "size", "$6")
_TAKE: Final = (
    "INSERT INTO quota_levels AS q (name, calls, size, at_ms, full_ms)"
    " VALUES ($1, $3::float8 - 1, $4::float8 - $7::float8, $2, $8)"
    " ON CONFLICT (name) DO UPDATE SET"
    f" calls = {_CALLS} - 1, size = {_SIZE} - $7, at_ms = $2, full_ms = $8"
    f" WHERE {_CALLS} >= 1 AND {_SIZE} >= $7"
    " RETURNING calls, size"
)
_LEFT: Final = f"SELECT {_CALLS}, {_SIZE} FROM quota_levels AS q WHERE name = $1"
"""Of both: $1 name; $2 now, ms; $3, $4 calls and bytes of a full share; $5, $6 what comes back of
them in a millisecond. Of the first alone: $7 bytes that are taken; $8 when it is full, ms.
"""
_FOLLOW: Final = "UPDATE quota_levels SET at_ms = $2 WHERE name = $1 AND at_ms > $2"
_CLEAR: Final = (
    "DELETE FROM quota_levels WHERE name IN (SELECT name FROM quota_levels WHERE full_ms < $1"
    " LIMIT $2 FOR UPDATE SKIP LOCKED)"
)


class Taken(NamedTuple):
    """What is left of a share, and whether what was asked for is out of it."""

    left: Level
    good: bool


class Shares:
    """Levels by name, in the database."""

    def __init__(self, engines: PostgresEngines) -> None:
        self._engines, self._takes = engines, count(1)

    def take(self, name: str, rates: MachineRates, cost: int, now_ms: int) -> Taken:
        """One call with `cost` bytes, in one step with asking whether there is as much: of two
        controllers that ask for the last of it one gets it. A full share holds `cost`.
        """
        share = (
            name,
            now_ms,
            float(rates.calls.burst),
            float(rates.size.burst),
            rates.calls.per_s / 1000,
            rates.size.per_s / 1000,
        )
        taking = (*share, float(cost), now_ms + _whole_ms(rates))
        left = self._engines.ask_aside(_TAKE, taking)
        if left is None:
            with self._engines.aside() as c:
                left = self._engines.ask(c, _TAKE, taking)
                if left is None:  # the refusal has locked the row: it is as it was refused
                    left = self._engines.ask(c, _LEFT, share) or (0.0, 0.0)
                    # a clock that was set an hour back keeps an empty share empty for no hour
                    self._engines.ask(c, _FOLLOW, share[:2])
                    return Taken(Level(*left), good=False)
        if next(self._takes) % CLEAR_EVERY == 0:
            self._engines.ask_aside(_CLEAR, (now_ms, CLEAR))
        return Taken(Level(*left), good=True)


class PostgresBeginQuota:
    """See `BeginQuota`: challenges of every controller count together."""

    def __init__(self, shares: Shares, rate: Rate = BEGINS) -> None:
        self._shares, self._rate = shares, rate
        self._rates = MachineRates(rate, NOTHING)
        self._seen: TokenBuckets[str] = TokenBuckets(rate, MAX_KEPT)

    def begin(self, shown_sha256: bytes, address: str, now_ms: int) -> None:
        """See `BeginQuota.begin`."""
        name = f"begin {shown_sha256.hex()} {prefix_of(address)}"
        if (left := self._seen.level(name, now_ms)) < 1:
            raise too_many_begins(self._rate, left)
        taken = self._shares.take(name, self._rates, 0, now_ms)
        self._seen.learn(name, taken.left.calls, now_ms)
        if not taken.good:
            raise too_many_begins(self._rate, taken.left.calls)


class PostgresDeviceQuota:
    """See `DeviceQuota`: what a machine asks of every controller counts together."""

    def __init__(self, shares: Shares, rates: MachineRates) -> None:
        self._shares, self._rates = shares, rates
        self._calls: TokenBuckets[str] = TokenBuckets(rates.calls, MAX_KEPT)
        self._size: TokenBuckets[str] = TokenBuckets(rates.size, MAX_KEPT)

    def look(self, device: str, size: int, now_ms: int) -> None:
        """See `DeviceQuota.look`: by what this controller last saw of it, which is never less than
        there is.
        """
        left = Level(self._calls.level(device, now_ms), self._size.level(device, now_ms))
        _require(self._rates.short(left, size))

    def take(self, device: str, size: int, now_ms: int) -> None:
        """See `DeviceQuota.take`."""
        self.look(device, size, now_ms)
        taken = self._shares.take(f"machine {device}", self._rates, size, now_ms)
        self._calls.learn(device, taken.left.calls, now_ms)
        self._size.learn(device, taken.left.size, now_ms)
        if not taken.good:
            _require(self._rates.short(taken.left, size))


def _require(short: Refused | None) -> None:
    if short is not None:
        raise short


def _whole_ms(rates: MachineRates) -> int:
    """After how long without a take an empty share is full, at most."""
    fills = (r.burst / r.per_s for r in (rates.calls, rates.size) if r.per_s)
    return int(1000 * max(fills)) + 1
