"""What a time, mostly a quarter, brought: which facts improved, which did not, what was changed,
and what came of it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from framegate.assessment.check import Checked, Status, all_checked
from framegate.assessment.people import TRIED_MS
from framegate.assessment.reading import DAY_MS, Entry, Reading, View
from framegate.errors import Malformed, Reason

AFTER_DAYS: Final = 7
"""An effect is read off the week before a change, and the week after it."""
CHANGED: Final = ("policy-applied", "profile-added", "rollout-enforced", "playbook-enabled")
_EFFECTS: Final = {
    "policy-applied": ("denied",),
    "profile-added": ("contradicted", "evidence-refused"),
    "rollout-enforced": ("contradicted", "evidence-refused"),
    "playbook-enabled": ("playbook-step", "playbook-step-refused"),
}
_TRIES: Final = {
    "policy-applied": "policy.simulate",
    "profile-added": "evidence.replay",
    "rollout-enforced": "evidence.replay",
    "playbook-enabled": "playbook.simulate",
}
TRY: Final = {
    "policy-applied": "framegate policy simulate --help",
    "profile-added": "framegate replay --help",
    "rollout-enforced": "framegate replay --help",
    "playbook-enabled": "framegate playbook simulate --help",
}
"""How a change of each kind is tried on the past."""
_QUARTER: Final = re.compile(r"(20\d\d)-?[qQ]([1-4])")


class Moved(StrEnum):
    """What became of a check."""

    IMPROVED = "improved"
    WORSE = "worse"
    SAME = "same"
    NEW = "new"  # no data before
    GONE = "gone"  # no data any more
    UNMEASURED = "unmeasured"  # no data then, and none now


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A check at the beginning and at the end."""

    before: Checked
    after: Checked
    moved: Moved


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """A change, whether it was tried on the past in the week before, and how many of `what` there
    were in the week before it and the week after; `after` is None while that is not over.
    """

    index: int
    at_ms: int
    event: str
    what: str
    by: str
    tried: bool
    counted: str
    before: int
    after: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """Of `from_ms` to `to_ms`."""

    from_ms: int
    to_ms: int
    compared: tuple[Compared, ...]
    effects: tuple[Effect, ...]


@dataclass(frozen=True, slots=True)
class Quarter:
    """`from_ms` <= time < `to_ms`, UTC."""

    from_ms: int
    to_ms: int


def parse_quarter(text: str) -> Quarter:
    """2026Q4. Raises Malformed (USAGE)."""
    quarter = _QUARTER.fullmatch(text.strip())
    if quarter is None:
        raise Malformed.of(Reason.USAGE, "a quarter: 2026Q4", ascii(text[:30]))
    return _quarter(int(quarter[1]), int(quarter[2]))


def quarter_of(at_ms: int) -> Quarter:
    """The one that a time is in."""
    at = datetime.fromtimestamp(at_ms / 1000, UTC)
    return _quarter(at.year, (at.month + 2) // 3)


def _quarter(year: int, number: int) -> Quarter:
    begin = datetime(year, 3 * number - 2, 1, tzinfo=UTC)
    end = datetime(year + number // 4, 3 * number % 12 + 1, 1, tzinfo=UTC)
    return Quarter(int(begin.timestamp() * 1000), int(end.timestamp() * 1000))


def review(reading: Reading, from_ms: int, to_ms: int) -> Review:
    """What the record says of the time from `from_ms` to `to_ms`."""
    before, after = all_checked(View(reading, from_ms)), all_checked(View(reading, to_ms))
    compared = tuple(
        Compared(before=before[name], after=after[name], moved=_moved(before[name], after[name]))
        for name in after
    )
    rows = View(reading, to_ms).rows(*CHANGED)
    effects = tuple(_effect(reading, e, to_ms) for e in rows if e["at_ms"] >= from_ms)
    return Review(from_ms=from_ms, to_ms=to_ms, compared=compared, effects=effects)


def _moved(before: Checked, after: Checked) -> Moved:
    old, new = before.fact.value, after.fact.value
    if old is None or new is None:
        if old is None and new is None:
            return Moved.UNMEASURED
        return Moved.NEW if old is None else Moved.GONE
    if old == new:
        return Moved.SAME
    return Moved.IMPROVED if (new > old) == (after.check.least is not None) else Moved.WORSE


def _effect(reading: Reading, change: Entry, to_ms: int) -> Effect:
    event, at, week = str(change["event"]), change["at_ms"], AFTER_DAYS * DAY_MS
    names = _EFFECTS[event]
    ended = at + week <= to_ms
    tries = reading.by_event.get("allowed", ())
    tried = any(
        t.get("verb") == _TRIES[event]
        and at - TRIED_MS <= t["at_ms"]
        and t["index"] < change["index"]
        for t in tries
    )
    return Effect(
        index=change["index"],
        at_ms=at,
        event=event,
        what=str(change.get("detail", "")),
        by=str(change.get("actor", "")),
        tried=tried,
        counted=" and ".join(names),
        before=len(View(reading, at).rows(*names, days=AFTER_DAYS)),
        after=len(View(reading, at + week).rows(*names, days=AFTER_DAYS)) if ended else None,
    )


def to_do(compared: Sequence[Compared]) -> list[Checked]:
    """What does not hold at the end: failed first, then what could not be measured."""
    after = [c.after for c in compared]
    failed = [c for c in after if c.status == Status.FAIL]
    return [*failed, *(c for c in after if c.status == Status.NOT_MEASURED)]
