import json
from ipaddress import ip_address

import pytest

from framegate.findings.kinds import FindingKind
from framegate.segment.flow import FlowKey
from framegate.segment.refusal import Told, Verdict, Why
from framegate.signed.report import SegmentReport
from framegate_host.report_store import ReportStore
from framegate_host.reporting import Reporter
from framegate_segment.drops import DropBook, read_drops
from framegate_segment.enforcement.enforcer import Cut
from framegate_segment.netlink.packet_log import LoggedPacket
from framegate_segment.sightings import MAX_PORTS, Sightings
from support.segments import CAM1, GW1, Gate


def packet(told, source="10.10.1.11", destination="10.10.2.10", port=7443, **more):
    given = {
        "into": "brc",
        "out_of": "p-gw",
        "mac": "02:00:00:00:01:0b",
        "transport": "tcp",
        "source_port": 40000,
        **more,
    }
    return LoggedPacket(
        told=told,
        source=ip_address(source) if source else None,
        destination=ip_address(destination) if destination else None,
        destination_port=port,
        **given,
    )


UNTRUSTED = Told(Verdict.DROP, "frames", Why.TRUST_FROM)
FORGOTTEN = Told(Verdict.WOULD_DROP, "-", Why.NO_CONDUIT)


class Desk:
    """What an enforcer tells of, and what comes of it."""

    def __init__(self, folder):
        self.gate, self.file = Gate(), folder / "drops.jsonl"
        self.store = ReportStore(folder / "reports")
        self.reporter = Reporter(self.store, SegmentReport, lambda: 1_000)
        self.sightings = Sightings(self.reporter, lambda: self.gate.enforcer.segment)
        self.book = DropBook(self.file, self.gate.enforcer, 1_000)

    def see(self, seen):
        key = self.sightings.packet(seen)
        return self.book.add(seen, key)

    def told(self):
        self.reporter.gather()
        waiting = self.store.waiting(1000, 0).findings
        return {(f.kind, f.device, f.reason): f for f in waiting}


@pytest.fixture
def desk(tmp_path):
    made = Desk(tmp_path)
    yield made
    made.store.close()


def test_a_refusal_names_conduit_device_and_why(desk):
    desk.gate.admit(GW1)
    drop = desk.see(packet(UNTRUSTED))
    assert (drop.conduit, drop.device, drop.why) == ("frames", CAM1, "trust-from")
    assert CAM1 in drop.because and "nobody told" in drop.because
    ((kind, device, reason),) = desk.told()
    assert (kind, device) == (FindingKind.SEGMENT_REFUSED, CAM1)
    assert FlowKey.parse(reason).port == "tcp/7443"


def test_why_is_told_as_the_enforcer_knows_it(desk):
    from framegate_segment.enforcement.enforcer import Standing

    desk.gate.enforcer.update({CAM1: Standing("quarantined", 0)})
    assert desk.see(packet(UNTRUSTED)).because == f"{CAM1} is quarantined"
    desk.gate.admit(CAM1)
    assert "life in the set ended" in desk.see(packet(UNTRUSTED)).because
    stranger = packet(UNTRUSTED, source="10.10.1.77")
    assert "no device of the fleet is bound" in desk.see(stranger).because


def test_what_would_be_refused_is_counted_and_no_port_scan_fills_the_record(desk):
    for port in range(1, MAX_PORTS + 50):
        desk.see(packet(FORGOTTEN, port=port, out_of="p-plc", destination="10.10.4.10"))
    told = desk.told()
    assert len(told) == MAX_PORTS + 1
    assert all(kind is FindingKind.SEGMENT_WOULD_REFUSE for kind, _, _ in told)
    (rest,) = [f for (_, _, reason), f in told.items() if " * " in reason]
    assert rest.count == 49


def test_spoofing_names_the_port_and_whose_it_is(desk):
    desk.see(packet(Told(Verdict.DROP, "p-cam1", Why.ARP), into="p-cam1", transport="arp", port=0))
    ((kind, device, reason),) = desk.told()
    assert kind is FindingKind.SEGMENT_SPOOFED and device == CAM1 and " p-cam1 " in reason


def test_a_clone_is_not_told_of_as_whom_it_clones(desk):
    desk.see(packet(Told(Verdict.DROP, "p-intr", Why.MAC), into="p-intr"))
    ((_, device, _),) = desk.told()
    assert device == ""


def test_a_strangers_words_are_in_no_key(desk):
    odd = packet(
        Told(Verdict.DROP, "p-intr", Why.ETHERTYPE),
        None,
        None,
        0,
        into="p-intr",
        transport="ethertype 0x8100",
    )
    desk.see(odd)
    ((_, device, reason),) = desk.told()
    assert device == "" and FlowKey.parse(reason).port == "*"


def test_what_passes_is_a_flow_and_no_drop(desk):
    assert desk.see(packet(Told(Verdict.ALLOW, "frames", Why.NONE))) is None
    ((kind, _, _),) = desk.told()
    assert kind is FindingKind.SEGMENT_FLOW


def cut(left):
    return Cut(
        device=CAM1,
        why="quarantined",
        elements=4,
        connections=2,
        removal_ms=1.0,
        verified_ms=12.0,
        left=left,
    )


def test_a_cut_is_told_with_its_times_and_what_is_left_instead(desk):
    desk.sightings.cut(cut(0))
    desk.sightings.cut(cut(1))
    told = desk.told()
    assert {k for k, _, _ in told} == {FindingKind.SEGMENT_CUT, FindingKind.SEGMENT_NOT_CUT}
    assert all("12.0 ms" in f.said for f in told.values())


def test_who_changed_our_rules_is_told_without_their_escapes(desk):
    desk.sightings.repaired("nft\x1b[31m" + "a" * 50, 4.2)
    ((kind, _, _), finding) = desk.told().popitem()
    assert kind is FindingKind.SEGMENT_REPAIRED and "\x1b" not in finding.said


def test_drops_are_kept_numbered_and_bounded(desk):
    for number in range(1, 1100):
        desk.see(packet(UNTRUSTED, source=f"10.11.{number // 250}.{number % 250 + 1}"))
    desk.book.write()
    kept = read_drops(desk.file)
    assert len(kept) == 1000 and max(d.number for d in kept) == 1099
    again = DropBook(desk.file, desk.gate.enforcer, 1_000)
    key = FlowKey(UNTRUSTED, "cameras", "gateways", "tcp/7443")
    assert again.add(packet(UNTRUSTED), key).number == 1100


def test_a_damaged_book_is_read_as_far_as_it_goes(tmp_path):
    file = tmp_path / "drops.jsonl"
    file.write_text('{"number": 1}\nnothing\n' + json.dumps([1]) + "\n")
    assert read_drops(file) == [] and read_drops(tmp_path / "none") == []


@pytest.mark.parametrize(
    ("heard", "because"),
    [(True, "nothing renewed it"), (False, "the trust feed is lost")],
    ids=["heard", "unheard"],
)
def test_a_life_that_ended_says_whether_the_controller_was_heard(desk, heard, because):
    desk.gate.admit(CAM1, GW1, for_s=3_600)
    book = DropBook(desk.file, desk.gate.enforcer, 10, lambda: heard)
    desk.sightings.packet(packet(UNTRUSTED), book.explain)
    (told,) = desk.told().values()
    assert CAM1 in told.said and because in told.said and len(told.said) <= 200
    assert because in next(iter(book._drops.values())).because


def test_what_passes_has_nothing_to_explain(desk):
    desk.gate.admit(CAM1, GW1)
    desk.sightings.packet(packet(Told(Verdict.ALLOW, "frames", Why.NONE)), desk.book.explain)
    (told,) = desk.told().values()
    assert told.said.endswith("at brc")
