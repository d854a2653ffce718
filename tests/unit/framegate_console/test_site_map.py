"""The map: laid out for a page, drawn from the policy and the record as far as somebody may read
them.
"""

import math
import re
import time
from urllib.parse import quote

import pytest

from framegate.access.verbs import Role
from framegate.errors import Malformed
from framegate.segment.ruling import DeviceStanding
from framegate.segment.site_map import Edge, MapEdge, MapNode, SiteMap, seen_flows, site_map
from framegate_console import record_reading
from framegate_console.map_drawing import ALLOWED, MOST, SIGN, map_drawing
from framegate_console.pages.site_map import day_ms
from framegate_console.record_reading import RecordReading
from framegate_proto.v1 import framegate_pb2 as pb
from support.mapped import CAM1, map_segment
from support.segments import planned_segment

pytestmark = pytest.mark.slow


def of(*nodes, edges=(), zones=("cameras", "gateways")):
    return SiteMap(segment="line-1", zones=zones, nodes=tuple(nodes), edges=tuple(edges))


def node(name, zone="cameras", state="trusted"):
    return MapNode(name=name, zone=zone, state=state)


def way(source, destination, kind=Edge.USED, port="tcp/7443"):
    return MapEdge(source=source, destination=destination, port=port, kind=kind, by="frames")


def test_zones_are_columns_and_every_way_begins_and_ends_at_a_box():
    drawn = map_drawing(of(node("a"), node("b", "gateways"), edges=[way("a", "b")]))
    assert [z.name for z in drawn.zones] == ["cameras", "gateways"]
    assert drawn.zones[0].left < drawn.zones[1].left <= drawn.width
    (one,) = drawn.ways
    assert one.number == 1 and one.kind == "used" and one.path.startswith("M")
    assert all(b.top + 46 <= drawn.height for b in drawn.boxes)


def test_ways_between_the_same_two_do_not_lie_on_each_other():
    kinds = (Edge.USED, Edge.REFUSED, Edge.STAGED)
    edges = [way("a", "b", k) for k in kinds] + [way("b", "a")]
    drawn = map_drawing(of(node("a"), node("b", "gateways"), edges=edges))
    assert len({(w.x, w.y) for w in drawn.ways}) == len(edges)
    assert len({w.path for w in drawn.ways}) == len(edges)
    signs = [(w.x, w.y) for w in drawn.ways]
    apart = [math.dist(a, b) for n, a in enumerate(signs) for b in signs[n + 1 :]]
    assert min(apart) >= SIGN, "no sign lies on another"


def test_many_of_one_zone_share_a_box_and_none_with_a_way_to_nowhere():
    cameras = [node(f"cam{n:04}") for n in range(1000)]
    last = way("cam0999", "gw")
    drawn = map_drawing(of(*cameras, node("gw", "gateways"), edges=[last]))
    shared = [b for b in drawn.boxes if b.more]
    assert [b.more for b in shared] == [1000 - MOST + 1]
    assert "cam0999" in {b.name for b in drawn.boxes}, "who speaks is drawn by name"
    edges = [way(c.name, "gw") for c in cameras]
    drawn = map_drawing(of(*cameras, node("gw", "gateways"), edges=edges))
    assert len(drawn.ways) == 1000, "those of the shared box begin there"


def test_who_is_not_trusted_is_not_hidden_among_many():
    cameras = [node(f"cam{n:04}") for n in range(100)] + [node("zzz", state="suspect")]
    assert map_drawing(of(*cameras)).boxes[0].name == "zzz"


def test_what_nobody_may_know_is_not_said_to_be_never_seen():
    segment = planned_segment()
    drawn = site_map(segment, {CAM1: DeviceStanding(state="trusted")}, seen_flows(()))
    assert {w.kind for w in map_drawing(drawn).ways} == {"unused"}
    assert {w.kind for w in map_drawing(drawn, flows_known=False).ways} == {ALLOWED}


@pytest.mark.parametrize("text", ["7d", "2026-13-01", "yesterday", "2026-11-20T00:00", "9" * 99])
def test_a_day_is_a_day(text):
    with pytest.raises(Malformed):
        day_ms(text)


def test_a_day_begins_at_midnight():
    assert day_ms("1970-01-02") == 86_400_000


async def test_the_map_shows_each_what_they_may_know(shown, walk):
    """A fleet without a segment says so. An auditor sees what was seen and what is new; a viewer
    the ways of the policy, and hears that there is more.
    """
    viewer, auditor = shown.as_role(Role.VIEWER), shown.as_role(Role.AUDITOR)
    answer = await viewer.get("/map")
    assert answer.status == 200 and "has no segment" in answer.text
    map_segment(walk)
    page = (await auditor.get("/map")).text
    for kind in ("allowed, seen", "allowed, never seen", "seen, refused", "seen, would be refused"):
        assert page.count(kind) > 1, kind  # beside the colour, in legend and table
    assert page.count('class="box b-') > 5 and 'class="sign e-refused' in page
    day = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 3 * 86_400))
    page = (await auditor.get(f"/map?diff={day}")).text
    assert "2 ways are new since then" in page
    new = re.findall(r'<td class="e-(\w+)">(?:(?!</td>).)*?<span class="tag">new', page, re.S)
    assert sorted(new) == ["refused", "staged"]
    # an answer of the controller is kept for a moment: who came before may be shown the old one yet
    viewer = shown.as_role(Role.VIEWER)
    page = (await viewer.get("/map")).text
    assert "your roles do not open" in page and "never seen" not in page
    assert 'class="sign e-allowed' in page and 'e-refused"' not in page
    stream = re.search(r'hx-sse:connect="(/live/map[?]key=[^"]*)"', page)
    assert stream and "segment" in stream[1]
    for query in ("?segment=other", "?diff=soon"):
        assert (await auditor.get(f"/map{query}")).status in {400, 404}


class Grown:
    """A record that grows between two readings."""

    def __init__(self):
        self.rows, self.asked = [], []

    async def operator_rows(self, name, request, most):
        self.asked.append((name, request.first, request.limit))
        newest = [r for r in reversed(self.rows) if r.index >= request.first]
        return newest[:most]

    def grow(self, *numbers):
        self.rows += [pb.LogRow(index=n, entry=b'{"at_ms": %d}' % n) for n in numbers]


async def test_what_was_read_of_the_record_is_read_once():
    grown = Grown()
    grown.grow(3, 7)
    reading = RecordReading(grown, 0)
    assert [e["at_ms"] for e in (await reading.of(("a",), 0))["a"]] == [7, 3]
    grown.grow(8, 9)
    assert [e["at_ms"] for e in (await reading.of(("a",), 0))["a"]] == [9, 8, 7, 3]
    assert [e["at_ms"] for e in (await reading.of(("a",), 8))["a"]] == [9, 8]
    assert [first for _, first, _ in grown.asked] == [0, 8, 10] and not reading.cut


async def test_what_is_too_much_falls_off_its_old_end_and_that_is_said(monkeypatch):
    monkeypatch.setattr(record_reading, "MAX_ENTRIES", 3)
    grown = Grown()
    grown.grow(1, 2)
    reading = RecordReading(grown, 0)
    await reading.of(("a",), 0)
    assert not reading.cut
    grown.grow(3, 4)
    assert [e["at_ms"] for e in (await reading.of(("a",), 0))["a"]] == [4, 3, 2]
    assert reading.cut


@pytest.mark.parametrize(
    "key",
    ["&".join(["a=1"] * 9), "segment=" + "x" * 999],
    ids=["many", "long"],
)
async def test_a_stream_of_another_key_ends_in_words(shown, walk, key):
    map_segment(walk)
    auditor = shown.as_role(Role.AUDITOR)
    address = f"/live/map?key={quote(key, safe='')}"
    answer = await auditor.ask("GET", address, {"sec-fetch-site": "same-origin"}, most=2)
    assert answer.status == 200 and "event: problem" in answer.text
