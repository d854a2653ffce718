"""Facts that gateways, lines and enforcers report: frames, models, segments, verdicts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from framegate.assessment.fact import Case, Shown, Unit, count, fact, share
from framegate.assessment.reading import (
    MOVES,
    REPORT,
    TRUSTED,
    WINDOW_DAYS,
    Entry,
    View,
    last_of,
)
from framegate.record.kpi import measure

HEARD_MS: Final = 60_000
"""A gateway that had not heard of it closes its gate after seconds; clocks differ by seconds."""
_MOVES: Final = tuple(sorted(MOVES))
_WRONG_MODEL: Final = ("known-answer-deviated", "model-refused")
_NOT_CUT: Final = ("segment-not-cut", "segment-repaired")
_LET_THROUGH: Final = "segment-would-refuse"
_SEGMENT_DAYS: Final = 7
_PINS: Final = ("model-promoted", "model-rolled-back")
_MODELS: Final = (*_PINS, "model-approved", "model-withdrawn")


@fact("frames-from-trusted", Unit.SHARE, *_MOVES, REPORT, zoned=True)
def frames_from_trusted(view: View) -> Shown:
    """Reports of the last 30 days, camera by camera, in which the last frame accepted came from a
    camera that was trusted then, or a minute before, of all.
    """
    return share(_frames(view))


def _frames(view: View) -> Iterator[Case]:
    for report in view.rows(REPORT, days=WINDOW_DAYS):
        for accepted in report["accepted"]:
            device, last = str(accepted["device"]), accepted["last_ms"]
            if view.has(device):
                moments = (last, last - HEARD_MS)
                good = any(view.state_at(device, m) == TRUSTED for m in moments)
                yield Case(device, good=good, index=report["index"])


@fact("reports-covered", Unit.SHARE, REPORT, zoned=True)
def covered(view: View) -> Shown:
    """Time of the last 30 days that reports of gateways, lines and enforcers cover, in
    milliseconds, of all since the first of each.
    """
    since = view.at_ms - WINDOW_DAYS * 86_400_000
    reports = view.about(REPORT)
    found = measure(reports, since).coverage
    entries = tuple(int(e["index"]) for e in reports[-1:])
    return Shown(value=found.rate, part=found.part, whole=found.whole, entries=entries)


@fact("reporters-heard", Unit.SHARE, REPORT, "report-withheld", "report-resumed", zoned=True)
def heard(view: View) -> Shown:
    """Gateways and enforcers of the last 30 days that are not silent, of all."""
    silent: dict[str, Entry] = {}
    for entry in view.rows("report-withheld", "report-resumed"):
        if entry["event"] == "report-withheld":
            silent[str(entry["device"])] = entry
        else:
            silent.pop(str(entry["device"]), None)
    return share(
        Case(name, name not in silent, silent.get(name, last)["index"])
        for name, last in view.reporters("gateway", "enforcer").items()
    )


@fact("models-approved", Unit.SHARE, *_MOVES, *_MODELS, zoned=True)
def models_approved(view: View) -> Shown:
    """Zones with a gateway in which the model in force is one that was approved, and that nobody
    withdrew since, of all such zones.
    """
    zones = {device.split(".")[1]: entry for device, entry in view.machines("gateway").items()}
    pins = last_of(view.rows(*_PINS), "zone")
    approved: dict[str, bool] = {}
    for entry in view.rows("model-approved", "model-withdrawn"):
        approved[str(entry["members"]["digest"])] = entry["event"] == "model-approved"
    cases = []
    for zone, entry in zones.items():
        pin = pins.get(zone)
        good = pin is not None and approved.get(str(pin["members"]["digest"]), False)
        cases.append(Case(zone, good=good, index=(pin or entry)["index"]))
    return share(cases)


@fact("models-answering", Unit.SHARE, REPORT, *_WRONG_MODEL, zoned=True)
def models_answering(view: View) -> Shown:
    """Gateways of the last 30 days that reported no model which deviated from its known answers,
    and refused none, of all that report.
    """
    return share(_without(view, "gateway", *_WRONG_MODEL, days=WINDOW_DAYS))


@fact("segments-cut", Unit.SHARE, REPORT, *_NOT_CUT, zoned=True)
def segments_cut(view: View) -> Shown:
    """Enforcers of the last 30 days that cut what they had to, and whose rules nobody changed
    beside them, of all that report.
    """
    return share(_without(view, "enforcer", *_NOT_CUT, days=WINDOW_DAYS))


@fact("segments-enforcing", Unit.SHARE, REPORT, _LET_THROUGH, zoned=True)
def segments_enforcing(view: View) -> Shown:
    """Enforcers that in the last 7 days let nothing through which the policy would refuse, of all
    that reported in the last 30.
    """
    return share(_without(view, "enforcer", _LET_THROUGH, days=_SEGMENT_DAYS))


def _without(view: View, kind: str, *names: str, days: int) -> Iterator[Case]:
    """Reporters of a kind, good where none of these findings is theirs."""
    bad = {str(e.get("members", {}).get("reporter", "")): e for e in view.rows(*names, days=days)}
    for name, last in view.reporters(kind).items():
        yield Case(name, name not in bad, bad.get(name, last)["index"])


@fact("cameras-steady", Unit.SHARE, *_MOVES, "frame-drifted", zoned=True)
def steady(view: View) -> Shown:
    """Cameras of the plant whose frames did not drift away from what they were in the last 30 days,
    of all.
    """
    drifted = {str(e["device"]): e for e in view.rows("frame-drifted", days=WINDOW_DAYS)}
    return share(
        Case(device, device not in drifted, drifted.get(device, entry)["index"])
        for device, entry in view.machines("camera").items()
    )


@fact("verdicts-reviewed", Unit.COUNT, "verdict-reviewed", zoned=True)
def reviewed(view: View) -> Shown:
    """Verdicts of which somebody said in the last 30 days whether they were right."""
    return count(view.about("verdict-reviewed", days=WINDOW_DAYS))


@fact("verdicts-right", Unit.SHARE, "verdict-reviewed", zoned=True)
def right(view: View) -> Shown:
    """Verdicts that somebody looked at in the last 30 days and found right, of all that were looked
    at.
    """
    return share(
        Case(str(e["members"].get("part", "")), e["members"].get("right") is True, e["index"])
        for e in view.about("verdict-reviewed", days=WINDOW_DAYS)
    )
