"""That enforcing would have asked for the line to be stopped, as a line reports it and as the
report of a pilot reads it: a closed text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from framegate.errors import Malformed, Reason
from framegate.findings.kinds import FindingKind
from framegate.pilot.policy import Stage

_TEXT: Final = re.compile(r"(observe|warn) stop ([a-z0-9-]{1,40}) ([a-z0-9-]{1,63})")


@dataclass(frozen=True, slots=True)
class WouldStop:
    """A stop that was not asked for because the zone is piloted, and why the last part of the row
    was UNINSPECTED.
    """

    stage: Stage
    reason: str
    zone: str

    @property
    def text(self) -> str:
        """As it stands in a finding's reason."""
        return f"{self.stage} stop {self.reason} {self.zone}"

    @classmethod
    def parse(cls, text: str) -> WouldStop:
        """What `text` wrote. Raises Malformed (PILOT)."""
        matched = _TEXT.fullmatch(text)
        if matched is None:
            raise Malformed.of(Reason.PILOT, "what a line writes of a stop", ascii(text)[:80])
        return cls(Stage(matched[1]), matched[2], matched[3])


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRow:
    """Stops that one line would have asked for, for one reason."""

    line: str
    reason: str
    count: int
    last_ms: int


def would_stops(zone: str, entries: Iterable[Mapping[str, Any]]) -> tuple[StopRow, ...]:
    """The stops of `zone`, out of entries of the record, most first. What is no line's word is
    left out.
    """
    rows: dict[tuple[str, str], StopRow] = {}
    for entry in entries:
        if entry.get("event", entry.get("kind")) != FindingKind.PILOT_STOP:
            continue
        try:
            said: Mapping[str, Any] = entry["members"]
            told = WouldStop.parse(str(said["reason"]))
            line = str(said["reporter"]).removeprefix("line.")
            count, last_ms = int(said["count"]), int(said["last_ms"])
        except (Malformed, KeyError, TypeError, ValueError):
            continue
        if told.zone == zone:
            before = rows.get((line, told.reason))
            rows[line, told.reason] = StopRow(
                line=line,
                reason=told.reason,
                count=count + (before.count if before else 0),
                last_ms=max(last_ms, before.last_ms if before else 0),
            )
    return tuple(sorted(rows.values(), key=lambda r: (-r.count, r.line, r.reason)))
