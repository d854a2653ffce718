import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.errors import FramegateError, Reason
from framegate.findings.kinds import FindingKind
from framegate.identity.certificates import Purpose
from framegate.segment.drawing import as_dot, as_mermaid, as_svg
from framegate.segment.flow import FlowKey
from framegate.segment.refusal import Told, Verdict, Why
from framegate.segment.ruling import DeviceStanding
from framegate.segment.site_map import Edge, map_as_dict, new_edges, seen_flows, site_map
from framegate.signed.report import SegmentReport
from framegate_controller.store.ports import EntryQuery
from support.refusals import refused
from support.reports import ReportRecorder, finding
from support.segments import CAM1, GW1, planned_segment

FRAMES = FlowKey(Told(Verdict.ALLOW, "frames", Why.NONE), "cameras", "gateways", "tcp/7443")
FORGOTTEN = FlowKey(Told(Verdict.WOULD_DROP, "-", Why.NO_CONDUIT), "gateways", "plc", "tcp/502")
REFUSED = FlowKey(Told(Verdict.DROP, "frames", Why.TRUST_FROM), "cameras", "gateways", "tcp/7443")
ENFORCER = "enforcer.line-1.sw1"


def entry(key, device=CAM1, count=1, at_ms=1_000, **more):
    told = {
        "reporter": ENFORCER,
        "reason": key.text,
        "count": count,
        "first_ms": at_ms,
        "last_ms": at_ms,
    }
    return {"event": key.kind.value, "device": device, "members": told | more}


def drawn(*entries, until_ms=0):
    standings = {CAM1: DeviceStanding(state="trusted")}
    return site_map(planned_segment(), standings, seen_flows(entries, until_ms))


def kinds(made):
    return {(e.source, e.destination, e.port): e.kind for e in made.edges}


@pytest.mark.parametrize("key", [FRAMES, FORGOTTEN, REFUSED])
def test_a_flow_goes_into_the_record_and_comes_out_of_it(key):
    assert FlowKey.parse(key.text) == key


@given(st.text(max_size=80))
def test_any_other_text_is_no_flow(text):
    try:
        assert FlowKey.parse(text).text == text
    except FramegateError as error:
        assert error.reason == Reason.SEGMENT


@pytest.mark.parametrize(
    "text",
    [
        "",
        "allow frames cameras>gateways tcp/7443",
        "allowed frames cameras>gateways tcp/7443 -",
        "allow frames cameras>gateways tcp/7443 whatever",
        "allow frames cameras>gateways tcp/7443 - ",
        "allow frames came ras>gateways tcp/7443 -",
        "allow frames cameras>gateways TCP/7443 -",
    ],
)
def test_flows_that_are_none(text):
    assert refused(lambda: FlowKey.parse(text)) == Reason.SEGMENT


def test_spoofing_is_an_event_of_its_own():
    key = FlowKey(Told(Verdict.DROP, "p-intr", Why.ARP), "cameras", "*", "arp")
    assert key.kind is FindingKind.SEGMENT_SPOOFED


def test_ways_by_what_is_known_of_them():
    made = drawn(entry(FRAMES, count=3), entry(FORGOTTEN, GW1), entry(FRAMES, count=2, at_ms=9_000))
    by = kinds(made)
    assert by[(CAM1, GW1, "tcp/7443")] is Edge.USED
    assert by[(GW1, "press-plc", "tcp/502")] is Edge.STAGED
    assert by[("cameras: anybody", "controller", "tcp/8443")] is Edge.UNUSED
    used = next(e for e in made.edges if e.kind is Edge.USED)
    assert (used.count, used.first_ms, used.last_ms, used.by) == (5, 1_000, 9_000, "frames")
    assert not made.escaped and made.unseen


def test_what_passed_and_no_conduit_carries_is_said():
    told = Told(Verdict.ALLOW, "gone", Why.NONE)
    made = drawn(entry(FlowKey(told, "cameras", "plc", "tcp/502")))
    assert [e.destination for e in made.escaped] == ["press-plc"]


def test_refusals_are_of_whom_they_concern_or_of_anybody():
    made = drawn(entry(REFUSED), entry(REFUSED, device=ENFORCER))
    sources = {e.source for e in made.edges if e.kind is Edge.REFUSED}
    assert sources == {CAM1, "cameras: anybody"}


@pytest.mark.parametrize(
    "broken",
    [{"reason": "words"}, {"count": "x"}, {"first_ms": None}, {"reporter": ""}],
)
def test_entries_that_are_no_flow_are_left_out(broken):
    told = entry(FRAMES)
    told["members"] |= broken
    flows = list(seen_flows([told, {**entry(FRAMES), "event": "login"}, {"event": "segment-flow"}]))
    assert [f.enforcer for f in flows] == ([""] if "reporter" in broken else [])


def test_what_an_enforcer_reported_is_read_out_of_the_record(bench):
    reports = ReportRecorder(bench)
    signer = reports.key(ENFORCER, Purpose.ENFORCER, "gateway-ca")
    seen = finding(FRAMES.kind, CAM1, count=7, reason=FRAMES.text)
    own = finding(FORGOTTEN.kind, "", reason=FORGOTTEN.text)
    report = reports.report(seen, own, kind=SegmentReport, reporter=ENFORCER)
    reports.take(report, by=signer, host=ENFORCER)
    with bench.store.reading() as tx:
        rows = tx.log.entries(EntryQuery(), first=0, below=tx.log.size(), most=100)
        entries = [json.loads(row.entry) for row in rows]
    flows = list(seen_flows(entries))
    assert {(f.key, f.device, f.count) for f in flows} == {(FRAMES, CAM1, 7), (FORGOTTEN, "", 1)}


def test_what_is_new_since_a_time():
    entries = [entry(FRAMES), entry(FORGOTTEN, GW1, at_ms=9_000)]
    new = new_edges(drawn(*entries, until_ms=5_000), drawn(*entries))
    assert [e.port for e in new] == ["tcp/502"]


@pytest.mark.parametrize("draw", [as_dot, as_mermaid, as_svg])
def test_drawings_have_everybody_and_escape_what_they_are_told(draw):
    made = drawn(entry(FRAMES), entry(FORGOTTEN, 'evil"]<script>|'))
    text = draw(made)
    for node in made.nodes:
        assert node.name.split(":")[0][:20] in text or "&" in text
    assert "<script>" not in text or draw is not as_svg
    if draw is as_svg:
        import xml.etree.ElementTree as ET

        assert ET.fromstring(text).tag.endswith("svg")  # noqa: S314 - our own
    else:
        assert "n0" in text


def test_as_json():
    body = map_as_dict(drawn(entry(FRAMES)))
    assert set(body) == {"segment", "zones", "nodes", "edges", "cannot_be_seen"}
    assert {"name": CAM1, "zone": "cameras", "state": "trusted"} in body["nodes"]
