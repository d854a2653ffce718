"""Segments: a clone, a foreign ruleset, a dead enforcer, a stream that lives on, spoofing, a
claimed identity, ways around, a draft that hides (N160 to N167). With a real kernel:
tests/integration/test_segments.py.
"""

import pytest

from framegate.errors import Reason
from framegate.segment.draft import Effect, changes_between
from framegate.segment.nft import rules_of
from framegate.segment.nft_bridge import bridge_rules_of
from framegate.segment.parse import parse_segments
from framegate.segment.radius import Vlans, attributes_for
from framegate.segment.ruling import DeviceStanding
from framegate.segment.trusted_sets import elements_of
from framegate_segment.enforcement.enforcer import Standing
from framegate_segment.netlink.codec import Message, text
from framegate_segment.netlink.ruleset_events import RulesetEvents
from support.segments import CAM1, CAM2, GW1, ZONE, FakeKernel, Gate, planned_segment, segment_text


def bridge_rules(port):
    start = f"add rule bridge framegate p_{port} "
    rules = bridge_rules_of(planned_segment()).splitlines()
    return [r.removeprefix(start) for r in rules if r.startswith(start)]


def test_n160_a_clone_of_address_and_mac_is_dropped_at_its_own_port():
    rules = [r for r in bridge_rules("p-intr") if r.endswith("counter drop")]
    macs = next(r for r in rules if r.startswith("ether saddr"))
    addresses = next(r for r in rules if r.startswith("ip saddr"))
    for number in (11, 12, 13, 14):
        assert f"02:00:00:00:01:{number:02x}" in macs and f"10.10.1.{number}" in addresses
    assert "10.10.1.1" in addresses  # nor is it the router


def test_n160_an_element_is_an_address_with_its_mac():
    keys = {e.set_name: e.key for e in elements_of(planned_segment(), CAM1)}
    assert bytes.fromhex("02000000010b") in keys["m_cameras4"]
    out = [
        r
        for r in rules_of(planned_segment()).splitlines()
        if "direction original" in r and "counter name c_frames" in r
    ]
    assert out and all("saddr . ether saddr @m_cameras" in r for r in out)


def test_n161_a_foreign_change_is_noticed_and_put_right():
    changes = RulesetEvents(frozenset({"framegate"}), lambda port: port == 7, channel=None)
    deleted = Message(0x0A02, 0, 1, 99, 1, 0, text(1, "framegate"))
    generation = Message(0x0A0F, 0, 1, 99, 0, 0, text(3, "nft"))
    assert [c.by for c in changes.follow([deleted, generation])] == ["nft"]
    gate = Gate()
    gate.admit(CAM1, GW1)
    gate.kernel.ends_s.clear()
    gate.kernel.rules = ""
    gate.enforcer.enforce(gate.segment)
    assert gate.kernel.rules and gate.stands_whole(CAM1) and gate.stands_whole(GW1)


def test_n162_a_dead_enforcer_closes_at_its_elements_end():
    gate = Gate(planned_segment(life_s=5))
    gate.admit(CAM1, for_s=3_600)
    gate.pass_time(5.001)
    assert not gate.stands_at_all(CAM1)


def test_n162_a_restarted_one_renews_nobody_before_it_heard_of_them():
    kernel = FakeKernel()
    Gate(kernel=kernel).admit(CAM1)
    ends = dict(kernel.ends_s)
    after = Gate(kernel=kernel)
    after.enforcer.renew()
    assert kernel.ends_s == ends


def test_n163_a_revoked_stream_loses_its_element_and_its_entry_and_does_not_come_back():
    gate = Gate()
    gate.admit(CAM1, GW1)
    gate.kernel.connect(elements_of(gate.segment, CAM1)[0])
    gate.enforcer.update({CAM1: Standing("quarantined", 0)})
    (cut,) = gate.finished()
    assert cut.connections == 1 and cut.left == 0
    gate.admit(CAM1)
    assert not gate.kernel.tracked  # what stood before has no entry to go on with


def test_n163_no_rule_lets_a_stream_pass_because_it_stands():
    for rule in rules_of(planned_segment()).splitlines():
        if " c_frames " in rule and "accept" in rule:
            assert "@t_cameras" in rule or "@m_cameras" in rule
            assert "@t_gateways" in rule


@pytest.mark.parametrize(
    "attack",
    [
        "arp saddr ether !=",
        "arp saddr ip !=",
        "ip saddr !=",
        "ip6 saddr !=",
        "ether saddr !=",
        "icmpv6 type { nd-router-advert, nd-redirect }",
        "icmpv6 type nd-neighbor-advert @th,64,128 !=",
        "udp sport 67",
        "udp sport 547",
    ],
)
def test_n164_every_way_to_speak_as_another_is_dropped_and_told_with_its_port(attack):
    rules = [r for r in bridge_rules("p-cam1") if r.startswith(attack)]
    assert any(r.endswith("counter drop") for r in rules)
    assert any('log prefix "fg drop p-cam1 ' in r for r in rules)


def test_n165_a_claimed_identity_admits_to_join_only():
    segment = planned_segment()
    vlans = Vlans(join=999, zones={"cameras": 11})
    for standing in (None, *(DeviceStanding(state=s) for s in ("pending", "suspect", "stale"))):
        said = attributes_for(segment.named(CAM1), standing, 60, vlans, 30)
        assert ("Tunnel-Private-Group-Id", "999") in [(a.name, a.value) for a in said]


def test_n166_both_families_tags_and_unknown_ethertypes_are_looked_at():
    for port in ("p-cam1", "p-intr"):
        first = bridge_rules(port)[1]
        assert first == "ether type != arp ether type != ip ether type != ip6 counter drop"
    inet = rules_of(planned_segment())
    accepts = [r for r in inet.splitlines() if "counter name c_" in r and "accept" in r]
    assert sum("ip6 " in r for r in accepts) == sum(" ip " in r for r in accepts)
    bridge = bridge_rules_of(planned_segment()).splitlines()
    assert bridge[-1].endswith("accept")
    prerouting = [r for r in bridge if "add rule bridge framegate prerouting" in r]
    assert prerouting[-1].endswith("counter drop")  # a port that nobody named


def effects(old, new):
    before, after = (
        parse_segments(segment_text()),
        parse_segments(segment_text().replace(old, new, 1)),
    )
    return changes_between(before, after)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('trust = ["from", "to"]', 'trust = ["to"]'),
        ('trust = ["from", "to"]\nmode = "enforce"', 'trust = ["from", "to"]\nmode = "stage"'),
        ('interfaces = ["p-plc"]\nmode = "enforce"', 'interfaces = ["p-plc"]\nmode = "observe"'),
        ('port = "tcp/8443"', 'port = "tcp/22"'),
        ('life = "30s"', 'life = "300s"'),
        ("adjacent = true", "adjacent = true\npeers = true"),
        (', "p-intr"]', "]"),
        ('gateway = ["10.10.1.1", ', "gateway = ["),
    ],
)
def test_n167_whatever_a_draft_opens_is_said_first(old, new):
    changes = effects(old, new)
    assert changes and changes[0].effect is Effect.OPENS


def test_n167_what_closes_is_no_opening_and_words_alone_are_no_change():
    (change,) = effects("trust = []", 'trust = ["from"]')
    assert change.effect is Effect.CLOSES
    commented = segment_text() + "\n# nothing\n"
    assert changes_between(parse_segments(segment_text()), parse_segments(commented)) == ()
    assert changes_between(parse_segments(segment_text()), {})[0].effect is Effect.OPENS


def test_n167_a_segment_that_is_gone_or_new_is_said():
    new = changes_between({}, parse_segments(segment_text()))
    assert {c.effect for c in new} == {Effect.OPENS, Effect.CLOSES}


def test_n160_who_is_bound_elsewhere_is_shown_as_moved():
    old, new = segment_text(), segment_text().replace('port = "p-cam2"', 'port = "p-intr"')
    (change,) = changes_between(parse_segments(old), parse_segments(new))
    assert change.effect is Effect.MOVES and CAM2 in change.what


def test_n162_an_enforcers_name_is_no_device_and_reports_of_its_zone_alone(bench):
    from framegate.findings.kinds import Finding, FindingKind
    from framegate.identity.certificates import Purpose
    from framegate.signed.report import SegmentReport
    from support.refusals import refused
    from support.reports import ReportRecorder

    reports = ReportRecorder(bench)
    name = f"enforcer.{ZONE}.sw1"
    signer = reports.key(name, Purpose.ENFORCER, "gateway-ca")

    def finding(device):
        return Finding(
            kind=FindingKind.SEGMENT_CUT,
            device=device,
            reason="quarantined",
            count=1,
            first_ms=1,
            last_ms=1,
        )

    report = reports.report(finding(CAM1), kind=SegmentReport, reporter=name)
    reports.take(report, by=signer, host=name)
    (told,) = bench.events("segment-cut")
    assert told["device"] == CAM1
    foreign = reports.next(report, finding("camera.line-2.cam1"))
    assert refused(lambda: reports.take(foreign, by=signer, host=name)) == Reason.REPORT
    stolen = reports.next(report, finding(CAM1))
    assert refused(lambda: reports.take(stolen, by=reports.signer, host=name)) != Reason.INTERNAL
    assert (
        refused(lambda: reports.take(stolen, by=signer, host="enforcer.line-1.sw2"))
        == Reason.REPORT
    )
