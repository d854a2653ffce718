"""Ways that no packet filter tells of, on the map."""

import pytest

from framegate.segment.drawing import as_dot, as_mermaid, as_svg
from framegate.segment.site_map import Edge, map_as_dict, new_edges, site_map
from framegate.segment.ways import way_of_operator, ways_of_admissions, ways_of_reports
from support.segments import CAM1, GW1, planned_segment

ZONE = "line-1"
ACCEPTED = {
    "kind": "report",
    "reporter": GW1,
    "brought_by": GW1,
    "from_ms": 100,
    "at_ms": 900,
    "accepted": [{"device": CAM1, "count": 7, "last_ms": 800}],
}
BY_A_LINE = {"kind": "report", "reporter": "line.press-7", "brought_by": GW1, "at_ms": 500}


def admitted(device=CAM1, reason="802.1x p-cam1", reporter="enforcer.line-1.sw1"):
    members = {"reporter": reporter, "reason": reason, "count": 2, "first_ms": 10, "last_ms": 20}
    return {"event": "segment-admitted", "device": device, "members": members}


def drawn(*ways):
    return site_map(planned_segment(), {}, (), ways)


def edges(made):
    rows = [e for e in made.edges if e.kind in {Edge.SERVED, Edge.ADMITTED}]
    return {(e.source, e.destination): (e.port, e.by, e.count, e.first_ms, e.last_ms) for e in rows}


def test_frames_under_a_grant_and_lines_that_read_verdicts_are_on_the_map():
    made = drawn(*ways_of_reports(ZONE, [ACCEPTED, ACCEPTED, BY_A_LINE]))
    assert edges(made) == {
        (CAM1, GW1): ("frames", "grant", 14, 100, 800),
        (GW1, "line.press-7"): ("verdicts", "verdict reader", 1, 500, 500),
    }
    assert "line.press-7" in [n.name for n in made.nodes]


def test_who_8021x_let_in_is_on_the_map_and_what_they_claimed_is_not():
    stranger = admitted(device="enforcer.line-1.sw1", reason="802.1x p-intr")
    made = drawn(*ways_of_admissions(ZONE, [admitted(), stranger]))
    assert edges(made)[CAM1, "port p-cam1"][0] == "802.1x"
    assert ("a stranger", "port p-intr") in edges(made)
    assert {e.kind for e in made.edges if e.source in {CAM1, "a stranger"}} >= {Edge.ADMITTED}


def test_people_are_on_the_map_with_their_roles():
    way = way_of_operator("anna", ["security", "admin"], 5, 50)
    assert edges(drawn(way)) == {
        ("operator.anna", "controller"): ("calls", "admin, security", 0, 5, 50)
    }


@pytest.mark.parametrize(
    "entry",
    [
        {**ACCEPTED, "reporter": "gateway.line-2.gw1", "brought_by": "gateway.line-2.gw1"},
        {**ACCEPTED, "accepted": [{"device": CAM1}]},
        {**ACCEPTED, "accepted": [7]},
        {**BY_A_LINE, "brought_by": "line.press-7"},
        {"kind": "report"},
        {},
    ],
    ids=["another-zone", "no-count", "no-row", "by-itself", "nobody", "nothing"],
)
def test_what_no_reporter_of_the_zone_says_is_not_on_the_map(entry):
    assert list(ways_of_reports(ZONE, [entry])) == []


@pytest.mark.parametrize(
    "entry",
    [
        admitted(reporter="enforcer.line-2.sw1"),
        admitted(reason="802.1x"),
        admitted(reason="logoff p-cam1"),
        admitted(reason="802.1x p-cam1 more"),
        {"event": "segment-admitted"},
    ],
    ids=["another-zone", "no-port", "another-word", "more-words", "nothing"],
)
def test_what_is_no_admission_is_not_on_the_map(entry):
    assert list(ways_of_admissions(ZONE, [entry])) == []


def test_the_map_is_drawn_with_them_and_says_what_is_new():
    before = drawn()
    way = way_of_operator('a"><b', [], 1, 2)
    after = drawn(way)
    assert [e.source for e in new_edges(before, after)] == ['operator.a"><b']
    for made in (as_dot(after), as_mermaid(after), as_svg(after)):
        assert "operator.a" in made and '"><b' not in made.replace('\\"><b', "")
    assert any("reads leave no entry" in said for said in map_as_dict(after)["cannot_be_seen"])
