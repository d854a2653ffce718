"""The same segment gives the same bytes: `tests/vectors/segments` has them, read by people."""

import json
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from framegate.errors import Malformed
from framegate.segment.kubernetes import TRUST_LABEL, cilium_policies, network_policies
from framegate.segment.nft import closed_rules, rules_of
from framegate.segment.nft_bridge import (
    ADMITTED,
    TABLE,
    admitted_element,
    bridge_rules_of,
    link_local,
)
from framegate.segment.parse import parse_segments
from framegate.segment.policy import End
from framegate.segment.radius import (
    MIN_SESSION_S,
    Attribute,
    Vlans,
    attributes_for,
    radius_pairs,
    radius_users,
)
from framegate.segment.refusal import MAX_PREFIX, Why
from framegate.segment.ruling import DeviceStanding
from support.segments import CAM1, ZONE, planned_segment, segment_text

VECTORS = Path(__file__).parents[3] / "vectors" / "segments"
VLANS = Vlans(join=999, zones={"cameras": 11, "gateways": 12})


def rendered():
    segment = planned_segment()
    return {
        "segments.toml": segment_text(),
        "line-1.nft": rules_of(segment) + bridge_rules_of(segment),
        "kubernetes.json": json.dumps(network_policies(segment, "plant"), indent=1) + "\n",
        "cilium.json": json.dumps(cilium_policies(segment, "plant"), indent=1) + "\n",
        "users": radius_users(segment, VLANS),
    }


@pytest.mark.parametrize("name", list(rendered()))
def test_what_is_compiled_is_what_was_looked_at(name):
    assert rendered()[name] == (VECTORS / name).read_text()


def test_no_rule_accepts_what_stands_for_standing_alone():
    rules = rules_of(planned_segment()).splitlines()
    accepting = [r for r in rules if " accept" in r and "ct state established" in r]
    assert accepting
    for rule in accepting:
        assert " input " in rule or "saddr" in rule


def test_every_conduit_has_both_families_and_both_directions():
    rules = [r for r in rules_of(planned_segment()).splitlines() if "counter name c_frames" in r]
    for family in ("ip daddr", "ip6 daddr"):
        assert any(family in r and "direction original" in r for r in rules)
        assert any(family in r and "direction reply" in r for r in rules)


def test_what_is_staged_is_let_through_and_never_called_allowed():
    segment = planned_segment(modes={"plc": "stage"})
    rules = rules_of(segment)
    assert 'log prefix "fg would-drop - no-conduit "' in rules
    chain = [r for r in rules.splitlines() if " z_stage_no-conduit " in r and "add rule" in r]
    assert chain[-1].endswith("accept") and not any("fg allow" in r for r in chain)


def test_a_staged_conduit_looks_up_the_same_sets():
    text = segment_text().replace(
        'trust = ["from", "to"]\nmode = "enforce"', 'trust = ["from", "to"]\nmode = "stage"', 1
    )
    rules = rules_of(parse_segments(text)[ZONE])
    assert "@m_cameras4" in rules and 'log prefix "fg would-drop frames trust-from "' in rules


def test_prefixes_fit_and_policy_is_drop():
    segment = planned_segment()
    rules = rules_of(segment) + bridge_rules_of(segment)
    prefixes = [
        line.split('log prefix "')[1].split('"')[0]
        for line in rules.splitlines()
        if "log prefix" in line
    ]
    assert prefixes and all(len(p) <= MAX_PREFIX for p in prefixes)
    assert "hook forward priority filter; policy drop;" in rules
    assert "policy drop" in closed_rules() and "accept" not in closed_rules()


def test_no_bridge_without_ports():
    text = segment_text()
    routed = planned_segment()
    assert bridge_rules_of(routed)
    begin = text.index("ports = [")
    text = text[:begin] + text[text.index("\n", begin) + 1 :]
    for line in [x for x in text.splitlines() if x.startswith('port = "p-')]:
        text = text.replace(f"{line}\n", "")
    assert bridge_rules_of(parse_segments(text)[ZONE]) == ""


def test_link_local_addresses():
    assert str(link_local("02:00:00:00:01:0b")) == "fe80::ff:fe00:10b"


def test_kubernetes_denies_first_and_selects_trust():
    policies = network_policies(planned_segment(), "plant")
    assert policies[0]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    names = [p["metadata"]["name"] for p in policies]
    assert len(set(names)) == len(names)
    frames = next(p for p in policies if p["metadata"]["name"] == "line-1-frames-in")
    peers = frames["spec"]["ingress"][0]["from"]
    assert len(peers) == 1 and TRUST_LABEL in peers[0]["podSelector"]["matchLabels"]
    join = next(p for p in policies if p["metadata"]["name"] == "line-1-join-out")
    blocks = [p["ipBlock"]["cidr"] for p in join["spec"]["egress"][0]["to"] if "ipBlock" in p]
    assert blocks == ["10.10.3.10/32", "fd10:3::10/128"]


@pytest.mark.parametrize("made", [network_policies, cilium_policies])
def test_kubernetes_enforces_nothing_that_is_only_staged(made):
    text = segment_text().replace('mode = "enforce"', 'mode = "stage"')
    names = [p["metadata"]["name"] for p in made(parse_segments(text)[ZONE], "plant")]
    assert not [n for n in names if "frames" in n or "join" in n]


def test_radius_before_a_proof_is_the_join_vlan_and_after_it_no_longer_than_that_stands():
    binding = planned_segment().named(CAM1)
    trusted = DeviceStanding(state="trusted")

    def said(standing, left_s):
        shown = attributes_for(binding, standing, left_s, VLANS, 30)
        return {a.name: a.value for a in shown}

    assert said(None, 0)["Tunnel-Private-Group-Id"] == "999"
    assert said(trusted, 20)["Tunnel-Private-Group-Id"] == "11"
    assert said(trusted, 20)["Session-Timeout"] == 20
    assert said(trusted, 500)["Session-Timeout"] == 30
    assert said(trusted, MIN_SESSION_S - 1)["Tunnel-Private-Group-Id"] == "999"
    for state in ("quarantined", "suspect", "stale", "pending"):
        assert said(DeviceStanding(state=state), 20)["Tunnel-Private-Group-Id"] == "999"
    assert said(trusted, 20)["Termination-Action"] == 1


@pytest.mark.parametrize("vlans", [(999, {"a": 999}), (1, {}), (4095, {}), (5, {"a": 7, "b": 7})])
def test_vlans_that_are_one(vlans):
    with pytest.raises(Malformed):
        Vlans(join=vlans[0], zones=vlans[1])


def test_a_trusted_device_of_a_zone_without_a_vlan_is_not_admitted_anywhere():
    binding = planned_segment().named(CAM1)
    with pytest.raises(Malformed):
        attributes_for(binding, DeviceStanding(state="trusted"), 20, Vlans(join=9, zones={}), 30)


def test_pairs_for_a_program_have_class_in_hex():
    pairs = radius_pairs((Attribute("Class", "é"), Attribute("Id", "11"), Attribute("Time", 30)))
    assert pairs == 'Class = 0xc3a9, Id = "11", Time = 30'


def test_dot1x_shuts_every_port_before_anything_else_is_asked():
    shut = bridge_rules_of(planned_segment(dot1x=True)).splitlines()
    assert not any(ADMITTED in r for r in bridge_rules_of(planned_segment()).splitlines())
    assert any(f"add set bridge {TABLE} {ADMITTED} " in r for r in shut)
    for port in planned_segment().zones["cameras"].ports:
        first = next(r for r in shut if r.startswith(f"add rule bridge {TABLE} p_{port} "))
        assert f"iifname . ether saddr != @{ADMITTED}" in first
    assert admitted_element("p1", "02:00:00:00:00:01").key == (
        b"p1".ljust(16, b"\0") + bytes.fromhex("020000000001") + b"\0\0"
    )


def test_peers_that_may_speak_are_not_kept_apart():
    segment = planned_segment()
    zones = {**segment.zones, "cameras": replace(segment.zones["cameras"], peers=True)}
    apart = [r for r in bridge_rules_of(segment).splitlines() if " peers " in r]
    assert apart
    together = bridge_rules_of(replace(segment, zones=zones)).splitlines()
    assert not [r for r in together if " peers " in r]


def test_whoever_is_at_a_port_that_is_bound_to_nobody_may_be_none_who_is_known():
    segment = planned_segment()
    alone = replace(segment, bindings=tuple(b for b in segment.bindings if b.zone != "cameras"))
    port = segment.named(CAM1).port
    bare = replace(segment.zones["cameras"], gateway=())
    rules = bridge_rules_of(replace(alone, zones={**segment.zones, "cameras": bare})).splitlines()
    own = [r for r in rules if f" p_{port} " in r]
    assert own[-1].endswith("accept") and not any(" saddr " in r for r in own)
    four = replace(bare, gateway=(IPv4Address("10.10.1.1"),))
    rules = bridge_rules_of(replace(alone, zones={**segment.zones, "cameras": four})).splitlines()
    own = [r for r in rules if f" p_{port} " in r]
    assert any("arp saddr ip" in r for r in own) and not any("ip6 saddr" in r for r in own)


def test_a_far_end_without_an_address_of_a_family_is_reached_by_none():
    segment = planned_segment()
    fours = tuple(
        replace(b, addresses=tuple(a for a in b.addresses if a.version == 4))
        for b in segment.bindings
    )
    rules = rules_of(replace(segment, bindings=fours)).splitlines()
    own = [r for r in rules if "counter name c_frames" in r]
    assert own and not any("ip6 daddr" in r or "ip6 saddr" in r for r in own)


@pytest.mark.parametrize(
    ("trust", "there"),
    [
        (frozenset(), set()),
        (frozenset({End.FROM}), {Why.TRUST_FROM}),
        (frozenset({End.TO}), {Why.TRUST_TO}),
        (frozenset(End), {Why.TRUST_FROM, Why.TRUST_TO}),
    ],
)
def test_only_the_ends_that_have_to_be_trusted_are_refused_for_trust(trust, there):
    segment = planned_segment()
    conduits = {"frames": replace(segment.conduits["frames"], trust=trust)}
    rules = rules_of(replace(segment, conduits=conduits)).splitlines()
    asked = [r for r in rules if " goto " in r and "frames" in r]
    assert {w for w in (Why.TRUST_FROM, Why.TRUST_TO) if any(w in r for r in asked)} == there


def test_a_near_end_that_is_not_adjacent_is_told_by_its_address_alone():
    segment = planned_segment()
    zones = {
        **segment.zones,
        "cameras": replace(segment.zones["cameras"], adjacent=False, ports=()),
    }
    rules = rules_of(replace(segment, zones=zones)).splitlines()
    own = [r for r in rules if "counter name c_frames" in r and "original" in r]
    assert own and all("@t_cameras" in r and "ether saddr" not in r for r in own)


def test_nobody_is_refused_for_what_a_swap_of_rules_ends():
    """The elements of an anonymous set end with the swap that takes their rule out: a packet under
    way finds none of them. No sound packet's way may hang on one being there.
    """
    segment = planned_segment()
    lines = (rules_of(segment) + bridge_rules_of(segment)).splitlines()
    for rule in (line for line in lines if line.startswith("add rule ")):
        assert "vmap" not in rule
        assert "!= {" not in rule
        assert " accept" not in rule or " { " not in rule or " input " in rule
