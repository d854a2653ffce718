"""Shares of verifiers' time, counted by the controllers of a PostgreSQL database together (N210).

What is taken is one statement beside the others. What was last seen of a share stays in memory, so
whoever has used theirs up is refused without another question.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import Final, NamedTuple

from sqlalchemy import Connection, text

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
_FILLED: Final = "LEAST(:{0}, q.{0} + GREATEST(0, :now - q.at_ms) * :{0}_a_ms)"
_CALLS, _SIZE = _FILLED.format("calls"), _FILLED.format("size")
_TAKE: Final = text(
    "INSERT INTO quota_levels AS q (name, calls, size, at_ms, full_ms)"
    " VALUES (:name, :calls - 1, :size - :cost, :now, :full)"
    " ON CONFLICT (name) DO UPDATE SET"
    f" calls = {_CALLS} - 1, size = {_SIZE} - :cost, at_ms = :now, full_ms = :full"
    f" WHERE {_CALLS} >= 1 AND {_SIZE} >= :cost"
    " RETURNING calls, size"
)
_LEFT: Final = text(
    f"SELECT {_CALLS} AS calls, {_SIZE} AS size FROM quota_levels AS q WHERE name = :name"
)
_FOLLOW: Final = text("UPDATE quota_levels SET at_ms = :now WHERE name = :name AND at_ms > :now")
_CLEAR: Final = text(
    "DELETE FROM quota_levels WHERE name IN (SELECT name FROM quota_levels WHERE full_ms < :now"
    " LIMIT :most FOR UPDATE SKIP LOCKED)"
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
        values = {
            "name": name,
            "cost": float(cost),
            "now": now_ms,
            "full": now_ms + _whole_ms(rates),
            "calls": float(rates.calls.burst),
            "size": float(rates.size.burst),
            "calls_a_ms": rates.calls.per_s / 1000,
            "size_a_ms": rates.size.per_s / 1000,
        }
        with self._engines.aside() as c:
            row = c.execute(_TAKE, values).first()
            if row is not None:
                if next(self._takes) % CLEAR_EVERY == 0:
                    c.execute(_CLEAR, {"now": now_ms, "most": CLEAR})
                return Taken(Level(row.calls, row.size), good=True)
            return Taken(self._refused(c, values), good=False)

    @staticmethod
    def _refused(c: Connection, values: Mapping[str, object]) -> Level:
        """The refusal has locked the row: it is as it was refused."""
        row = c.execute(_LEFT, values).one()
        # a clock that was set an hour back keeps an empty share empty for no hour
        c.execute(_FOLLOW, {"name": values["name"], "now": values["now"]})
        return Level(row.calls, row.size)


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
