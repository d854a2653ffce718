"""What the record and the fleet say about a segment: who stands how, why, and what was seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from framegate.errors import Reason, Refused
from framegate.identity.certificates import from_ms
from framegate.segment.flow import FLOW_KINDS
from framegate.segment.policy import Segment
from framegate.segment.ruling import TRUSTED, DeviceStanding
from framegate.segment.site_map import MapEdge, SeenFlow, seen_flows
from framegate.segment.ways import (
    ADMISSIONS,
    REPORTS,
    way_of_operator,
    ways_of_admissions,
    ways_of_reports,
)
from framegate_operator.output import ago
from framegate_operator.record_answers import entries_of, entry_of, working_out
from framegate_operator.segment_standings import standings_of
from framegate_proto.v1 import framegate_pb2 as pb

MAX_ENTRIES: Final = 100_000
"""Entries of one kind that are read: what enforcers of a zone report in some weeks."""


def fleet_standings(stub: Any, segment: Segment) -> dict[str, DeviceStanding]:
    """Of every device that `segment` binds: its state, and since when."""
    return standings_of(stub.List(pb.ListRequest()).devices, segment, ago)


def why_untrusted(stub: Any, device: str) -> str:
    """Why a device is not trusted, by its last failed check; empty where nothing is known."""
    detail = stub.Show(pb.DeviceRequest(device=device))
    summary = detail.summary
    if summary.state == TRUSTED and not summary.result_remaining_ms:
        return f"its result ran out, {ago(summary.last_result_ms)} it had the last one"
    failed = "; ".join(f"{f.reason}: {f.expected}, got {f.actual}" for f in detail.failures)
    span = ago(summary.since_ms).removesuffix(" ago")
    since = f"{summary.state} since {from_ms(summary.since_ms):%F %H:%MZ}, for {span}"
    return f"{since}; {failed}" if failed else since


def recorded_flows(stub: Any, since_ms: int, until_ms: int = 0) -> list[SeenFlow]:
    """Flows that enforcers reported since a time, until one (0: now)."""
    flows: list[SeenFlow] = []
    for kind in sorted(FLOW_KINDS):
        request = pb.ReadLogRequest(event=kind.value, limit=MAX_ENTRIES, since_ms=since_ms)
        with working_out():
            flows += seen_flows(entries_of(stub.ReadLog(request, stream=True)), until_ms)
    return flows


def recorded_ways(stub: Any, segment: Segment, since_ms: int) -> list[MapEdge]:
    """Ways that gateways, lines and enforcers told of since a time; people as far as the caller may
    know who there is.
    """
    with working_out():
        reports = ways_of_reports(segment.name, _of_kind(stub, REPORTS, since_ms))
        admissions = ways_of_admissions(segment.name, _of_kind(stub, ADMISSIONS, since_ms))
        ways = [*reports, *admissions]
    try:
        people = stub.ListOperators(pb.ListRequest()).operators
    except Refused:
        return ways
    seen = (p for p in people if p.seen_ms >= since_ms)
    return ways + [way_of_operator(p.name, p.roles, p.added_ms, p.seen_ms) for p in seen]


def _of_kind(stub: Any, kind: str, since_ms: int) -> Iterator[Mapping[str, Any]]:
    request = pb.ReadLogRequest(event=kind, limit=MAX_ENTRIES, since_ms=since_ms)
    yield from entries_of(stub.ReadLog(request, stream=True))


def recorded_drop(stub: Any, entry: int) -> tuple[SeenFlow, Mapping[str, Any]]:
    """(the flow, the entry) of a refusal in the record. Raises Refused (NOT_FOUND)."""
    for body in _entries(stub, entry):
        for flow in seen_flows([body]):
            return flow, body
    wanted = "an entry in which an enforcer tells of a flow"
    hint = "framegate audit list --event segment-refused"
    raise Refused.of(Reason.NOT_FOUND, wanted, entry, hint)


def _entries(stub: Any, entry: int) -> Iterator[Mapping[str, Any]]:
    request = pb.ReadLogRequest(first=entry, limit=1)
    for row in stub.ReadLog(request, stream=True):
        if row.index == entry:
            yield entry_of(row.entry)
