"""Ways on a map that no packet filter tells of: frames that gateways took under a grant, lines that
read verdicts, ports that 802.1X opened, people at the controller. Out of the record, as far as it
has them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from framegate.errors import FramegateError
from framegate.findings.kinds import FindingKind
from framegate.identity.names import split_device_id
from framegate.segment.site_map import Edge, MapEdge

REPORTS: Final = "report"
"""Entries in which a reporter's report stands, by the name they are asked for."""
ADMISSIONS: Final = FindingKind.SEGMENT_ADMITTED.value
CONTROLLER: Final = "controller"
_LINE: Final = "line."
_PORT: Final = "802.1x"


def ways_of_reports(zone: str, entries: Iterable[Mapping[str, Any]]) -> Iterator[MapEdge]:
    """Cameras whose frames a gateway of `zone` inspected, each under a grant; and lines that read
    verdicts of gateways of `zone`, by whom they send their reports.
    """
    for entry in entries:
        reporter, brought = str(entry.get("reporter", "")), str(entry.get("brought_by", ""))
        if _zone_of(brought or reporter) != zone:
            continue
        try:
            if reporter.startswith(_LINE):
                at = int(entry["at_ms"])
                yield _way(brought, reporter, "verdicts", "verdict reader", (1, at, at))
                continue
            for row in entry.get("accepted", ()):
                seen = (int(row["count"]), int(entry["from_ms"]), int(row["last_ms"]))
                yield _way(str(row["device"]), reporter, "frames", "grant", seen)
        except (KeyError, TypeError, ValueError):
            continue


def ways_of_admissions(zone: str, entries: Iterable[Mapping[str, Any]]) -> Iterator[MapEdge]:
    """Who 802.1X let in at a port of an enforcer of `zone`: the device that is bound there with
    that MAC address, or a stranger. The identity that was claimed is not on the map.
    """
    for entry in entries:
        try:
            told = entry["members"]
            enforcer, (word, port) = str(told["reporter"]), str(told["reason"]).split(" ")
            seen = (int(told["count"]), int(told["first_ms"]), int(told["last_ms"]))
        except (KeyError, TypeError, ValueError):
            continue
        if _zone_of(enforcer) != zone or word != _PORT:
            continue
        device = str(entry.get("device", ""))
        who = device if device not in {"", enforcer} else "a stranger"
        edge = _way(who, f"port {port}", _PORT, enforcer, seen)
        yield replace(edge, kind=Edge.ADMITTED)


def way_of_operator(name: str, roles: Iterable[str], added_ms: int, seen_ms: int) -> MapEdge:
    """A person who was seen at the controller."""
    by = ", ".join(sorted(roles)) or "no role"
    return _way(f"operator.{name}", CONTROLLER, "calls", by, (0, added_ms, seen_ms))


def _way(source: str, destination: str, port: str, by: str, seen: tuple[int, ...]) -> MapEdge:
    """`seen`: how often, first and last (ms)."""
    count, first_ms, last_ms = seen
    return MapEdge(
        source=source,
        destination=destination,
        port=port,
        kind=Edge.SERVED,
        by=by,
        count=count,
        first_ms=first_ms,
        last_ms=last_ms,
    )


def _zone_of(name: str) -> str:
    """The zone of a machine's or an enforcer's name; empty where it is none."""
    try:
        return split_device_id(name).zone
    except FramegateError:
        parts = name.split(".")
        return parts[1] if len(parts) == 3 and parts[0] == "enforcer" else ""
