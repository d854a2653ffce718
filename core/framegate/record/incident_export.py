"""An incident for those who read no record: a timeline, a page, and an OCSF Incident Finding.

All of it is read from the entries that the incident is made of. What strangers wrote stands in them
too: a page escapes it, and whoever prints a timeline has to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from types import MappingProxyType
from typing import Any, Final

from framegate.record.event import Severity
from framegate.record.incidents import OWN, Book, Incident, about_of

OCSF_VERSION: Final = "1.8.0"
_CLASS, _CATEGORY = 2005, 2
_VERDICTS: Final = MappingProxyType(
    {
        "": (0, "Unknown"),
        "false-positive": (1, "False Positive"),
        "true-positive": (2, "True Positive"),
        "disregard": (3, "Disregard"),
        "benign": (5, "Benign"),
        "test": (6, "Test"),
        "insufficient-data": (7, "Insufficient Data"),
    }
)
_STATES: Final = MappingProxyType(
    {"new": (1, "New"), "taken": (2, "In Progress"), "closed": (5, "Closed")}
)
_ACTIVITIES: Final = MappingProxyType(
    {"new": (1, "Create"), "taken": (2, "Update"), "closed": (3, "Close")}
)
_PRIORITIES: Final = MappingProxyType(
    {
        Severity.INFORMATIONAL: (1, "Low"),
        Severity.LOW: (1, "Low"),
        Severity.MEDIUM: (2, "Medium"),
        Severity.HIGH: (3, "High"),
        Severity.CRITICAL: (4, "Critical"),
    }
)
_OWN_WORDS: Final = MappingProxyType(
    {
        "incident-opened": "opened",
        "incident-linked": "more findings",
        "incident-step": "step",
        "incident-noted": "note",
        "incident-assigned": "assigned",
        "incident-closed": "closed",
    }
)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a timeline: when (ms), the entry that says so, who, what, and in words."""

    at_ms: int
    index: int
    actor: str
    what: str
    words: str

    @property
    def at(self) -> str:
        """When, in UTC, to the second."""
        return datetime.fromtimestamp(self.at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def timeline(entries: Sequence[Mapping[str, Any]]) -> list[Line]:
    """`entries` of an incident as lines, in order. Links and steps are left out where their own
    entries stand there.
    """
    known = {e["index"] for e in entries}
    lines = []
    for entry in entries:
        name, members = str(entry.get("event", entry["kind"])), entry.get("members", {})
        if name in {"incident-linked", "incident-step"} and set(members["entries"]) <= known:
            continue
        what = _OWN_WORDS.get(name, name)
        lines.append(
            Line(entry["at_ms"], entry["index"], entry.get("actor", ""), what, _words(name, entry))
        )
    return lines


def incident_in(entries: Sequence[Mapping[str, Any]]) -> Incident:
    """The incident that `entries`, in order, are made of. Raises ValueError where they are of none,
    or of several.
    """
    book = Book()
    for entry in entries:
        book.read(entry)
    if len(book.incidents) != 1:
        raise ValueError(f"entries of {len(book.incidents)} incidents")
    return next(iter(book.incidents.values()))


def incident_finding(entries: Sequence[Mapping[str, Any]], fleet: str) -> dict[str, Any]:
    """The incident of `entries` as an OCSF 1.8.0 Incident Finding (class 2005), JSON values.

    What it is made of is in `finding_info_list`, one for each entry linked, by its number in the
    record.
    """
    incident = incident_in(entries)
    activity, activity_name = _ACTIVITIES[incident.state]
    status, status_name = _STATES[incident.state]
    verdict, verdict_name = _VERDICTS[incident.verdict]
    priority, priority_name = _PRIORITIES[incident.priority]
    by_index = {e["index"]: e for e in entries}
    found = [by_index[n] for n in incident.findings if n in by_index]
    last = max(e["at_ms"] for e in entries)
    finding: dict[str, Any] = {
        "activity_id": activity,
        "activity_name": activity_name,
        "category_uid": _CATEGORY,
        "category_name": "Findings",
        "class_uid": _CLASS,
        "class_name": "Incident Finding",
        "type_uid": _CLASS * 100 + activity,
        "type_name": f"Incident Finding: {activity_name}",
        "time": incident.closed_ms or last,
        "severity_id": int(incident.priority),
        "severity": incident.priority.name.capitalize(),
        "status_id": status,
        "status": status_name,
        "verdict_id": verdict,
        "verdict": verdict_name,
        "priority_id": priority,
        "priority": priority_name,
        "start_time": incident.detected_ms,
        "desc": f"{'Drill: ' if incident.drill else ''}{incident.title} about {incident.about}",
        "finding_info_list": [_finding_info(e, fleet) for e in found],
        "metadata": {
            "version": OCSF_VERSION,
            "uid": f"{fleet}:incident:{incident.number}",
            "product": {"name": "Framegate", "vendor_name": "Framegate"},
        },
    }
    if incident.closed_ms:
        finding["end_time"] = incident.closed_ms
    if incident.assignee:
        finding["assignee"] = {"name": incident.assignee, "uid": f"operator.{incident.assignee}"}
    else:  # one of the two has to be there
        finding["assignee_group"] = {"name": "unassigned"}
    return finding


def page(entries: Sequence[Mapping[str, Any]], fleet: str) -> str:
    """The incident of `entries` as a page of HTML that needs nothing else."""
    incident = incident_in(entries)
    title = f"Incident {incident.number}: {incident.title} about {incident.about}"
    facts = {
        "fleet": fleet,
        "state": incident.state,
        "urgency": incident.priority.name.lower(),
        "drill": "yes" if incident.drill else "no",
        "assigned to": incident.assignee or "nobody",
        "verdict": incident.verdict or "none yet",
    }
    rows = "\n".join(
        "<tr>" + "".join(f"<td>{escape(str(c))}</td>" for c in cells) + "</tr>"
        for cells in (
            (line.at, line.index, line.actor, line.what, line.words) for line in timeline(entries)
        )
    )
    listed = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in facts.items())
    heads = "".join(f"<th>{h}</th>" for h in ("when (UTC)", "entry", "by", "what", "words"))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style></head>\n"
        f"<body><h1>{escape(title)}</h1>\n<dl>{listed}</dl>\n"
        f"<table><thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}\n</tbody></table>\n"
        "<p>Entries are those of the fleet's record: framegate audit show ENTRY proves each.</p>\n"
        "</body></html>\n"
    )


_STYLE: Final = (
    "body{font:16px/1.5 sans-serif;margin:2em auto;max-width:70em;padding:0 1em}"
    "dl{display:grid;grid-template-columns:max-content 1fr;gap:0 1em}dd{margin:0}"
    "table{border-collapse:collapse}td,th{text-align:left;vertical-align:top;padding:.2em .8em}"
    "tbody tr:nth-child(odd){background:#8881}td{overflow-wrap:anywhere}"
)


def _words(name: str, entry: Mapping[str, Any]) -> str:
    members = entry.get("members", {})
    if name == "incident-noted":
        return str(members["note"])
    if name == "incident-assigned":
        return f"to {members['assignee']}"
    if name == "incident-closed":
        return f"{members['verdict']}: {members.get('note', '')}"
    if name in OWN:
        return str(entry.get("detail", ""))
    device, moved = about_of(entry), f"{entry.get('from', '')} -> {entry.get('to', '')}"
    words = (device, moved if entry.get("to") else "", str(entry.get("detail", "")))
    return ": ".join(w for w in words if w)


def _finding_info(entry: Mapping[str, Any], fleet: str) -> dict[str, Any]:
    info = {
        "uid": f"{fleet}:{entry['index']}",
        "title": str(entry.get("event", entry["kind"])),
        "created_time": entry["at_ms"],
    }
    if entry.get("detail"):
        info["desc"] = str(entry["detail"])
    return info
