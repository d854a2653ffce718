"""The rules of a line, pure: what a part needs, and what becomes of it. No clock, no file, no
network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Final, Self

from framegate.errors import Malformed, Reason, Refused
from framegate.identity.names import Kind, parse_name, split_device_id
from framegate.signed.statement import (
    CLOCK_SLACK_MS,
    MAX_GRANT_TTL_S,
    MAX_VERDICT_LIFE_S,
    Outcome,
    Verdict,
)
from framegate.wire import MAX_TEXT

MAX_DEADLINE_MS: Final = 60_000
"""A part on a conveyor is at its diverter within a minute; a verdict lives no longer either."""
MAX_VIEWS: Final = 16
CLOCK_TRUST_MS: Final = 3_600_000
"""A trigger's own time counts only within an hour of ours: past that somebody's clock is wrong and
the time of arrival counts.
"""
MATCH_SLACK_MS: Final = CLOCK_SLACK_MS
"""How long before its part's trigger a verdict may have been issued: gateway, line and PLC each
have a clock of their own, and a trigger may travel slower than a picture.
"""
REUSE_MS: Final = 1000 * (MAX_GRANT_TTL_S + MAX_VERDICT_LIFE_S) + 2 * MATCH_SLACK_MS
"""A number that comes again sooner than this could get a verdict of the part before: its frame may
be held back for as long as its grant runs, the verdict for as long as it lives.
"""


@dataclass(frozen=True, slots=True)
class Rules:
    """One line: its cameras (each sees every part), the deadline of a part in ms, and how many
    UNINSPECTED in a row ask for a stop.

    `hold_ms`: how long after its deadline a part may still be on its way to the diverter; its
    decision is worth nothing past that.
    """

    line: str
    zone: str
    cameras: tuple[str, ...]
    deadline_ms: int = 2_000
    stop_after: int = 3
    hold_ms: int = 10_000

    def __post_init__(self) -> None:
        parse_name(self.line, "line")
        parse_name(self.zone, "zone")
        if not 1 <= len(set(self.cameras)) == len(self.cameras) <= MAX_VIEWS:
            raise Malformed.of(
                Reason.USAGE, f"1 to {MAX_VIEWS} different cameras", len(self.cameras)
            )
        for camera in self.cameras:
            kind, zone, _ = split_device_id(camera)
            if kind != Kind.CAMERA or zone != self.zone:
                raise Malformed.of(Reason.USAGE, f"cameras of zone {self.zone}", camera)
        if (
            not 1 <= self.deadline_ms <= MAX_DEADLINE_MS
            or not 0 <= self.hold_ms <= MAX_DEADLINE_MS
            or self.stop_after < 1
        ):
            wanted = (
                f"a deadline of 1 to {MAX_DEADLINE_MS} ms, a hold of at most as much, a stop after"
                " 1 or more"
            )
            raise Malformed.of(
                Reason.USAGE, wanted, (self.deadline_ms, self.hold_ms, self.stop_after)
            )


@dataclass(frozen=True, slots=True)
class Trigger:
    """A part has entered: numbered outside the camera. `at_ms` is the source's own time, 0 where it
    has none.
    """

    part: str
    part_type: str
    trigger_sequence: int
    at_ms: int = 0

    def __post_init__(self) -> None:
        good = (
            0 < len(self.part.encode()) <= MAX_TEXT
            and self.part.isprintable()
            and len(self.part_type) <= 64
            and 0 <= self.trigger_sequence < 2**63
        )
        if not good or not 0 <= self.at_ms < 2**63:
            raise Malformed.of(
                Reason.MALFORMED,
                "a part of 1 to 256 printable bytes and a trigger sequence",
                ascii(self)[:120],
            )


@dataclass(frozen=True, slots=True)
class PartKey:
    """What a verdict and a trigger must have in common. A number alone is no name: PLCs start their
    counts again, and part numbers are used again.
    """

    part: str
    part_type: str
    sequence: int

    @classmethod
    def of(cls, about: Trigger | Verdict) -> Self:
        """The key of a trigger or of a verdict."""
        return cls(about.part, about.part_type, about.trigger_sequence)


@dataclass(frozen=True, slots=True)
class EnteredPart:
    """A part of the ledger: `entry` is its row, `at_ms` its trigger's own time (0: none),
    `triggered_ms` the time its trigger counts from.
    """

    entry: int
    key: PartKey
    at_ms: int
    triggered_ms: int
    opened_ms: int
    deadline_ms: int
    decided: bool = False


class Recurrence(Enum):
    """What a trigger is to the latest part of the same number."""

    SAME = auto()
    """The same trigger, delivered again."""
    TOO_SOON = auto()
    """Another part, or one without a time of its own brought again; a verdict of the first could
    still come, and could be of either.
    """
    ANOTHER = auto()
    """Another part, and nothing of the first can come any more."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """What becomes of a part; `reason` is empty unless UNINSPECTED. `camera`: whose view decided,
    which is no part of what was ruled.
    """

    outcome: Outcome
    reason: str = ""
    camera: str = field(default="", compare=False)


def triggered_at(trigger: Trigger, now_ms: int) -> int:
    """When a part was triggered: the trigger's own time where it says one that can be, never later
    than its arrival here.
    """
    own = trigger.at_ms if abs(trigger.at_ms - now_ms) < CLOCK_TRUST_MS else now_ms
    return min(own, now_ms)


def deadline_of(rules: Rules, trigger: Trigger, now_ms: int) -> int:
    """Until when the part may be passed, counted from its trigger."""
    return triggered_at(trigger, now_ms) + rules.deadline_ms


def recurrence(rules: Rules, before: EnteredPart, trigger: Trigger, now_ms: int) -> Recurrence:
    """What `trigger` is to `before`, the latest part that had its part number and sequence.

    1. of the same type and with the same time of its own, which could be when it came: the same
       trigger, however late;
    2. while the first may be on its way to the diverter, or within `REUSE_MS` of it: another part,
       too soon. One that says no time may as well be the same one brought again: nobody can tell,
       so nothing is passed;
    3. else another part.
    """
    timed = trigger.at_ms and abs(before.at_ms - before.opened_ms) < CLOCK_TRUST_MS
    if timed and before.key == PartKey.of(trigger) and before.at_ms == trigger.at_ms:  # 1
        return Recurrence.SAME
    on_its_way = now_ms < before.deadline_ms + rules.hold_ms
    if on_its_way or abs(now_ms - before.opened_ms) < REUSE_MS:  # 2
        return Recurrence.TOO_SOON
    return Recurrence.ANOTHER  # 3


def made_for(part: EnteredPart, verdict: Verdict) -> None:
    """That a verified verdict of this line is one on this very part.

    1. part, part type and trigger sequence are the part's;
    2. it was issued not more than `MATCH_SLACK_MS` before the part's trigger.

    Raises Refused (VERDICT).
    """
    if PartKey.of(verdict) != part.key:  # 1
        raise Refused.of(Reason.VERDICT, f"a verdict on {part.key}", PartKey.of(verdict))
    if verdict.issued_at_ms < part.triggered_ms - MATCH_SLACK_MS:  # 2
        raise Refused.of(
            Reason.VERDICT,
            f"a verdict issued at {part.triggered_ms - MATCH_SLACK_MS} ms or later",
            verdict.issued_at_ms,
            "it was made for an earlier part of this number",
        )


def belongs(rules: Rules, verdict: Verdict) -> None:
    """That a verified verdict is one this line acts on: of one of its cameras, by a gateway of its
    zone. Raises Refused (VERDICT).
    """
    kind, zone, _ = split_device_id(verdict.gateway)
    if (
        verdict.device not in rules.cameras
        or verdict.zone != rules.zone
        or (kind, zone) != (Kind.GATEWAY, rules.zone)
    ):
        raise Refused.of(
            Reason.VERDICT,
            f"a verdict by a gateway of zone {rules.zone} on {', '.join(rules.cameras)}",
            f"{verdict.gateway} on {verdict.device}",
        )


def rule(rules: Rules, views: Mapping[str, Ruling]) -> Ruling | None:
    """What the views so far make of a part, None while one is still awaited.

    A view that is not PASS decides at once, the first such in the order of the line's cameras; PASS
    needs every view.
    """
    for camera in rules.cameras:
        view = views.get(camera)
        if view is not None and view.outcome != Outcome.PASS:
            return replace(view, camera=camera)
    return Ruling(Outcome.PASS) if all(camera in views for camera in rules.cameras) else None
