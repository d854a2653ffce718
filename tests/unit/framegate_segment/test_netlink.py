"""Bytes to the kernel and from it. Headers as strace and nlmon show them for nft 1.0.6."""

import contextlib
import struct
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.errors import FramegateError, Malformed
from framegate.segment.refusal import Told, Verdict, Why
from framegate.segment.trusted_sets import Element, elements_of
from framegate_segment.netlink.codec import (
    Message,
    attribute,
    attributes,
    message,
    messages,
    nested,
    text,
    text_of,
)
from framegate_segment.netlink.conntrack import tracked_of
from framegate_segment.netlink.packet_log import packet_of
from framegate_segment.netlink.ruleset_events import RulesetEvents
from framegate_segment.netlink.set_elements import Life, element_bodies, elements_in
from support.segments import CAM1, planned_segment


def event(kind, body, port_id=0, family=1):
    return Message(kind, 0, 1, port_id, family, 0, body)


def test_a_message_is_its_header_a_family_and_attributes():
    raw = message(0x0A0C, 0x401, 7, 1, text(1, "framegate"))
    assert raw[:16] == struct.pack("=IHHII", len(raw), 0x0A0C, 0x401, 7, 0)
    assert raw[16:20] == b"\x01\0\0\0"
    assert raw[20:24] == struct.pack("=HH", 14, 1) and raw[24:34] == b"framegate\0"
    assert len(raw) % 4 == 0
    (back,) = messages(raw)
    assert (back.kind, back.sequence, back.family) == (0x0A0C, 7, 1)
    assert text_of(attributes(back.body)[1]) == "framegate"


@given(st.binary(max_size=200))
def test_any_bytes_are_messages_or_malformed(data):
    try:
        for each in messages(data):
            attributes(each.body)
    except Malformed:
        pass


@given(st.lists(st.tuples(st.integers(1, 99), st.binary(max_size=20)), max_size=5))
def test_attributes_come_back_as_they_went(pairs):
    raw = b"".join(attribute(kind, payload) for kind, payload in pairs)
    assert attributes(raw) == dict(pairs)


def test_elements_of_a_device_as_the_kernel_keeps_them():
    own = {e.set_name: e.key.hex() for e in elements_of(planned_segment(), CAM1)}
    assert own == {
        "t_cameras4": "0a0a010b",
        "m_cameras4": "0a0a010b" + "02000000010b" + "0000",
        "t_cameras6": "fd100001" + "0" * 22 + "11",
        "m_cameras6": "fd100001" + "0" * 22 + "11" + "02000000010b" + "0000",
    }


def test_elements_are_written_by_set_and_read_back():
    lives = [Life(e, 1500) for e in elements_of(planned_segment(), CAM1)]
    bodies = list(element_bodies("framegate", lives, timed=True))
    assert len(bodies) == 4
    back = {life for body in bodies for life in elements_in(event(0x0A0C, body))}
    assert back == set(lives)


def test_many_elements_go_in_several_messages():
    lives = [Life(Element("t_a4", struct.pack("!I", n)), 1) for n in range(2000)]
    bodies = list(element_bodies("framegate", lives, timed=True))
    assert len(bodies) == 3 and all(len(b) < 65_535 for b in bodies)


@given(st.binary(max_size=120))
def test_no_answer_of_the_kernel_breaks_a_reader(data):
    for read in (
        lambda e: list(elements_in(e)),
        tracked_of,
        lambda e: packet_of(e, lambda _: "p-cam1"),
    ):
        with contextlib.suppress(FramegateError):
            read(event(0x0400, data))


def logged(prefix, ether, payload, mac=b""):
    hardware = attribute(8, struct.pack("!HH", 6, 0) + mac + b"\0\0") if mac else b""
    return event(
        0x0400,
        attribute(1, struct.pack("!HBB", ether, 0, 0))
        + text(10, prefix)
        + attribute(4, struct.pack("!I", 3))
        + attribute(5, struct.pack("!I", 4))
        + hardware
        + attribute(9, payload),
    )


def ip4(protocol=6, rest=b"\x30\x39\x1d\x13", fragment=0):
    head = struct.pack("!BBHHHBBH", 0x45, 0, 40, 0, fragment, 64, protocol, 0)
    return head + ip_address("10.10.1.11").packed + ip_address("10.10.2.10").packed + rest


def test_a_logged_packet_says_who_and_where():
    read = packet_of(
        logged("fg drop frames trust-from ", 0x0800, ip4(), bytes.fromhex("02000000010b")),
        lambda index: {3: "brc", 4: "p-gw"}[index],
    )
    assert read.told == Told(Verdict.DROP, "frames", Why.TRUST_FROM)
    assert (read.into, read.out_of, read.mac) == ("brc", "p-gw", "02:00:00:00:01:0b")
    assert str(read.source) == "10.10.1.11" and str(read.destination) == "10.10.2.10"
    assert (read.transport, read.source_port, read.destination_port) == ("tcp", 12345, 7443)


def test_extension_headers_and_fragments_do_not_hide_ports_or_make_some_up():
    head = bytes([0x60, 0, 0, 0, 0, 20, 0, 64])
    ends = ip_address("fd10:1::11").packed + ip_address("fd10:2::10").packed
    hop = bytes([17, 0, 0, 0, 0, 0, 0, 0])
    read = packet_of(
        logged("fg drop - no-conduit ", 0x86DD, head + ends + hop + b"\x00\x35\x1d\x13"), str
    )
    assert (read.transport, read.destination_port) == ("udp", 7443)
    later = packet_of(logged("fg drop - no-conduit ", 0x0800, ip4(fragment=0x0010)), str)
    assert later.destination_port == 0


@pytest.mark.parametrize("prefix", ["", "other rule ", "fg drop x ", "fg allow frames whatever "])
def test_packets_of_others_rules_are_none_of_ours(prefix):
    with pytest.raises(Malformed):
        packet_of(logged(prefix, 0x0800, ip4()), str)


def watched(*events, ours=frozenset({77})):
    watch = RulesetEvents(frozenset({"framegate"}), lambda port: port in ours, channel=None)
    return [change.by for change in watch.follow(events)]


GENERATION = 0x0A0F
CHANGE = 0x0A0E


def generation(name, port_id):
    return event(GENERATION, text(3, name), port_id)


def test_our_own_transactions_are_no_news():
    assert watched(event(CHANGE, text(1, "framegate"), 77), generation("python", 77)) == []


def test_somebody_elses_touching_our_table_is():
    changed = event(CHANGE, text(1, "framegate"), 5)
    assert watched(changed, generation("nft", 5)) == ["nft"]
    assert watched(changed, generation("nft", 5), generation("nft", 6)) == ["nft"]


def test_what_others_do_to_their_own_tables_is_theirs():
    assert watched(event(CHANGE, text(1, "docker"), 5), generation("dockerd", 5)) == []


def test_a_connection_is_known_by_both_its_tuples():
    def ends(kind, source, destination):
        ip = nested(1, attribute(1, source), attribute(2, destination))
        return nested(kind, ip)

    near, far = ip_address("10.10.1.11").packed, ip_address("10.10.2.10").packed
    nat = ip_address("192.0.2.1").packed
    tracked = tracked_of(
        event(0x0100, ends(1, near, far) + ends(2, far, nat) + attribute(12, b"id12"))
    )
    assert tracked.addresses == {near, far, nat} and tracked.identity == b"id12"
