"""What enforcing would have done, as a line reports it and as the report of a pilot reads it: a
closed text, and no word of a stranger's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from framegate.errors import FramegateError, Malformed, Reason
from framegate.findings.kinds import FindingKind
from framegate.identity.names import split_device_id
from framegate.pilot.policy import Stage
from framegate.signed.statement import Outcome

_TEXT: Final = re.compile(
    r"(observe|warn) (PASS|DEFECT|UNINSPECTED) ([a-z0-9-]{1,40}) ([a-z0-9.-]{1,200})"
)
_NONE: Final = "-"
KINDS: Final = {
    Stage.OBSERVE: FindingKind.PILOT_OBSERVED,
    Stage.WARN: FindingKind.PILOT_WARNED,
}
PILOT_KINDS: Final = frozenset({*KINDS.values(), FindingKind.PILOT_PASSED})
EVIDENCE_REFUSED: Final = "evidence-refused"


@dataclass(frozen=True, slots=True)
class WouldBe:
    """What became of a part that went on because its zone is piloted: the outcome that stands, its
    reason (empty unless UNINSPECTED), and the camera whose view, or missing view, decided.
    """

    stage: Stage
    outcome: Outcome
    reason: str
    camera: str

    @property
    def kind(self) -> FindingKind:
        """What it is reported as: a part that enforcing would have passed too is told apart."""
        return FindingKind.PILOT_PASSED if self.outcome is Outcome.PASS else KINDS[self.stage]

    @property
    def text(self) -> str:
        """As it stands in a finding's reason."""
        return f"{self.stage} {self.outcome} {self.reason or _NONE} {self.camera}"

    @classmethod
    def parse(cls, text: str) -> WouldBe:
        """What `text` wrote. Raises Malformed (PILOT)."""
        matched = _TEXT.fullmatch(text)
        if matched is None:
            raise Malformed.of(Reason.PILOT, "what a line writes of a pilot", ascii(text)[:80])
        reason = "" if matched[3] == _NONE else matched[3]
        split_device_id(matched[4])
        return cls(Stage(matched[1]), Outcome(matched[2]), reason, matched[4])


@dataclass(frozen=True, slots=True, kw_only=True)
class PilotRow:
    """Parts of one kind at one line, added up."""

    line: str
    told: WouldBe
    count: int
    first_ms: int
    last_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PilotReport:
    """What enforcing a zone would have done with parts: rows, most first. Parts are counted as far
    as lines reported them: at least so many.
    """

    zone: str
    rows: tuple[PilotRow, ...]

    @property
    def parts(self) -> int:
        """Parts that went by under the pilot."""
        return sum(r.count for r in self.rows)

    @property
    def diverted(self) -> int:
        """Parts that enforcing would have diverted."""
        return sum(r.count for r in self.rows if r.told.outcome is not Outcome.PASS)

    @property
    def cameras(self) -> tuple[str, ...]:
        """Distinct cameras by whose views it would have."""
        rows = (r for r in self.rows if r.told.outcome is not Outcome.PASS)
        return tuple(sorted({r.told.camera for r in rows}))


def pilot_report(zone: str, entries: Iterable[Mapping[str, Any]]) -> PilotReport:
    """The report of `zone`, out of entries of the record. What is no line's word is left out."""
    rows: dict[tuple[str, WouldBe], PilotRow] = {}
    for row in _rows(entries):
        if split_device_id(row.told.camera).zone != zone:
            continue
        before = rows.get((row.line, row.told))
        if before is not None:
            row = replace(
                row,
                count=row.count + before.count,
                first_ms=min(row.first_ms, before.first_ms),
                last_ms=max(row.last_ms, before.last_ms),
            )
        rows[row.line, row.told] = row
    ordered = sorted(rows.values(), key=lambda r: (-r.count, r.line, r.told.text))
    return PilotReport(zone=zone, rows=tuple(ordered))


def _rows(entries: Iterable[Mapping[str, Any]]) -> Iterator[PilotRow]:
    for entry in entries:
        if entry.get("event", entry.get("kind")) not in PILOT_KINDS:
            continue
        try:
            said: Mapping[str, Any] = entry["members"]
            yield PilotRow(
                line=str(said["reporter"]).removeprefix("line."),
                told=WouldBe.parse(str(said["reason"])),
                count=int(said["count"]),
                first_ms=int(said["first_ms"]),
                last_ms=int(said["last_ms"]),
            )
        except (FramegateError, KeyError, TypeError, ValueError):
            continue


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedDevice:
    """A machine whose evidence was refused: what enforcing keeps out, and a pilot does too."""

    device: str
    reason: str
    count: int
    last_ms: int


def refused_devices(zone: str, entries: Iterable[Mapping[str, Any]]) -> tuple[RefusedDevice, ...]:
    """Machines of `zone` whose evidence was refused, out of entries of the record, by machine and
    reason.
    """
    rows: dict[tuple[str, str], RefusedDevice] = {}
    for entry in entries:
        device, at = str(entry.get("device", "")), entry.get("at_ms")
        reasons = entry.get("members", {}).get("reasons", ())
        if entry.get("event", entry.get("kind")) != EVIDENCE_REFUSED or type(at) is not int:
            continue
        if device.count(".") != 2 or device.split(".")[1] != zone:
            continue
        for reason in dict.fromkeys(map(str, reasons)):
            before = rows.get((device, reason))
            rows[device, reason] = RefusedDevice(
                device=device,
                reason=reason,
                count=1 + (before.count if before else 0),
                last_ms=max(at, before.last_ms if before else 0),
            )
    return tuple(sorted(rows.values(), key=lambda r: (r.device, -r.count, r.reason)))
