"""The map of a segment: identities in zones, and what passes between them, out of the policy and of
what enforcers reported to the record. What no enforcer sees is not on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from framegate.errors import FramegateError
from framegate.segment.flow import ANY, FLOW_KINDS, FlowKey
from framegate.segment.policy import Conduit, Segment
from framegate.segment.refusal import Verdict
from framegate.segment.ruling import TRUSTED, UNKNOWN, Standings

UNSEEN: Final = (
    "packets between hosts of one link without an enforcer, and of networks beside it",
    "what passed while no enforcer reported, or while its log was full: counts are at least these",
    "which host of a destination's zone it was, where it has several",
    "who reads verdicts at the broker and is no line: its access list names them",
    "what people only looked at: reads leave no entry",
)
"""What a map cannot show, said with every map."""
_KINDS: Final = frozenset(kind.value for kind in FLOW_KINDS)


class Edge(StrEnum):
    """What is known of a way."""

    USED = "allowed, seen"
    UNUSED = "allowed, never seen"
    REFUSED = "seen, refused"
    STAGED = "seen, would be refused"
    OBSERVED = "seen, not enforced there"
    SERVED = "served, seen"  # by a program that knows who it served, and not by packets
    ADMITTED = "let in by 802.1X, seen"
    ESCAPED = "seen, not allowed"  # an enforcer let it through and the policy has no such conduit


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenFlow:
    """Packets of one kind that an enforcer reported: `device` is whom they concern, empty where
    nobody of the fleet.
    """

    key: FlowKey
    device: str
    enforcer: str
    count: int
    first_ms: int
    last_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MapNode:
    """Somebody in a zone; `state` is a device's, empty for a host that nobody attests."""

    name: str
    zone: str
    state: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MapEdge:
    """A way from somebody to somebody, or to a zone of several, and to which port. `by` is the
    conduit, or the reason.
    """

    source: str
    destination: str
    port: str
    kind: Edge
    by: str
    count: int = 0
    first_ms: int = 0
    last_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteMap:
    """Nodes by zone, edges, what cannot be seen."""

    segment: str
    zones: tuple[str, ...]
    nodes: tuple[MapNode, ...]
    edges: tuple[MapEdge, ...]
    unseen: tuple[str, ...] = UNSEEN

    @property
    def escaped(self) -> tuple[MapEdge, ...]:
        """What must be empty."""
        return tuple(e for e in self.edges if e.kind is Edge.ESCAPED)


def seen_flows(entries: Iterable[Mapping[str, Any]], until_ms: int = 0) -> Iterator[SeenFlow]:
    """Flows in entries of the record, those until a time (0: all). What is no flow is left out."""
    for entry in entries:
        if entry.get("event", entry.get("kind")) not in _KINDS:
            continue
        try:
            told: Mapping[str, Any] = entry["members"]
            enforcer, device = str(told["reporter"]), str(entry.get("device", ""))
            flow = SeenFlow(
                key=FlowKey.parse(str(told["reason"])),
                # an event without a device of its own is about its reporter
                device="" if device == enforcer else device,
                enforcer=enforcer,
                count=int(told["count"]),
                first_ms=int(told["first_ms"]),
                last_ms=int(told["last_ms"]),
            )
        except (FramegateError, KeyError, TypeError, ValueError):
            continue
        if not until_ms or flow.first_ms <= until_ms:
            yield flow


def site_map(
    segment: Segment,
    standings: Standings,
    flows: Iterable[SeenFlow],
    ways: Iterable[MapEdge] = (),
) -> SiteMap:
    """The map of `segment`: flows at enforcers, and `ways` that others tell of."""
    edges: dict[MapEdge, MapEdge] = {}
    for edge in (*(_seen(segment, flow) for flow in flows), *ways):
        shape = _shape(edge)
        before = edges.get(shape)
        edges[shape] = replace(
            edge,
            count=edge.count + (before.count if before else 0),
            first_ms=min(edge.first_ms, before.first_ms) if before else edge.first_ms,
            last_ms=max(edge.last_ms, before.last_ms) if before else edge.last_ms,
        )
    used = {e.by for e in edges if e.kind is Edge.USED}
    unused = [_unused(segment, c) for n, c in segment.conduits.items() if n not in used]
    every = (*edges.values(), *unused)
    return SiteMap(
        segment=segment.name,
        zones=tuple(segment.zones),
        nodes=_nodes(segment, standings, every),
        edges=tuple(sorted(every, key=lambda e: (e.source, e.destination, e.port, e.kind))),
    )


def new_edges(before: SiteMap, now: SiteMap) -> tuple[MapEdge, ...]:
    """Ways of `now` that were not there, or not so, before."""
    known = {_shape(e) for e in before.edges}
    return tuple(e for e in now.edges if _shape(e) not in known)


def map_as_dict(drawn: SiteMap) -> dict[str, Any]:
    """As JSON values."""
    return {
        "segment": drawn.segment,
        "zones": list(drawn.zones),
        "nodes": [{"name": n.name, "zone": n.zone, "state": n.state} for n in drawn.nodes],
        "edges": [edge_as_dict(e) for e in drawn.edges],
        "cannot_be_seen": list(drawn.unseen),
    }


def edge_as_dict(edge: MapEdge) -> dict[str, Any]:
    """As JSON values."""
    return {
        "from": edge.source,
        "to": edge.destination,
        "port": edge.port,
        "kind": edge.kind.value,
        "by": edge.by,
        "count": edge.count,
        "first_ms": edge.first_ms,
        "last_ms": edge.last_ms,
    }


def _shape(edge: MapEdge) -> MapEdge:
    return replace(edge, count=0, first_ms=0, last_ms=0)


def _seen(segment: Segment, flow: SeenFlow) -> MapEdge:
    first, last = flow.first_ms, flow.last_ms
    return replace(_edge(segment, flow), count=flow.count, first_ms=first, last_ms=last)


def _edge(segment: Segment, flow: SeenFlow) -> MapEdge:
    key, told = flow.key, flow.key.told
    kind = {
        Verdict.ALLOW: Edge.USED,
        Verdict.DROP: Edge.REFUSED,
        Verdict.WOULD_DROP: Edge.STAGED,
        Verdict.OBSERVED: Edge.OBSERVED,
    }[told.verdict]
    if kind is Edge.USED and not _carried(segment, key):
        kind = Edge.ESCAPED
    source = flow.device if _lives(segment, flow.device, key.source) else f"{key.source}: anybody"
    destination = _whole(segment, key.destination)
    if flow.device and not _lives(segment, flow.device, key.source):
        destination = flow.device if _lives(segment, flow.device, key.destination) else destination
    by = told.where if kind is Edge.USED else told.why.value
    return MapEdge(source=source, destination=destination, port=key.port, kind=kind, by=by)


def _carried(segment: Segment, key: FlowKey) -> bool:
    conduit = segment.conduits.get(key.told.where)
    ends = (key.source, key.destination, key.port)
    return conduit is not None and ends == (
        conduit.source,
        conduit.destination,
        f"{conduit.transport}/{conduit.port}",
    )


def _lives(segment: Segment, label: str, zone: str) -> bool:
    binding = segment.named(label) if label else None
    return binding is not None and binding.zone == zone


def _whole(segment: Segment, zone: str) -> str:
    """A zone of one is who is in it."""
    if zone == ANY:
        return "elsewhere"
    there = [b.label for b in segment.bindings if b.zone == zone]
    return there[0] if len(there) == 1 else f"{zone}: anybody"


def _unused(segment: Segment, conduit: Conduit) -> MapEdge:
    return MapEdge(
        source=_whole(segment, conduit.source),
        destination=_whole(segment, conduit.destination),
        port=f"{conduit.transport}/{conduit.port}",
        kind=Edge.UNUSED,
        by=conduit.name,
    )


def _nodes(segment: Segment, standings: Standings, edges: Iterable[MapEdge]) -> tuple[MapNode, ...]:
    nodes = [
        MapNode(
            name=b.label,
            zone=b.zone,
            state=_state(standings, b.device) if b.device else "",
        )
        for b in segment.bindings
    ]
    known = {n.name for n in nodes}
    others = {name for e in edges for name in (e.source, e.destination)} - known
    nodes += [MapNode(name=n, zone=_zone_of(segment, n)) for n in sorted(others)]
    return tuple(nodes)


def _zone_of(segment: Segment, name: str) -> str:
    zone = name.split(":", 1)[0]
    return zone if zone in segment.zones else ""


def _state(standings: Standings, device: str) -> str:
    standing = standings.get(device)
    return standing.state if standing is not None else UNKNOWN


def is_trusted(node: MapNode) -> bool:
    """Whether it is a device that is trusted."""
    return node.state == TRUSTED
