"""A map of a segment laid out for a page: zones are columns, identities boxes, ways curves with a
number that a table below them repeats.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from framegate.segment.site_map import Edge, MapEdge, MapNode, SiteMap, is_trusted

COLUMN: Final = 290
"""From one zone's left edge to the next one's."""
BOX: Final = 196
BOX_HEIGHT: Final = 46
ROW: Final = 66
TOP: Final = 56
EDGE_ROOM: Final = 90
"""Beside the last column, for ways that begin and end in one zone."""
MOST: Final = 12
"""Boxes of one zone; others share a last one: a page is looked at, and the table has them all."""
APART: Final = 30
"""Between the curves of several ways between the same two."""
AROUND: Final = 52
"""How far a way bows that would run through boxes between its own two: its middle half runs 29 to
39 below theirs, which end at 23 where the next row begins at 43.
"""
SIGN: Final = 26
"""Across a way's sign, with a little room."""
SHARES: Final = (0.5, 0.4, 0.6, 0.3, 0.7, 0.22, 0.78, 0.15, 0.85)
"""Of a way, where its sign may stand."""
ELSEWHERE: Final = ""
ALLOWED: Final = "allowed"
"""A way of which nobody here may know whether it was used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """A column."""

    name: str
    left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """Somebody in a zone; `more` is how many it stands for where it stands for several."""

    left: int
    top: int
    name: str = ""
    state: str = ""
    more: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A way as it is drawn: its curve, where its number stands, and whether it is new."""

    number: int
    edge: MapEdge
    kind: str
    path: str
    x: float
    y: float
    new: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MapDrawing:
    """A map in a box of `width` by `height`."""

    width: int
    height: int
    zones: Sequence[Zone]
    boxes: Sequence[Box]
    ways: Sequence[Way]


def map_drawing(
    drawn: SiteMap, new: Iterable[MapEdge] = (), *, flows_known: bool = True
) -> MapDrawing:
    """`drawn`, with the ways of `new` marked. Where flows are not known, nothing is said of what
    was seen: a way that the policy has is then allowed, and no more.
    """
    columns = _columns(drawn)
    places: dict[str, Box] = {}
    boxes: list[Box] = []
    for number, nodes in enumerate(columns.values()):
        boxes += _column(nodes, 10 + number * COLUMN, places)
    marked = frozenset(new)
    ways: list[Way] = []
    signs: list[Place] = []
    between: Counter[frozenset[tuple[int, int]]] = Counter()
    for number, edge in enumerate(drawn.edges, start=1):
        start, end = places[edge.source], places[edge.destination]
        pair = frozenset({(start.left, start.top), (end.left, end.top)})
        curve = _curve(start, end, between[pair])
        between[pair] += 1
        unknown = edge.kind is Edge.UNUSED and not flows_known
        sign = _free(curve, signs, boxes)
        signs.append(sign)
        ways.append(
            Way(
                number=number,
                edge=edge,
                kind=ALLOWED if unknown else edge.kind.name.lower(),
                path=curve.path,
                x=sign.x,
                y=sign.y,
                new=edge in marked,
            )
        )
    zones = [Zone(name=name, left=10 + n * COLUMN) for n, name in enumerate(columns)]
    rows = max((box.top for box in boxes), default=TOP) + BOX_HEIGHT
    width = max(1, len(zones)) * COLUMN - (COLUMN - BOX) + EDGE_ROOM
    low = max((way.y for way in ways), default=0.0) + 24
    return MapDrawing(
        width=width, height=int(max(rows + 20, low)), zones=zones, boxes=boxes, ways=ways
    )


def _columns(drawn: SiteMap) -> Mapping[str, Sequence[MapNode]]:
    """Nodes by zone, in the policy's order; those with ways first, then who is not trusted."""
    busy = {name for edge in drawn.edges for name in (edge.source, edge.destination)}
    columns: dict[str, list[MapNode]] = {zone: [] for zone in drawn.zones}
    for node in drawn.nodes:
        columns.setdefault(node.zone or ELSEWHERE, []).append(node)
    for nodes in columns.values():
        nodes.sort(key=lambda n: (n.name not in busy, not n.state or is_trusted(n), n.name))
    return columns


def _column(nodes: Sequence[MapNode], left: int, places: dict[str, Box]) -> list[Box]:
    """The boxes of one zone; `places` is told in which box each of its nodes is."""
    shown = nodes if len(nodes) <= MOST else nodes[: MOST - 1]
    boxes = [
        Box(left=left, top=TOP + row * ROW, name=node.name, state=node.state)
        for row, node in enumerate(shown)
    ]
    places.update({box.name: box for box in boxes})
    others = nodes[len(shown) :]
    if others:
        last = Box(left=left, top=TOP + len(shown) * ROW, more=len(others))
        places.update({node.name: last for node in others})
        boxes.append(last)
    return boxes


@dataclass(frozen=True, slots=True)
class Place:
    """A point of the drawing."""

    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Curve:
    """A cubic from one box's side to another's."""

    points: Sequence[Place]

    @property
    def path(self) -> str:
        """As SVG has it."""
        first, *others = (f"{p.x:g} {p.y:g}" for p in self.points)
        return f"M{first}C{' '.join(others)}"

    def at(self, t: float) -> Place:
        """Where it is after the share `t` of its way."""
        weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3)
        pairs = list(zip(weights, self.points, strict=True))
        return Place(sum(w * p.x for w, p in pairs), sum(w * p.y for w, p in pairs))


def _curve(start: Box, end: Box, turn: int) -> Curve:
    """`turn` is how many ways there are between the two already."""
    y1, y2 = start.top + BOX_HEIGHT / 2, end.top + BOX_HEIGHT / 2
    if start.left == end.left:
        side = start.left + BOX
        bow = side + 70 + turn * APART
        return Curve((Place(side, y1), Place(bow, y1), Place(bow, y2 + 6), Place(side, y2 + 6)))
    rightward = end.left > start.left
    x1 = start.left + BOX if rightward else start.left
    x2 = end.left if rightward else end.left + BOX
    bend = (x2 - x1) / 2
    sag = (1 if turn % 2 else -1) * ((turn + 1) // 2) * APART
    if y1 == y2 and abs(end.left - start.left) > COLUMN:
        sag += AROUND
    return Curve(
        (
            Place(x1, y1),
            Place(x1 + bend, y1 + sag),
            Place(x2 - bend, y2 + sag),
            Place(x2, y2),
        )
    )


def _free(curve: Curve, signs: Sequence[Place], boxes: Sequence[Box]) -> Place:
    """A place on the curve for its sign: in the middle, or where no other sign and no box is."""
    tried = [curve.at(t) for t in SHARES]
    return next((p for p in tried if _alone(p, signs) and not _covered(p, boxes)), tried[0])


def _alone(place: Place, signs: Sequence[Place]) -> bool:
    return all(math.hypot(place.x - s.x, place.y - s.y) >= SIGN for s in signs)


def _covered(place: Place, boxes: Sequence[Box]) -> bool:
    near = SIGN / 2
    return any(
        b.left - near < place.x < b.left + BOX + near
        and b.top - near < place.y < b.top + BOX_HEIGHT + near
        for b in boxes
    )
