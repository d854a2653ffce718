"""The map of a segment: identities in zones, and what passes between them. What the policy lets
pass is for whoever reads the policy; what was seen is in the record, and for whoever reads that.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

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
from framegate_console.live import Live
from framegate_console.map_drawing import map_drawing
from framegate_console.pages.live_page import LivePage, Loaded
from framegate_console.record_reading import RecordReading
from framegate_console.visit import Visit
from framegate_operator.segment_standings import standings_of
from framegate_proto.v1 import framegate_pb2 as pb

DAYS: Final = (1, 7, 30, 90)
"""How far back what was seen is read."""
DAY_MS: Final = 86_400_000
MAX_NODES: Final = 2_000
LEAST_S: Final = 5.0
"""Between two pictures of the map: it is what came about in days."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What enforcers reported, and the ways that others told of; `known`: whether whoever asks may
    read that, `cut`: not all of it was read.
    """

    flows: Sequence[SeenFlow]
    ways: Sequence[MapEdge]
    known: bool
    cut: bool


MAX_KEY: Final = 400
"""Characters of what is asked for: a name, a number, a day."""
_ASKED: Final = ("segment", "since", "diff")


async def show(visit: Visit) -> Response:
    """The map, and what is new on it since a day that is asked for."""
    return await MAP.page(visit, urlencode({name: visit.asked(name)[:80] for name in _ASKED}))


async def load(live: Live, key: str) -> Loaded:
    """The map as it is now; `key` is what was asked for, as it stands in an address."""
    asked = _asked(key)
    segments = await _segments(live)
    chosen = _chosen(segments, asked["segment"])
    shown: dict[str, Any] = {"segments": sorted(segments), "days": DAYS, "asked": asked}
    if chosen is None:
        return {**shown, "map": None}
    days = int(asked["since"]) if asked["since"] in map(str, DAYS) else DAYS[2]
    seen = await _seen(live, chosen.name, days)
    look = await live.look()
    standings = standings_of(look.devices, chosen, str)
    now = site_map(chosen, standings, seen.flows, seen.ways)
    new: tuple[MapEdge, ...] = ()
    if asked["diff"]:
        until = day_ms(asked["diff"])
        earlier = [f for f in seen.flows if f.first_ms <= until]
        known = [w for w in seen.ways if w.first_ms <= until]
        new = new_edges(site_map(chosen, standings, earlier, known), now)
    return {
        **shown,
        "map": map_drawing(now, new, flows_known=seen.known),
        "segment": now.segment,
        "nodes": sorted(now.nodes, key=lambda n: (n.zone, n.name))[:MAX_NODES],
        "unseen": len(now.unseen),
        "seen": seen,
        "span": days,
        "escaped": len(now.escaped),
        "new": len(new),
    }


def _asked(key: str) -> Mapping[str, str]:
    try:
        pairs = parse_qsl(key[:MAX_KEY], max_num_fields=len(_ASKED))
    except ValueError as error:
        raise Malformed.of(Reason.USAGE, ", ".join(_ASKED), ascii(key[:80])) from error
    return dict.fromkeys(_ASKED, "") | dict(pairs)


def day_ms(text: str) -> int:
    """The beginning of a day in UTC, as milliseconds. Raises Malformed (USAGE)."""
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
        return int(day.timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise Malformed.of(Reason.USAGE, "a day: 2026-11-20", ascii(text[:40])) from error


async def _segments(live: Live) -> Mapping[str, Segment]:
    """The segments of the policy in force, after its signature by this fleet's policy key held."""
    reply = await live.asked("ShowPolicy", pb.PolicyRequest())
    payload = parse_envelope(reply.envelope, PolicyStatement.TYPE).payload
    applied = PolicyStatement.parse_payload(payload).applied_at_ms
    root = live.session.root_certificate
    # Cedar's engine takes megabytes, and no policy is decided here
    statement, _ = PolicyStatement.verify(reply.envelope, (), root, from_ms(applied))
    text = statement.texts.get(FILE)
    return parse_segments(text) if text is not None else {}


def _chosen(segments: Mapping[str, Segment], name: str) -> Segment | None:
    if name and name not in segments:
        wanted = " or ".join(sorted(segments)) or "a segment"
        raise Refused.of(Reason.NOT_FOUND, wanted, ascii(name[:80]))
    return segments[name or min(segments)] if segments else None


async def _seen(live: Live, segment: str, days: int) -> Seen:
    since = int(time.time() * 1000) - days * DAY_MS
    reading = live.readings.setdefault(days, RecordReading(live.calls, since))
    try:
        entries = await reading.of((*(k.value for k in FLOW_KINDS), REPORTS, ADMISSIONS), since)
    except Refused as error:
        if _ended(live, error):
            raise
        return Seen((), (), known=False, cut=False)
    return Seen(
        flows=[f for kind in FLOW_KINDS for f in seen_flows(entries[kind.value])],
        ways=[
            *ways_of_reports(segment, entries[REPORTS]),
            *ways_of_admissions(segment, entries[ADMISSIONS]),
            *await _people(live, since),
        ],
        known=True,
        cut=reading.cut,
    )


async def _people(live: Live, since_ms: int) -> list[MapEdge]:
    """Who worked here since then, as far as whoever asks may know who there is."""
    try:
        listed = await live.asked("ListOperators", pb.ListRequest())
    except Refused as error:
        if _ended(live, error):
            raise
        return []
    seen = (p for p in listed.operators if p.seen_ms >= since_ms)
    return [way_of_operator(p.name, p.roles, p.added_ms, p.seen_ms) for p in seen]


def _ended(live: Live, error: Refused) -> bool:
    """Whether it was the session's end, and not that whoever asks may not know."""
    return live.session.over or error.reason == Reason.SIGNED_OUT


MAP: Final = LivePage("map", "map.html", load, head="map_head.html", least_s=LEAST_S)
