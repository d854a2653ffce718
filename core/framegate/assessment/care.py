"""Facts about care: incidents, drills, playbooks, where the record goes, keys, backups."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from framegate.assessment.fact import Case, Shown, Unit, count, fact, median, share
from framegate.assessment.reading import (
    DAY_MS,
    LONG_DAYS,
    MOVES,
    REPORT,
    WINDOW_DAYS,
    Entry,
    View,
    index_of,
    last_of,
)
from framegate.record.kpi import Response, Times, measure

TAKEN_UP_MS: Final = 4 * 3_600_000
"""Half a shift: whoever has the watch has seen it by then."""
OLD_DAYS: Final = 7
BACKUP_DAYS: Final = 7
ROTATION_DAYS: Final = 400
"""A year, and a month to do it in."""
_BY_PEOPLE: Final = frozenset({"incident-noted", "incident-assigned", "incident-closed"})
_INCIDENTS: Final = ("incident-opened", *sorted(_BY_PEOPLE))
_RESUMED: Final = "report-resumed"
_KPI: Final = (*_INCIDENTS, "incident-linked", "incident-step", _RESUMED, *sorted(MOVES), REPORT)
ACTING: Final = frozenset({"act", "ask"})


def _opened(view: View, days: int, *, drills: bool = False) -> list[Entry]:
    rows = view.about("incident-opened", days=days)
    return [e for e in rows if bool(e["members"].get("drill")) == drills]


def _answers(view: View) -> dict[int, list[Entry]]:
    answers: dict[int, list[Entry]] = {}
    for entry in view.rows(*sorted(_BY_PEOPLE)):
        answers.setdefault(entry["members"]["incident"], []).append(entry)
    return answers


@fact("incidents-taken-up", Unit.SHARE, *_INCIDENTS, zoned=True)
def taken_up(view: View) -> Shown:
    """Incidents of the last 30 days, drills apart, that a person did something about within four
    hours, of all that are older than that or were taken up.
    """
    answers, cases = _answers(view), []
    for opened in _opened(view, WINDOW_DAYS):
        by = opened["at_ms"] + TAKEN_UP_MS
        good = any(e["at_ms"] <= by for e in answers.get(opened["index"], ()))
        if good or view.at_ms > by:
            cases.append(Case(f"incident {opened['index']}", good, opened["index"]))
    return share(cases)


@fact("incidents-old", Unit.COUNT, *_INCIDENTS, REPORT, zoned=True)
def old(view: View) -> Shown:
    """Incidents, drills apart, that were opened more than seven days ago and are open; no data
    where nobody reported anything in the last 30 days.
    """
    answers = _answers(view)
    open_ = [
        e
        for e in _opened(view, 0)
        if e["at_ms"] <= view.at_ms - OLD_DAYS * DAY_MS
        and not any(a["event"] == "incident-closed" for a in answers.get(e["index"], ()))
    ]
    return count(open_, view.about(REPORT, days=WINDOW_DAYS))


@fact("time-to-contain", Unit.MS, *_KPI, zoned=True)
def contain(view: View) -> Shown:
    """Median time from detection to the last frame accepted, of incidents of the last 90 days,
    drills apart (`framegate kpi`).
    """
    return _median(view, lambda found: found.contain)


@fact("time-to-acknowledge", Unit.MS, *_KPI, zoned=True)
def acknowledge(view: View) -> Shown:
    """Median time from detection until a person did something about it, of incidents of the last 90
    days, drills apart (`framegate kpi`). For goals; no check rests on it.
    """
    return _median(view, lambda found: found.acknowledge)


@fact("time-to-recover", Unit.MS, *_KPI, zoned=True)
def recover(view: View) -> Shown:
    """Median time from detection until the machine was trusted, or reported, again, of incidents of
    the last 90 days, drills apart (`framegate kpi`). For goals; no check rests on it.
    """
    return _median(view, lambda found: found.recover)


def _median(view: View, which: Callable[[Response], Times]) -> Shown:
    moves = [e for entries in view.reading.moved.values() for e in entries]
    moves = [e for e in moves if e["at_ms"] <= view.at_ms]
    rows = view.rows(*_INCIDENTS, "incident-linked", "incident-step", _RESUMED, REPORT)
    own = {e["index"] for e in view.about("incident-opened")}
    by_index = {e["index"]: e for e in (*moves, *rows) if _incident_of(e) in own | {None}}
    ordered = sorted(by_index.values(), key=index_of)
    found = which(measure(ordered, view.at_ms - LONG_DAYS * DAY_MS).real)
    entries = [int(e["index"]) for e in _opened(view, LONG_DAYS)]
    if found.median is None:
        return median((), entries)
    return Shown(value=found.median, part=found.n, whole=found.n, entries=tuple(entries)[:12])


def _incident_of(entry: Entry) -> int | None:
    """Which incident an entry is of; None where it is of none."""
    if entry.get("event") == "incident-opened":
        return int(entry["index"])
    name = str(entry.get("event", ""))
    return int(entry["members"]["incident"]) if name.startswith("incident-") else None


@fact("drills-held", Unit.COUNT, "drill-declared", zoned=True)
def drills(view: View) -> Shown:
    """Drills that somebody declared in the last 90 days."""
    rows = view.about("drill-declared", days=LONG_DAYS)
    return count([e for e in rows if e["members"].get("until_ms")])


@fact("playbooks-acting", Unit.COUNT, "playbook-enabled", "playbook-disabled")
def playbooks(view: View) -> Shown:
    """Playbooks in force that act, or ask a person to."""
    last = last_of(view.rows("playbook-enabled", "playbook-disabled"), "playbook")
    return count(
        [
            e
            for e in sorted(last.values(), key=index_of)
            if e["event"] == "playbook-enabled" and e["members"].get("mode") in ACTING
        ]
    )


@fact("sinks-confirming", Unit.SHARE, "siem-added", "siem-removed", "siem-silent", "siem-back")
def sinks(view: View) -> Shown:
    """Sinks of the record that confirm what they are sent, of all there are."""
    last = last_of(view.rows("siem-added", "siem-removed", "siem-silent", "siem-back"), "sink")
    return share(
        Case(name, e["event"] != "siem-silent", e["index"])
        for name, e in last.items()
        if e["event"] != "siem-removed"
    )


@fact("backups-made", Unit.COUNT, "registry-backed-up")
def backups(view: View) -> Shown:
    """Backups of the registry that were written in the last seven days."""
    return count(view.rows("registry-backed-up", days=BACKUP_DAYS))


@fact("entries-lost", Unit.COUNT, "registry-restored", "operator-added")
def lost(view: View) -> Shown:
    """Restorations of the last 90 days with which entries of the record were lost; no data where
    nothing was recorded that facts are read from.
    """
    rows = view.rows("registry-restored", days=LONG_DAYS)
    lost_with = [e for e in rows if e["members"]["seen"] > e["members"]["kept"]]
    return count(lost_with, view.rows("operator-added"))


@fact("keys-current", Unit.SHARE, "key-certified")
def keys(view: View) -> Shown:
    """Signing keys whose last new certificate has not ended, of all that got one; no data before
    the first did.
    """
    today = datetime.fromtimestamp(view.at_ms / 1000, UTC).strftime("%Y-%m-%d")
    return share(
        Case(label, str(e["members"].get("until", "")) >= today, e["index"])
        for label, e in last_of(view.rows("key-certified"), "label").items()
    )


@fact("authorities-rotated", Unit.COUNT, "ca-rotated")
def rotated(view: View) -> Shown:
    """Rotations of an issuing authority in the last 400 days."""
    return count(view.rows("ca-rotated", days=ROTATION_DAYS))
