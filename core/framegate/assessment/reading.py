"""The record as facts are read from it: entries by event, and the states that machines were in.

Entries are those of the record, as mappings; the caller MUST have verified them, or have them from
the controller itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from framegate.access.verbs import verbs

DAY_MS: Final = 86_400_000
WINDOW_DAYS: Final = 30
"""What happens daily is looked at for a month: a shift that is away for a week still counts."""
LONG_DAYS: Final = 90
"""What happens now and then, a change, a drill, an export, is looked at for a quarter."""
REPORT: Final = "report"
PROOFS: Final = frozenset({"attested", "proved", "proved-unpinned"})
MOVES: Final = frozenset(
    {
        "invited",
        "proved",
        "proved-unpinned",
        "contradicted",
        "late",
        "approved",
        "quarantine",
        "release",
        "reconsidered",
        "retire",
        "replaced",
    }
)
"""Events that say what state a machine is in."""
AWAY: Final = frozenset({"invited", "retired"})
"""States of machines that are not, or not any more, part of the plant."""
TRUSTED: Final = "trusted"
Entry = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Proof:
    """When a machine proved itself, the entry that says so, and by which profile."""

    at_ms: int
    index: int
    profile: str


def two_person_verbs() -> frozenset[str]:
    """Verbs that take somebody else's approval."""
    return frozenset(name for name, verb in verbs().items() if verb.two_person)


@dataclass(slots=True)
class Reading:
    """Entries that facts are read from, in the record's order; made by `read` alone."""

    fleet: str = ""
    size: int = 0
    end_ms: int = 0
    by_event: dict[str, list[Entry]] = field(default_factory=dict)
    moved: dict[str, list[Entry]] = field(default_factory=dict)
    proofs: dict[str, list[Proof]] = field(default_factory=dict)
    changes: list[Entry] = field(default_factory=list)
    _two: frozenset[str] = field(default_factory=two_person_verbs)

    def read(self, entry: Entry) -> None:
        """Take in the next entry; what no fact is read from is left out."""
        self.size, self.end_ms = entry["index"] + 1, max(self.end_ms, entry["at_ms"])
        name, device = str(entry.get("event", entry["kind"])), str(entry.get("device", ""))
        if device and name in PROOFS:
            profile = str(entry.get("members", {}).get("profile", ""))
            self.proofs.setdefault(device, []).append(
                Proof(entry["at_ms"], entry["index"], profile)
            )
        if device and entry.get("to") and name in MOVES:
            self.moved.setdefault(device, []).append(entry)
        if entry.get("verb") in self._two and name not in {"denied", "access-asked"}:
            self.changes.append(entry)
        if name != "attested":
            self.by_event.setdefault(name, []).append(entry)

    @property
    def zones(self) -> list[str]:
        """Zones that a machine was ever invited to."""
        named = [device.split(".") for device in self.moved]
        return sorted({parts[1] for parts in named if len(parts) == 3})


def reading_of(entries: Iterable[Entry], fleet: str = "") -> Reading:
    """All of `entries`, in order."""
    reading = Reading(fleet)
    for entry in entries:
        reading.read(entry)
    return reading


@dataclass(frozen=True, slots=True)
class View:
    """A reading as of `at_ms`, of one zone or, where that is empty, of the fleet."""

    reading: Reading
    at_ms: int
    zone: str = ""

    def rows(self, *names: str, days: int = 0) -> list[Entry]:
        """Entries of these events, in order: all so far, or those of the last `days`."""
        since = self.at_ms - days * DAY_MS if days else 0
        rows = [
            entry
            for name in names
            for entry in self.reading.by_event.get(name, ())
            if since < entry["at_ms"] <= self.at_ms
        ]
        return rows if len(names) == 1 else sorted(rows, key=index_of)

    def about(self, *names: str, days: int = 0) -> list[Entry]:
        """`rows` whose machine, reporter or line is in the zone."""
        return [e for e in self.rows(*names, days=days) if self.has(str(e.get("device", "")))]

    def changes(self, days: int) -> list[Entry]:
        """Entries of the last `days` whose verb takes two people."""
        since = self.at_ms - days * DAY_MS
        return [e for e in self.reading.changes if since < e["at_ms"] <= self.at_ms]

    def has(self, device: str) -> bool:
        """Whether a machine, an enforcer or a reporter `<kind>.<zone>.<name>` is in the zone."""
        parts = device.split(".")
        return not self.zone or (len(parts) == 3 and parts[1] == self.zone)

    def states(self) -> dict[str, Entry]:
        """Of each machine in the zone the entry that says its state."""
        last = {
            device: [e for e in entries if e["at_ms"] <= self.at_ms]
            for device, entries in self.reading.moved.items()
            if self.has(device)
        }
        return {device: entries[-1] for device, entries in last.items() if entries}

    def machines(self, kind: str = "") -> dict[str, Entry]:
        """Machines that are part of the plant, as `states`; of one kind where that is given."""
        return {
            device: entry
            for device, entry in self.states().items()
            if entry["to"] not in AWAY and device.startswith(f"{kind}." if kind else "")
        }

    def state_at(self, device: str, at_ms: int) -> str:
        """What state a machine was in; empty for one that nobody knew."""
        state = ""
        for entry in self.reading.moved.get(device, ()):
            if entry["at_ms"] > at_ms:
                break
            state = str(entry["to"])
        return state

    def proof(self, device: str) -> Proof | None:
        """A machine's last proof of itself."""
        proofs = [p for p in self.reading.proofs.get(device, ()) if p.at_ms <= self.at_ms]
        return proofs[-1] if proofs else None

    def reporters(self, *kinds: str, days: int = WINDOW_DAYS) -> dict[str, Entry]:
        """Reporters of these kinds (gateway, enforcer) with their last report."""
        reports = self.about(REPORT, days=days)
        return {
            str(e["reporter"]): e
            for e in reports
            if str(e["reporter"]).split(".", maxsplit=1)[0] in kinds
        }


def index_of(entry: Entry) -> int:
    """Its place in the record."""
    return int(entry["index"])


def last_of(entries: Sequence[Entry], member: str) -> dict[str, Entry]:
    """The last entry for each value of a member."""
    return {str(e.get("members", {}).get(member, "")): e for e in entries}
