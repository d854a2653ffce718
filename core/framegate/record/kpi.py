"""How soon things were found, contained, taken up and made good: out of the record alone.

Entries in, figures out. What the record has no data for is None, never 0. Definitions stand in
`docs/reference/kpis.md`, by which `scripts/kpi_check.py` comes to the same without this module.
"""

from __future__ import annotations

import statistics
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any, Final

from framegate.record.incidents import Book, Incident

SHOWN: Final = 5
"""Of fewer samples than this a distribution says nothing: the values themselves are told."""
LOOK_BACK_MS: Final = 3_600_000
"""Whoever accepted a camera's frames in the hour before a detection has to say that it does no
more.
"""
LATE_MS: Final = 180_000
"""What a reporter may be behind at the record's end: three reports."""
AFFIRMS: Final = frozenset({"attested", "proved", "proved-unpinned"})
FALSE_ALARMS: Final = frozenset({"false-positive", "benign"})
UNDECIDED: Final = frozenset({"test", "insufficient-data"})
"""Verdicts that say nothing about whether an alarm was one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """A distribution of times in milliseconds; `values` while there are fewer than `SHOWN`. `open`
    counts what has begun and not ended.
    """

    n: int
    median: float | None
    p90: int | None
    max: int | None
    open: int
    values: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """`part` of `whole`; `rate` is None where there is no whole."""

    part: int
    whole: int

    @property
    def rate(self) -> float | None:
        """Four digits of it."""
        return round(self.part / self.whole, 4) if self.whole else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """Of incidents that were detected in the time asked for."""

    incidents: int
    detect: Times
    contain: Times
    acknowledge: Times
    recover: Times
    false_alarms: Share


@dataclass(frozen=True, slots=True, kw_only=True)
class Kpis:
    """All figures; drills apart from what is real."""

    real: Response
    drills: Response
    coverage: Share
    actions_undone: Share
    approvals: Times
    sink_lag: Times


@dataclass(slots=True)
class _Samples:
    values: list[int] = field(default_factory=list)
    waiting: int = 0

    def add(self, value: int | None, *, waits: bool) -> None:
        if value is not None:
            self.values.append(max(0, value))
        elif waits:
            self.waiting += 1


@dataclass(frozen=True, slots=True)
class _Report:
    reporter: str
    from_ms: int
    closed_ms: int
    accepted: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class _Moved:
    index: int
    at_ms: int
    to: str


@dataclass(slots=True)
class _Read:
    """What the figures need of a record."""

    entries: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    moved: dict[str, list[_Moved]] = field(default_factory=dict)
    affirmed: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    reports: list[_Report] = field(default_factory=list)
    asked: dict[str, int] = field(default_factory=dict)
    decided: dict[str, int] = field(default_factory=dict)
    sinks: list[tuple[str, str, int]] = field(default_factory=list)
    end_ms: int = 0


def measure(entries: Iterable[Mapping[str, Any]], since_ms: int = 0) -> Kpis:
    """The figures of a record's `entries`, in order, for what was detected, asked or done from
    `since_ms` on. The caller MUST have verified them, or have them from the controller itself.
    """
    read, book = _Read(), Book()
    for entry in entries:
        book.read(entry)
        _take(read, entry)
    incidents = [i for i in book.incidents.values() if i.detected_ms >= since_ms]
    return Kpis(
        real=_response(read, [i for i in incidents if not i.drill]),
        drills=_response(read, [i for i in incidents if i.drill]),
        coverage=_coverage(read, since_ms),
        actions_undone=_undone(read, since_ms),
        approvals=_approvals(read, since_ms),
        sink_lag=_sink_lag(read, since_ms),
    )


def _take(read: _Read, entry: Mapping[str, Any]) -> None:
    at, name, device = entry["at_ms"], entry.get("event", ""), entry.get("device", "")
    read.end_ms = max(read.end_ms, at)
    members = entry.get("members", {})
    if entry.get("kind") == "report":
        accepted = {a["device"]: a["last_ms"] for a in entry["accepted"]}
        report = _Report(entry["reporter"], entry["from_ms"], entry["closed_at_ms"], accepted)
        read.reports.append(report)
    if device and entry.get("kind") == "event":
        read.entries[entry["index"]] = entry
    if device and name in AFFIRMS:
        read.affirmed.setdefault(device, []).append((entry["index"], at))
    if device and entry.get("to"):
        moved = _Moved(entry["index"], at, entry["to"])
        read.moved.setdefault(device, []).append(moved)
    if name == "access-asked":
        read.asked.setdefault(members["request"], at)
    elif name in {"access-approved", "access-denied"}:
        read.decided.setdefault(members["request"], at)
    elif name in {"siem-silent", "siem-back"}:
        read.sinks.append((members["sink"], name, at))


def _response(read: _Read, incidents: Sequence[Incident]) -> Response:
    detect, contain, acknowledge, recover = (_Samples() for _ in range(4))
    for incident in incidents:
        detect.add(_detected(read, incident), waits=False)
        left = _left_trust(read, incident)
        contain.add(_contained(read, incident, left), waits=incident.open)
        ack = incident.acknowledged_ms
        acknowledge.add(ack - incident.detected_ms if ack else None, waits=incident.open)
        back = _recovered(read, incident)
        since = back - incident.detected_ms if back else None
        recover.add(since, waits=incident.open and left is not None)
    closed = [i for i in incidents if not i.open and i.verdict not in UNDECIDED]
    alarms = sum(i.verdict in FALSE_ALARMS for i in closed)
    return Response(
        incidents=len(incidents),
        detect=_times(detect),
        contain=_times(contain),
        acknowledge=_times(acknowledge),
        recover=_times(recover),
        false_alarms=Share(part=alarms, whole=len(closed)),
    )


def _detected(read: _Read, incident: Incident) -> int | None:
    """A bound: from when it can have begun. Its reporter's first sighting, the silence that was
    told, or the last time the machine proved itself; None where nothing says.
    """
    trigger = incident.findings[0]
    entry = read.entries.get(trigger, {})
    members = entry.get("members", {}) if entry.get("device") == incident.device else {}
    if "first_ms" in members:
        return int(incident.detected_ms - members["first_ms"])
    if "silent_s" in members:
        return int(members["silent_s"] * 1000)
    proofs = read.affirmed.get(incident.device, [])
    before = bisect_left(proofs, (trigger, 0))
    return incident.detected_ms - proofs[before - 1][1] if before else None


def _left_trust(read: _Read, incident: Incident) -> int | None:
    """When the machine was no longer trusted; a model that deviates is stopped where it runs."""
    if incident.title == "known-answer-deviated":
        return incident.detected_ms
    for moved in read.moved.get(incident.device, []):
        if moved.index >= incident.findings[0] and moved.to != "trusted":
            return moved.at_ms
    return None


def _recovered(read: _Read, incident: Incident) -> int:
    """When it was trusted again, or reported again; 0 for not yet."""
    for moved in read.moved.get(incident.device, []):
        if moved.index > incident.findings[0] and moved.to == "trusted":
            return moved.at_ms
    resumed = [
        e["at_ms"]
        for n in incident.steps
        if (e := read.entries.get(n)) is not None
        and (e["event"], e["device"]) == ("report-resumed", incident.device)
    ]
    return min(resumed, default=0)


def _contained(read: _Read, incident: Incident, left: int | None) -> int | None:
    """From detection to the last frame that was accepted of the machine, or by it; None until it
    has left trust, and until everybody who accepted any reports that they do no more.
    """
    if left is None or not read.reports:
        return None
    until = _recovered(read, incident) or read.end_ms + 1
    begin = incident.detected_ms - LOOK_BACK_MS
    last: dict[str, int] = {}
    for report in read.reports:
        at = _accepted_at(report, incident.device)
        if begin <= at < until:
            last[report.reporter] = max(at, last.get(report.reporter, 0))
    for reporter, at in last.items():
        if not any(
            r.reporter == reporter
            and r.closed_ms > max(at, left)
            and not _accepted_at(r, incident.device)
            for r in read.reports
        ):
            return None
    if not last and not any(r.closed_ms > left for r in read.reports):
        return None
    return max(last.values(), default=incident.detected_ms) - incident.detected_ms


def _accepted_at(report: _Report, device: str) -> int:
    """When this report's last frame of `device`, or by it, was accepted; 0 where none was."""
    if report.reporter == device:
        return max(report.accepted.values(), default=0)
    return report.accepted.get(device, 0)


def _coverage(read: _Read, since_ms: int) -> Share:
    """Time that reports cover, of the time from each reporter's first one on, in milliseconds."""
    covered = whole = 0
    for reporter in {r.reporter for r in read.reports}:
        own = [r for r in read.reports if r.reporter == reporter and r.closed_ms > since_ms]
        if not own:
            continue
        begin, end = max(since_ms, own[0].from_ms), own[-1].closed_ms
        if read.end_ms - end > LATE_MS:
            end = read.end_ms
        whole += end - begin
        covered += sum(r.closed_ms - max(r.from_ms, begin) for r in own)
    return Share(part=covered, whole=whole)


def _undone(read: _Read, since_ms: int) -> Share:
    """Quarantines that were lifted again, of those that were imposed."""
    imposed = undone = 0
    for moves in read.moved.values():
        before = ""
        imposed_here = False
        for moved in moves:
            if moved.to == "quarantined" and before != "quarantined":
                imposed_here = moved.at_ms >= since_ms
                imposed += imposed_here
            elif before == "quarantined" and moved.to == "stale":
                undone += imposed_here
            before = moved.to
    return Share(part=undone, whole=imposed)


def _approvals(read: _Read, since_ms: int) -> Times:
    samples = _Samples()
    for request, asked in read.asked.items():
        if asked >= since_ms:
            decided = read.decided.get(request)
            samples.add(decided - asked if decided is not None else None, waits=True)
    return _times(samples)


def _sink_lag(read: _Read, since_ms: int) -> Times:
    """How long sinks confirmed nothing although entries waited."""
    samples, silent = _Samples(), dict[str, int]()
    for sink, name, at in read.sinks:
        if name == "siem-silent":
            silent.setdefault(sink, at)
        elif sink in silent and (begun := silent.pop(sink)) >= since_ms:
            samples.add(at - begun, waits=False)
    samples.waiting = len(silent)
    return _times(samples)


def _times(samples: _Samples) -> Times:
    values = sorted(samples.values)
    n = len(values)
    return Times(
        n=n,
        median=statistics.median(values) if n else None,
        p90=values[ceil(0.9 * n) - 1] if n else None,
        max=values[-1] if n else None,
        open=samples.waiting,
        values=tuple(values) if n < SHOWN else (),
    )
