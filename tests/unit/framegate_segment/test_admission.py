"""Ports that 802.1X opens, without a hostapd: its words, lives, links, what a switch is told."""

import json
import socket
import struct
import threading

import pytest

from framegate.errors import Reason
from framegate.segment.nft_bridge import ADMITTED, admitted_element, bridge_rules_of
from framegate.segment.radius import Vlans, radius_pairs
from framegate_segment.admission.hostapd import HostapdPort
from framegate_segment.admission.ports import ASKED_S, LIFE_MS, Admissions
from framegate_segment.admission.switch_state import SwitchState, attributes_now
from framegate_segment.enforcement.enforcer import Standing
from framegate_segment.netlink.links import LinkState, links_in, raw_messages
from support.refusals import refused
from support.segments import CAM1, planned_segment, segment_text

MAC, OTHER = "02:00:00:00:01:0b", "02:00:00:00:01:0c"
PORT = "p-cam1"
STATION = f"{MAC}\nflags=[AUTHORIZED]\naid=0\ndot1xAuthSessionUserName=anybody\n"


class Hostapd:
    """Its control socket: answers by command, and tells what it is made to."""

    def __init__(self, folder):
        folder.mkdir()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(folder / PORT))
        self.answers = {"ATTACH": "OK\n", "STA-FIRST": "", "DEAUTHENTICATE " + MAC: "OK\n"}
        self.asked, self.peer = [], None
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        while True:
            command, peer = self.socket.recvfrom(8192)
            if not command:
                return
            self.peer = peer
            self.asked.append(command.decode())
            self.socket.sendto(self.answers.get(command.decode(), "FAIL\n").encode(), peer)

    def tell(self, text):
        self.socket.sendto(text.encode(), self.peer)

    def let_in(self, mac=MAC, answer=STATION):
        self.answers.update({"STA-FIRST": answer, f"STA {mac}": answer})

    def forget(self):
        self.answers.update({"STA-FIRST": "", f"STA {MAC}": "FAIL\n"})

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self.socket.close()


class Sets:
    def __init__(self):
        self.standing = {}

    def put(self, lives):
        self.standing.update({life.element: life.left_ms for life in lives})

    def remove(self, elements):
        for element in elements:
            self.standing.pop(element, None)


@pytest.fixture
def hostapd(tmp_path, monkeypatch):
    # it is a thread of this process, and a busy machine may have both wait
    monkeypatch.setattr("framegate_segment.admission.hostapd.ANSWER_S", 30.0)
    made = Hostapd(tmp_path / "control")
    yield made
    made.close()


@pytest.fixture
def door(tmp_path, hostapd):
    now, told, sets = [100.0], [], Sets()
    made = Admissions(tmp_path / "control", tmp_path, sets, told.append, monotonic=lambda: now[0])
    made.sets, made.told, made.clock = sets, told, now
    made.follow(planned_segment(dot1x=True))
    yield made
    made.close()


ELEMENT = admitted_element(PORT, MAC)


def test_who_hostapd_let_in_stands_for_a_while_and_is_told_once(door, hostapd):
    door.tick()
    assert not door.sets.standing
    hostapd.let_in()
    hostapd.tell(f"<3>AP-STA-CONNECTED {MAC}")
    door.read(PORT)
    assert door.sets.standing == {ELEMENT: LIFE_MS}
    (told,) = door.told
    assert (told.port, told.mac, told.admitted, told.identity) == (PORT, MAC, True, "anybody")
    door.clock[0] += ASKED_S
    door.tick()
    assert len(door.told) == 1 and door.sets.standing == {ELEMENT: LIFE_MS}


@pytest.mark.parametrize(
    "word",
    [
        f"<3>AP-STA-CONNECTED {MAC}",
        f"<3>CTRL-EVENT-EAP-SUCCESS {MAC}",
        f"AP-STA-CONNECTED {MAC}",
        "<3>AP-STA-CONNECTED",
        "<3>AP-STA-CONNECTED 02:00",
        "",
    ],
    ids=["an-event-alone", "another-event", "no-event", "no-address", "half", "nothing"],
)
def test_n165_an_event_opens_nothing_that_hostapd_does_not_say_when_asked(door, hostapd, word):
    door.tick()
    hostapd.tell(word)
    door.read(PORT)
    assert not door.sets.standing and not door.told


def test_who_is_not_authorized_or_not_there_any_more_is_shut_out(door, hostapd):
    hostapd.let_in()
    door.tick()
    assert door.sets.standing
    hostapd.let_in(answer=STATION.replace("[AUTHORIZED]", ""))
    door.clock[0] += ASKED_S
    door.tick()
    assert not door.sets.standing and door.told[-1].why == "unauthorized"
    hostapd.let_in()
    door.clock[0] += ASKED_S
    door.tick()
    hostapd.forget()
    door.clock[0] += ASKED_S
    door.tick()
    assert not door.sets.standing and door.told[-1].why == "unknown"


def test_a_lost_carrier_shuts_the_port_here_and_at_hostapd(door, hostapd):
    hostapd.let_in()
    door.tick()
    door.links([LinkState("p-cam2", False), LinkState(PORT, True)])
    assert door.sets.standing
    door.links([LinkState(PORT, False)])
    assert not door.sets.standing and f"DEAUTHENTICATE {MAC}" in hostapd.asked


def test_where_events_of_links_were_lost_everybody_begins_anew(door, hostapd):
    hostapd.let_in()
    door.tick()
    door.links([], lost=True)
    assert not door.sets.standing


def test_n162_nobody_is_kept_in_by_a_hostapd_that_is_gone(door, hostapd, tmp_path):
    hostapd.let_in()
    door.tick()
    (tmp_path / "control" / PORT).unlink()
    hostapd.answers.clear()
    door.clock[0] += ASKED_S
    door.tick()
    door.clock[0] += ASKED_S
    door.sets.standing.clear()  # its life is over
    door.tick()
    assert not door.sets.standing


def test_a_port_that_needs_no_8021x_any_more_is_let_go(door, hostapd):
    hostapd.let_in()
    door.tick()
    door.follow(planned_segment())
    assert not door.sets.standing and door.told[-1].why == "policy"
    door.follow(None)


def test_n161_after_a_flush_they_stand_for_what_they_had_left(door, hostapd):
    hostapd.let_in()
    door.tick()
    door.sets.standing.clear()
    door.clock[0] += 3
    door.put_again()
    assert door.sets.standing == {ELEMENT: LIFE_MS - 3_000}
    door.sets.standing.clear()
    door.clock[0] += 20
    door.put_again()
    assert not door.sets.standing


def test_a_socket_that_nobody_answers_is_said_to_be_that(tmp_path):
    assert refused(lambda: HostapdPort(tmp_path / "no", tmp_path / "own")) == Reason.UNAVAILABLE


def test_a_shut_port_passes_8021x_itself_and_nothing_else_before_it_is_open():
    rules = bridge_rules_of(planned_segment(dot1x=True)).splitlines()
    port = [r for r in rules if r.startswith(f"add rule bridge framegate p_{PORT} ")]
    assert f"iifname . ether saddr != @{ADMITTED} counter drop" in port[1]
    (first, *_) = [r for r in rules if "framegate prerouting " in r and "add rule" in r]
    assert first.endswith("ether type 0x888e accept")
    assert ADMITTED not in bridge_rules_of(planned_segment())
    key = admitted_element("p-cam1", MAC).key
    assert key == b"p-cam1".ljust(16, b"\0") + bytes.fromhex("02000000010b") + b"\0\0"


def test_n167_ports_that_need_no_8021x_any_more_are_said_to_open():
    from framegate.segment.draft import Effect, changes_between
    from framegate.segment.parse import parse_segments

    shut, free = (parse_segments(segment_text(dot1x=d)) for d in (True, False))
    (change,) = changes_between(shut, free)
    assert change.effect is Effect.OPENS and "802.1X" in change.what
    assert changes_between(free, shut)[0].effect is Effect.CLOSES


def link(name, flags, kind=16):
    body = struct.pack("=BxHiII", 0, 1, 7, flags, 0)
    raw = name.encode() + b"\0"
    body += struct.pack("=HH", 4 + len(raw), 3) + raw + bytes(-len(raw) % 4)
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 1, 0) + body


def test_links_are_read_with_their_carrier():
    data = link(PORT, 0x1_1043) + link("p-cam2", 0x1003) + link("p-cam3", 0x1_1043, kind=17)
    states = list(links_in(raw_messages(data + b"\x01")))
    assert states == [
        LinkState(PORT, True),
        LinkState("p-cam2", False),
        LinkState("p-cam3", False),
    ]
    assert list(raw_messages(b"")) == [] and list(raw_messages(bytes(16))) == []


VLANS = Vlans(join=999, zones={"cameras": 11})


@pytest.fixture
def switch(tmp_path):
    now = [1_000_000]
    made = SwitchState(
        tmp_path / "switch.json", monotonic=lambda: now[0] / 1000, now_ms=lambda: now[0]
    )
    made.now, made.file = now, tmp_path / "switch.json"
    return made


def vlan(switch, mac=MAC, at=None):
    said = attributes_now(switch.file, mac, VLANS, at or switch.now[0])
    return next(a.value for a in said if a.name == "Tunnel-Private-Group-Id")


def test_a_port_gets_its_zone_while_its_device_is_trusted(switch):
    segment = planned_segment()
    assert switch.update(segment, {}) == () and vlan(switch) == "999"
    trusted = {CAM1: Standing("trusted", 2_000.0)}
    assert switch.update(segment, trusted) == (CAM1,)
    assert {vlan(switch, m) for m in (MAC, "02-00-00-00-01-0B", "02000000010b")} == {"11"}
    assert vlan(switch, OTHER) == "999"
    switch.update(segment, {CAM1: Standing("suspect", 2_000.0)})
    assert vlan(switch) == "999"


def test_n162_a_file_that_nobody_renews_ends_by_itself(switch):
    switch.update(planned_segment(), {CAM1: Standing("trusted", 9_999_999.0)})
    assert vlan(switch, at=switch.now[0] + 15_000) == "11"
    assert vlan(switch, at=switch.now[0] + 31_000) == "999"


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"life_s": 30}', f'{{"life_s": 30, "trusted": {{"{MAC}": [1]}}}}', "\xff"],
    ids=["empty", "cut", "a-list", "nobody", "half-a-row", "bytes"],
)
def test_a_file_that_is_not_whole_gives_the_join_vlan(switch, text):
    assert vlan(switch) == "999"
    switch.file.write_text(text, "latin-1")
    assert vlan(switch) == "999"


@pytest.mark.parametrize("mac", ["", "cam1", "02:00:00:00:01", "02:00:00:00:01:0b:0c", "0" * 99])
def test_what_is_no_mac_address_is_refused(switch, mac):
    assert refused(lambda: vlan(switch, mac)) == Reason.USAGE


def test_a_zone_without_a_vlan_gets_the_join_vlan(switch):
    switch.update(planned_segment(), {CAM1: Standing("trusted", 2_000.0)})
    bare = Vlans(join=999, zones={})
    said = attributes_now(switch.file, MAC, bare, switch.now[0])
    assert ("Tunnel-Private-Group-Id", "999") in [(a.name, a.value) for a in said]
    assert json.loads(switch.file.read_text())["trusted"][MAC][1] == CAM1


def test_the_answer_is_as_rlm_exec_takes_it(switch):
    said = radius_pairs(attributes_now(switch.file, MAC, VLANS, 0))
    assert said.startswith('Tunnel-Type = 13, Tunnel-Medium-Type = 6, Tunnel-Private-Group-Id = "')
    assert "Class = 0x" in said and "\n" not in said
