"""The map of a segment: identities in zones, and what passes between them. What the policy lets
pass is for whoever reads the policy; what was seen is in the record, and for whoever reads that.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from starlette.responses import Response

from framegate.access.policy_statement import PolicyStatement
from framegate.errors import Malformed, Reason, Refused
from framegate.identity.certificates import from_ms
from framegate.segment.flow import FLOW_KINDS
from framegate.segment.parse import parse_segments
from framegate.segment.policy import FILE, Segment
from framegate.segment.site_map import MapEdge, SeenFlow, new_edges, seen_flows, site_map
from framegate.segment.ways import (
    ADMISSIONS,
    REPORTS,
    way_of_operator,
    ways_of_admissions,
    ways_of_reports,
)
from framegate.signed.dsse import parse_envelope
from framegate_console.map_drawing import map_drawing
from framegate_console.visit import Visit
from framegate_operator.segment_standings import standings_of
from framegate_proto.v1 import framegate_pb2 as pb

DAYS: Final = (1, 7, 30, 90)
"""How far back what was seen is read."""
DAY_MS: Final = 86_400_000
MAX_NODES: Final = 2_000
MAX_ENTRIES: Final = 20_000
"""Entries of one kind that are read, the newest: the command line reads more."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What enforcers reported, and the ways that others told of; `known`: whether whoever asks may
    read that, `cut`: not all of it was read.
    """

    flows: Sequence[SeenFlow]
    ways: Sequence[MapEdge]
    known: bool
    cut: bool


async def show(visit: Visit) -> Response:
    """The map, and what is new on it since a day that is asked for."""
    segments = await _segments(visit)
    asked = {name: visit.asked(name) for name in ("segment", "since", "diff")}
    chosen = _chosen(segments, asked["segment"])
    shown: dict[str, Any] = {
        "title": "map.title",
        "segments": sorted(segments),
        "days": DAYS,
        "asked": asked,
    }
    if chosen is None:
        return visit.show("map.html", **shown, map=None)
    days = int(asked["since"]) if asked["since"] in map(str, DAYS) else DAYS[2]
    seen = await _seen(visit, chosen.name, days)
    listed = await visit.calls.operator("List", pb.ListRequest())
    standings = standings_of(listed.devices, chosen, str)
    now = site_map(chosen, standings, seen.flows, seen.ways)
    new: tuple[MapEdge, ...] = ()
    if asked["diff"]:
        until = day_ms(asked["diff"])
        earlier = [f for f in seen.flows if f.first_ms <= until]
        known = [w for w in seen.ways if w.first_ms <= until]
        new = new_edges(site_map(chosen, standings, earlier, known), now)
    return visit.show(
        "map.html",
        **shown,
        map=map_drawing(now, new, flows_known=seen.known),
        segment=now.segment,
        nodes=sorted(now.nodes, key=lambda n: (n.zone, n.name))[:MAX_NODES],
        unseen=len(now.unseen),
        seen=seen,
        span=days,
        escaped=len(now.escaped),
        new=len(new),
    )


def day_ms(text: str) -> int:
    """The beginning of a day in UTC, as milliseconds. Raises Malformed (USAGE)."""
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
        return int(day.timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise Malformed.of(Reason.USAGE, "a day: 2026-11-20", ascii(text[:40])) from error


async def _segments(visit: Visit) -> Mapping[str, Segment]:
    """The segments of the policy in force, after its signature by this fleet's policy key held."""
    reply = await visit.calls.operator("ShowPolicy", pb.PolicyRequest())
    payload = parse_envelope(reply.envelope, PolicyStatement.TYPE).payload
    applied = PolicyStatement.parse_payload(payload).applied_at_ms
    root = visit.console.context.root_certificate
    # Cedar's engine takes megabytes, and no policy is decided here
    statement, _ = PolicyStatement.verify(reply.envelope, (), root, from_ms(applied))
    text = statement.texts.get(FILE)
    return parse_segments(text) if text is not None else {}


def _chosen(segments: Mapping[str, Segment], name: str) -> Segment | None:
    if name and name not in segments:
        wanted = " or ".join(sorted(segments)) or "a segment"
        raise Refused.of(Reason.NOT_FOUND, wanted, ascii(name[:80]))
    return segments[name or min(segments)] if segments else None


async def _seen(visit: Visit, segment: str, days: int) -> Seen:
    since = int(time.time() * 1000) - days * DAY_MS
    entries: dict[str, list[Any]] = {}
    for kind in (*sorted(k.value for k in FLOW_KINDS), REPORTS, ADMISSIONS):
        request = pb.ReadLogRequest(
            event=kind, limit=MAX_ENTRIES, since_ms=since, newest_first=True
        )
        try:
            rows = await visit.calls.operator_rows("ReadLog", request, MAX_ENTRIES)
        except Refused as error:
            if _ended(visit, error):
                raise
            return Seen((), (), known=False, cut=False)
        entries[kind] = [json.loads(row.entry) for row in rows]
    return Seen(
        flows=[f for kind in FLOW_KINDS for f in seen_flows(entries[kind.value])],
        ways=[
            *ways_of_reports(segment, entries[REPORTS]),
            *ways_of_admissions(segment, entries[ADMISSIONS]),
            *await _people(visit, since),
        ],
        known=True,
        cut=any(len(each) == MAX_ENTRIES for each in entries.values()),
    )


async def _people(visit: Visit, since_ms: int) -> list[MapEdge]:
    """Who worked here since then, as far as whoever asks may know who there is."""
    try:
        listed = await visit.calls.operator("ListOperators", pb.ListRequest())
    except Refused as error:
        if _ended(visit, error):
            raise
        return []
    seen = (p for p in listed.operators if p.seen_ms >= since_ms)
    return [way_of_operator(p.name, p.roles, p.added_ms, p.seen_ms) for p in seen]


def _ended(visit: Visit, error: Refused) -> bool:
    """Whether it was the session's end, and not that whoever asks may not know."""
    return visit.session is None or visit.session.over or error.reason == Reason.SIGNED_OUT
