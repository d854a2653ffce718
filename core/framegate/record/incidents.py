"""Incidents as the record has them: a fold over its entries, and what each new one means for them.

Bytes in, values out: the controller that opens incidents, and whoever has an export, come to the
same ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final

from framegate.record.event import Event, Severity
from framegate.record.incident_events import IncidentLinked, IncidentOpened, IncidentStep

MAX_LINKED: Final = 200
"""Entries of one link: some 2 KiB; what is more is linked by the next."""
OPENS: Final = MappingProxyType(
    {
        "contradicted": Severity.HIGH,
        "evidence-refused": Severity.HIGH,
        "known-answer-deviated": Severity.CRITICAL,
        "model-refused": Severity.HIGH,
        "frame-replayed": Severity.HIGH,
        "frame-frozen": Severity.HIGH,
        "frame-manipulated": Severity.HIGH,
        "frame-covered": Severity.HIGH,
        "child-died": Severity.HIGH,
        "line-stop-asked": Severity.HIGH,
        "segment-not-cut": Severity.CRITICAL,
        "segment-spoofed": Severity.HIGH,
        "segment-repaired": Severity.HIGH,
        "incident-wanted": Severity.HIGH,
        "report-refused": Severity.HIGH,
        "report-withheld": Severity.HIGH,
        "security-key-suspected": Severity.HIGH,
        "break-glass-used": Severity.CRITICAL,
        "registry-restored": Severity.CRITICAL,
    }
)
"""What opens an incident where none is open about the same, and how urgent it is then."""
LINKS: Final = frozenset(
    {
        "late",
        "seal-refused",
        "opening-refused",
        "child-confined",
        "uninspected-streak",
        "line-output-refused",
        "broker-trouble",
        "frame-drifted",
        "frame-quality",
        "findings-folded",
        "segment-refused",
    }
)
"""What belongs to an incident that is open, and opens none."""
STEPS: Final = frozenset(
    {
        "quarantine",
        "release",
        "reconsidered",
        "proved",
        "retire",
        "replaced",
        "counters-accepted",
        "profile-assigned",
        "maintenance-began",
        "attest-now",
        "report-resumed",
        "segment-cut",
    }
)
"""What is done, or comes back, while one is open."""
TOLD_LATE_MS: Final = 120_000
"""After an incident was closed: a reporter counts for a minute, and its report takes its time."""
DRILL: Final = "drill-declared"
OWN: Final = (
    "incident-opened",
    "incident-linked",
    "incident-step",
    "incident-noted",
    "incident-assigned",
    "incident-closed",
)
"""Events that incidents are made of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """An incident as of some entry. `number` is the entry that opened it; `findings` and `steps`
    are entries of the record, in order; times in milliseconds, 0 for not yet. `acknowledged_ms` is
    when a person first did anything about it.
    """

    number: int
    about: str
    title: str
    priority: Severity
    drill: bool
    device: str
    detected_ms: int
    opened_ms: int
    findings: tuple[int, ...]
    steps: tuple[int, ...] = ()
    own: tuple[int, ...] = ()
    assignee: str = ""
    verdict: str = ""
    acknowledged_ms: int = 0
    closed_ms: int = 0

    @property
    def open(self) -> bool:
        """Whether nobody has closed it."""
        return not self.closed_ms

    @property
    def state(self) -> str:
        """In a word."""
        return "closed" if self.closed_ms else "taken" if self.acknowledged_ms else "new"


@dataclass(slots=True)
class Book:
    """Incidents and declared drills, as far as it has read."""

    incidents: dict[int, Incident] = field(default_factory=dict)
    drills: dict[str, int] = field(default_factory=dict)

    def read(self, entry: Mapping[str, Any]) -> None:
        """Take in one entry; one that is of no incident, or was read before, changes nothing."""
        name, members = entry.get("event"), entry.get("members", {})
        if name == DRILL:
            self.drills[entry["device"]] = members["until_ms"]
        elif name == "incident-opened":
            self.incidents.setdefault(entry["index"], _opened(entry))
        elif name in OWN:
            before = self.incidents.get(members["incident"])
            if before is not None and entry["index"] not in before.own:
                self.incidents[before.number] = _after(before, entry)

    def about(self, about: str) -> Incident | None:
        """The latest open incident about this."""
        alike = [i for i in self.incidents.values() if i.open and i.about == about]
        return alike[-1] if alike else None

    def _told_late(self, entry: Mapping[str, Any]) -> Incident | None:
        """The incident that was closed after all of what this entry counts had been seen: reporters
        count what goes on, and say how much up to a minute later.
        """
        last_ms, about = entry.get("members", {}).get("last_ms"), about_of(entry)
        alike = [i for i in self.incidents.values() if i.about == about]
        if type(last_ms) is not int or not alike or alike[-1].open:
            return None
        closed_ms = alike[-1].closed_ms
        late = last_ms <= closed_ms and entry["at_ms"] - closed_ms <= TOLD_LATE_MS
        return alike[-1] if late else None

    def openings(self, entries: Sequence[Mapping[str, Any]]) -> list[IncidentOpened]:
        """Incidents that have to be opened for `entries`: one about each thing that has none."""
        opened: dict[str, IncidentOpened] = {}
        for entry in entries:
            name, about = str(entry.get("event", "")), about_of(entry)
            known = self.about(about) or self._told_late(entry)
            if name in OPENS and about not in opened and known is None:
                opened[about] = self._opening(entry, name, about)
        return list(opened.values())

    def answer(self, entries: Sequence[Mapping[str, Any]]) -> list[Event]:
        """What has to be recorded for `entries`, once what they open was read: findings and steps
        of open incidents, as few events as there are incidents, however many entries.
        """
        links: dict[int, list[int]] = {}
        steps: dict[int, list[tuple[int, str]]] = {}
        for entry in entries:
            name = str(entry.get("event", ""))
            incident = self.about(about_of(entry)) or self._told_late(entry)
            if incident is None or entry["index"] <= incident.findings[0]:
                continue
            if name in STEPS:
                steps.setdefault(incident.number, []).append((entry["index"], name))
            elif name in OPENS or name in LINKS:
                links.setdefault(incident.number, []).append(entry["index"])
        return [*self._links(links), *self._steps(steps)]

    def _links(self, links: Mapping[int, Sequence[int]]) -> Iterator[Event]:
        for number, indices in links.items():
            device = self.incidents[number].device
            for some in _some(indices):
                yield IncidentLinked(device=device, incident=number, entries=tuple(some))

    def _steps(self, steps: Mapping[int, Sequence[tuple[int, str]]]) -> Iterator[Event]:
        for number, done in steps.items():
            device = self.incidents[number].device
            names = dict(done)
            for some in _some(list(names)):
                what = ", ".join(dict.fromkeys(names[n] for n in some))
                yield IncidentStep(device=device, incident=number, entries=tuple(some), what=what)

    def _opening(self, entry: Mapping[str, Any], name: str, about: str) -> IncidentOpened:
        return IncidentOpened(
            device=str(entry.get("device", "")),
            about=about,
            title=name,
            trigger=entry["index"],
            priority=int(OPENS[name]),
            detected_ms=entry["at_ms"],
            drill=self.drills.get(about, 0) >= entry["at_ms"],
        )


def about_of(entry: Mapping[str, Any]) -> str:
    """What an entry is about: its device, or its event where it is about none."""
    return str(entry.get("device") or entry.get("event", ""))


def _opened(entry: Mapping[str, Any]) -> Incident:
    members = entry["members"]
    return Incident(
        number=entry["index"],
        about=members["about"],
        title=members["title"],
        priority=Severity(members["priority"]),
        drill=bool(members["drill"]),
        device=str(entry.get("device", "")),
        detected_ms=members["detected_ms"],
        opened_ms=entry["at_ms"],
        findings=(members["trigger"],),
        own=(entry["index"],),
    )


def _after(before: Incident, entry: Mapping[str, Any]) -> Incident:
    name, members, at = entry["event"], entry["members"], entry["at_ms"]
    after = replace(before, own=(*before.own, entry["index"]))
    if name == "incident-linked":
        return replace(after, findings=(*before.findings, *members["entries"]))
    if name == "incident-step":
        return replace(after, steps=(*before.steps, *members["entries"]))
    after = replace(after, acknowledged_ms=before.acknowledged_ms or at)
    if name == "incident-assigned":
        return replace(after, assignee=members["assignee"])
    if name == "incident-closed":
        return replace(after, verdict=members["verdict"], closed_ms=before.closed_ms or at)
    return after


def _some(indices: Sequence[int]) -> list[Sequence[int]]:
    return [indices[n : n + MAX_LINKED] for n in range(0, len(indices), MAX_LINKED)]
