"""Goals: what a fact is to be, in a zone, by when; what it is, and where it tends."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any, Final

from framegate.assessment.fact import Fact, Unit, limit_words
from framegate.assessment.facts import fact_named, measured
from framegate.assessment.reading import DAY_MS, Reading, View
from framegate.errors import Malformed, Reason
from framegate.identity.names import parse_name
from framegate.toml_text import parse_toml

MAX_TEXT: Final = 12_000
"""Bytes of a file: it is quoted in an entry of the record."""
MAX_GOALS: Final = 60
MAX_WHY: Final = 200
POINTS: Final = 4
"""Fewer measured points say nothing of where something tends."""
SPAN_DAYS: Final = 21
"""Points closer together than this say nothing about the month to come."""
AHEAD_DAYS: Final = 365
FITS: Final = 0.6
"""Share of the points' spread that the line has to explain: a single leap is no trend."""
_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
_NEEDED: Final = frozenset({"name", "fact", "why"})
_ALLOWED: Final = _NEEDED | {"zone", "least", "most", "by"}


class Standing(StrEnum):
    """How a goal stands."""

    MET = "met"
    MISSED = "missed"
    OPEN = "open"  # not met, and its day has not come
    NOT_MEASURED = "not-measured"


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """`fact` of `zone` (empty: the fleet) is to be at least `least` or at most `most`, from `by_ms`
    on (0: from now on).
    """

    name: str
    fact: str
    zone: str
    least: float | None
    most: float | None
    by_ms: int
    why: str

    @property
    def target(self) -> str:
        """In words."""
        value = self.least if self.least is not None else self.most
        number = limit_words(fact_named(self.fact).unit, float(value or 0))
        return f"at {'least' if self.least is not None else 'most'} {number}"

    def reached(self, value: float) -> bool:
        """Whether a value is one that the goal asks for."""
        high = self.least is None or value >= self.least
        return high and (self.most is None or value <= self.most)


def parse_goals(text: str) -> tuple[Goal, ...]:
    """The goals in a file.

    1. it is TOML of at most `MAX_TEXT` bytes with `version = 1` and at most `MAX_GOALS` goals;
    2. each has name, fact and why, may have zone and by, and has one of least and most; 3. the fact
    is one, and can be told of a zone where one is named; 4. names are not given twice.

    Raises Malformed (USAGE).
    """
    if len(text.encode()) > MAX_TEXT:
        raise Malformed.of(Reason.TOO_LARGE, f"a file of at most {MAX_TEXT} bytes", len(text))
    body = parse_toml(text, lambda e: _malformed("TOML", ascii(str(e))[:100]))
    rows = body.get("goal")
    if set(body) != {"version", "goal"} or body["version"] != 1 or type(rows) is not list:  # 1
        raise _malformed("version = 1 and [[goal]]", sorted(map(ascii, body))[:8])
    if not 0 < len(rows) <= MAX_GOALS:
        raise _malformed(f"1 to {MAX_GOALS} goals", len(rows))
    goals = tuple(map(_goal, rows))
    names = [g.name for g in goals]
    if len(set(names)) != len(names):  # 4
        raise _malformed("each name once", "a name twice")
    return goals


def _goal(row: Any) -> Goal:
    if type(row) is not dict or not set(row) >= _NEEDED or not set(row) <= _ALLOWED:  # 2
        came = sorted(map(ascii, row)) if type(row) is dict else type(row).__name__
        raise _malformed("name, fact, why, least or most; zone and by where wanted", came)
    name, why = row["name"], row["why"]
    if type(name) is not str or not _NAME.fullmatch(name):
        raise _malformed("a name of a-z, 0-9 and '-', of 1 to 40", ascii(name)[:60])
    if type(why) is not str or not 0 < len(why.strip()) <= MAX_WHY:
        raise _malformed(f"why, in 1 to {MAX_WHY} characters", name)
    declared = fact_named(row["fact"] if type(row["fact"]) is str else "")  # 3
    zone = row.get("zone", "")
    if type(zone) is not str or (zone and not declared.zoned):
        raise _malformed(f"no zone: {declared.name} is the fleet's", name)
    limits = _limits(row, declared.unit, name)
    return Goal(
        name=name,
        fact=declared.name,
        zone=parse_name(zone, "zone") if zone else "",
        least=limits.get("least"),
        most=limits.get("most"),
        by_ms=_day_ms(row["by"], name) if "by" in row else 0,
        why=why,
    )


def _limits(row: Mapping[str, Any], unit: Unit, name: str) -> dict[str, float]:
    given = {n: row[n] for n in ("least", "most") if n in row}
    if len(given) != 1:
        raise _malformed("one of least and most", name)
    (value,) = given.values()
    top = 1.0 if unit == Unit.SHARE else 1e12
    if type(value) not in {int, float} or not 0 <= value <= top:
        raise _malformed(f"a number from 0 to {top:g}", ascii(value)[:40])
    return {n: float(v) for n, v in given.items()}


def _day_ms(value: Any, name: str) -> int:
    if type(value) is not date:
        raise _malformed("by as a date, 2027-03-31", name)
    try:
        return int(datetime(value.year, value.month, value.day, tzinfo=UTC).timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise _malformed("a date", ascii(value)[:40]) from error


def _malformed(expected: str, actual: object) -> Malformed:
    return Malformed.of(Reason.USAGE, expected, actual, "framegate goals set --help")


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A goal as of some time."""

    goal: Goal
    fact: Fact
    standing: Standing


def held(goal: Goal, reading: Reading, at_ms: int) -> Held:
    """How a goal stands."""
    shown = measured(goal.fact, View(reading, at_ms, goal.zone))
    if shown.value is None:
        standing = Standing.NOT_MEASURED
    elif goal.reached(shown.value):
        standing = Standing.MET
    else:
        standing = Standing.MISSED if at_ms >= goal.by_ms else Standing.OPEN
    return Held(goal=goal, fact=shown, standing=standing)


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What a fact was at some time; None where there was no data."""

    at_ms: int
    value: float | None


def history(goal: Goal, reading: Reading, times: Sequence[int]) -> list[Point]:
    """What a goal's fact was at each time, as the record has it."""
    return [
        Point(at_ms=at, value=measured(goal.fact, View(reading, at, goal.zone)).value)
        for at in times
    ]


def forecast(goal: Goal, points: Sequence[Point]) -> int | None:
    """When a goal will be reached if what was goes on (ms); None where the data say nothing of it.

    A line through the measured points (least squares), if there are `POINTS` or more over
    `SPAN_DAYS` or more, it explains `FITS` of their spread, moves towards the goal, and arrives
    within `AHEAD_DAYS`.
    """
    known = [(p.at_ms, p.value) for p in points if p.value is not None]
    if len(known) < POINTS or known[-1][0] - known[0][0] < SPAN_DAYS * DAY_MS:
        return None
    last_at, last = known[-1]
    if goal.reached(last):
        return None
    at = sum(a for a, _ in known) / len(known)
    mean = sum(v for _, v in known) / len(known)
    spread = sum((a - at) ** 2 for a, _ in known)
    slope = sum((a - at) * (v - mean) for a, v in known) / spread
    differs = sum((v - mean) ** 2 for _, v in known)
    if slope**2 * spread < FITS * differs:
        return None
    target = goal.least if goal.least is not None else goal.most
    if target is None or slope == 0 or (target - last) / slope < 0:
        return None
    when = at + (target - mean) / slope
    return round(when) if last_at < when <= last_at + AHEAD_DAYS * DAY_MS else None
