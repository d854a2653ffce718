"""What the second looks have to reach, and whether they did: told as it came out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from framegate_simulators.evasion.campaign import Outcome, Row


@dataclass(frozen=True, slots=True)
class Bar:
    """Of the attack `attack` at least `least` of what fools the network is caught; `on` limits it
    to parts whose name has this in it.
    """

    attack: str
    least: float
    on: str = ""


BARS: Final = (
    Bar("PGD 8, several defects", 1.0),
    Bar("PGD 16, several defects", 1.0),
    Bar("PGD 32, one defect", 0.95),
    Bar("patch 48 x 48 beside it", 0.95),
    Bar("patch 32 x 32 beside it", 0.85),
    Bar("false alarm 16", 0.95, "real"),
    Bar("false alarm 16", 0.80, "drawn"),
    Bar("adaptive 1: smooth, survives turns", 0.80),
    Bar("golden image injected", 1.0),
    Bar("replay", 0.99, "grey"),
    Bar("replay", 0.95, "thresholded"),
    Bar("replay as JPEG 80", 0.99, "grey"),
    Bar("replay as JPEG 80", 0.95, "thresholded"),
    Bar("another camera, the last of 64 frames", 0.95),
    Bar("contrast x 0.6, one defect", 1.0),
)
MOST_ALARMS: Final = 0.01
"""Of held-out sound frames, by any one look."""
MOST_ALARMS_TOGETHER: Final = 0.02


def table(outcome: Outcome) -> Iterator[str]:
    """Lines of at most 100 columns."""
    yield f"{outcome.part}: {len(outcome.proposal.limits)} looks commissioned"
    for warning in outcome.proposal.warnings:
        yield f"  {warning}"
    alarms = outcome.alarms
    judged = alarms.frames - alarms.wrong
    yield (
        f"  false alarms: {alarms.withheld} of {judged} held-out sound frames"
        f" ({_percent(alarms.withheld, judged)}); by look: {_by(alarms.by) or 'none'}"
        f" [{_met(_alarms_met(outcome))}]"
    )
    flagged = outcome.groundless
    yield f"  {flagged.attack}: {flagged.caught} of {flagged.fell}; {_by(flagged.by) or 'none'}"
    yield f"  {'attack':<45} {'fools':>9} {'caught':>9}  bar"
    for row in outcome.rows:
        bar = _bar(outcome.part, row)
        met = "" if bar is None else f"{_met(reached(row, bar))} {100 * bar.least:.0f} %"
        caught = _percent(row.caught, row.fell) if row.fell else "-"
        yield f"  {row.attack:<45} {row.fell:>3} of {row.tried:<3} {caught:>8}  {met}"
        if row.by:
            yield f"      by {_by(row.by)}"


def reached(row: Row, bar: Bar) -> bool:
    """Whether the bar is met; an attack that fools nobody meets every bar."""
    return row.share is None or row.share >= bar.least


def missed(outcome: Outcome) -> list[str]:
    """Bars that are not met, by name."""
    names = [
        f"{outcome.part}: {row.attack}"
        for row in outcome.rows
        if (bar := _bar(outcome.part, row)) is not None and not reached(row, bar)
    ]
    return names if _alarms_met(outcome) else [*names, f"{outcome.part}: false alarms"]


def _alarms_met(outcome: Outcome) -> bool:
    judged = max(1, outcome.alarms.frames - outcome.alarms.wrong)
    each = max(outcome.alarms.by.values(), default=0) / judged
    return each <= MOST_ALARMS and outcome.alarms.withheld / judged <= MOST_ALARMS_TOGETHER


def _bar(part: str, row: Row) -> Bar | None:
    return next((bar for bar in BARS if bar.attack == row.attack and bar.on in part), None)


def _met(met: bool) -> str:
    return "met" if met else "MISSED"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"


def _by(by: object) -> str:
    items = dict(by).items()  # type: ignore[call-overload]
    return ", ".join(f"{name} {count}" for name, count in sorted(items))
