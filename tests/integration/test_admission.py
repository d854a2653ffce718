"""Ports that 802.1X opens: a real hostapd, a real supplicant, the kernel's own packet filter; and a
key that a TPM keeps. As root, with Debian's packages.
"""

import sys
import time
from pathlib import Path

import pytest

from framegate.errors import FramegateError, Reason
from framegate.segment.refusal import Why
from framegate_segment.admission.ports import ASKED_S, LIFE_MS
from framegate_segment.admission.switch_state import SwitchState
from framegate_segment.enforcement.enforcer import Standing
from framegate_simulators.plant.dot1x import (
    AdmissionCa,
    Claim,
    Programs,
    TpmToken,
    eapol_start,
    missing,
)
from framegate_simulators.plant.dot1x_door import DYNAMIC, SWITCH_SECRET, Door
from framegate_simulators.plant.namespaces import ROUTER, Network, unavailable
from framegate_simulators.plant.processes import wait_for
from framegate_simulators.plant.radius_server import asked, missing_radius, start_radius
from framegate_simulators.plant.segment_plan import planned_segment
from framegate_simulators.plant.segment_site import CAM1, GW1
from framegate_simulators.plant.streams import Receiver, reaches

pytestmark = pytest.mark.plants
NO_S = 0.4
OWN = ("p-cam1", "02:00:00:00:01:0b")
INTRUDER = ("p-intr", "02:00:00:00:01:42")


@pytest.fixture(scope="module")
def network():
    if why := unavailable() or missing():
        pytest.skip(why)
    with Network() as made:
        yield made


@pytest.fixture
def door(network, tmp_path):
    made = Door(network, tmp_path)
    yield made
    made.close()


def own_claim(door, identity=CAM1, name="cam1"):
    return Claim(identity, door.ca.issue(name))


def joins(door, host):
    return reaches(door.network, host, (door.network.wires["ctl"].address, 8443), NO_S)


def frames(door, host):
    return reaches(door.network, host, (door.network.wires["gw"].address, 7443), NO_S)


def test_n165_before_8021x_a_port_is_shut_and_after_it_the_join_port_alone_is_there(door):
    door.site.trust(GW1)
    with Receiver(door.network, "ctl", 8443), Receiver(door.network, "gw", 7443):
        door.look()
        assert not joins(door, "cam1")
        told = [(p.told.where, p.told.why) for p in door.site.log.read()]
        assert ("p-cam1", Why.UNADMITTED) in told
        door.claim("cam1", own_claim(door))
        door.until(lambda: door.admitted(OWN), "EAP-TLS")
        door.until(lambda: joins(door, "cam1"), "the join port")
        assert not frames(door, "cam1"), "no further"
        door.site.trust(CAM1)
        door.until(lambda: frames(door, "cam1"), "trust to widen it")
        door.site.revoke()
        assert not frames(door, "cam1") and joins(door, "cam1"), "and its loss narrows it at once"
        (cut,) = door.site.finish()
        assert not cut.left
    assert [(a.port, a.admitted, a.identity) for a in door.told] == [("p-cam1", True, CAM1)]


def test_n165_an_identity_that_is_claimed_with_another_certificate_gets_no_trust(door):
    door.site.trust(CAM1, GW1)
    with Receiver(door.network, "ctl", 8443), Receiver(door.network, "gw", 7443):
        door.claim("intr", own_claim(door, CAM1, "forklift-7"))
        door.until(lambda: door.admitted(INTRUDER), "the intruder's own certificate")
        assert not frames(door, "intr"), "who claims to be cam1 reaches no gateway"
        assert not door.admitted(OWN) and not frames(door, "cam1"), "nor is cam1's port open"
        told = door.told[0]
        assert (told.port, told.mac, told.identity) == (*INTRUDER, CAM1)


def test_n165_a_certificate_of_another_ca_opens_nothing(door, tmp_path):
    other = AdmissionCa(tmp_path / "other")
    claim = Claim(CAM1, other.issue("cam1"))
    door.claim("cam1", claim)
    log = door.programs.folder / "hostapd-p-cam1.log"
    door.until(
        lambda: (
            "EAP-FAILURE" in (door.programs.folder / "wpa-cam1.log").read_text()
            or "authentication failed" in log.read_text()
        ),
        "the refusal",
    )
    assert not door.admitted(OWN) and not door.in_kernel()
    with Receiver(door.network, "ctl", 8443):
        assert not joins(door, "cam1")


def test_n165_the_mac_of_who_was_let_in_opens_no_other_port(door):
    door.claim("cam1", own_claim(door))
    door.until(lambda: door.admitted(OWN))
    run = door.network.run
    try:
        run("intr", "ip", "link", "set", "eth0", "address", OWN[1])
        run("intr", "ip", "addr", "add", "10.10.1.11/24", "dev", "eth0")
        with Receiver(door.network, "ctl", 8443):
            assert not joins(door, "intr")
        told = [(p.told.where, p.told.why) for p in door.site.log.read()]
        assert ("p-intr", Why.UNADMITTED) in told
    finally:
        run("intr", "ip", "addr", "del", "10.10.1.11/24", "dev", "eth0")
        run("intr", "ip", "link", "set", "eth0", "address", INTRUDER[1])
        run("intr", "ip", "route", "replace", "default", "via", "10.10.1.1")


def test_a_cable_that_is_pulled_takes_the_admission_with_it(door):
    program = door.claim("cam1", own_claim(door))
    door.until(lambda: door.admitted(OWN))
    door.programs.stop(program)
    door.network.run("cam1", "ip", "link", "set", "eth0", "down")
    try:
        door.until(lambda: not door.admitted(OWN), "the port to be shut")
        assert door.in_kernel() == 0 and door.told[-1].why in {"link", "logoff"}
    finally:
        door.network.run("cam1", "ip", "link", "set", "eth0", "up")
        door.network.run("cam1", "ip", "route", "replace", "default", "via", "10.10.1.1")
    door.admissions._asked_s = float("-inf")
    door.look()
    assert not door.admitted(OWN), "hostapd was told too: whoever comes next proves itself"


def test_n162_a_dead_hostapd_or_enforcer_keeps_no_port_open(door):
    door.claim("cam1", own_claim(door))
    door.until(lambda: door.admitted(OWN))
    ((_, left),) = door.site.kernel.bridge_sets.standing("admitted").items()
    assert 0 < left <= LIFE_MS and ASKED_S * 1000 * 3 < LIFE_MS
    door.programs.close()
    put = dict(door.admissions.standing)
    door.admissions._asked_s = float("-inf")
    door.look()
    assert door.admissions.standing in (put, {}), "nobody renews it"


def test_n161_who_was_let_in_stands_again_after_a_flush(door):
    door.claim("cam1", own_claim(door))
    door.until(lambda: door.admitted(OWN))
    door.network.run(ROUTER, "nft", "flush", "ruleset")
    door.site.kernel.events.read()
    door.site.enforcer.enforce(door.site.segment)
    assert door.in_kernel() == 0
    door.admissions.put_again()
    assert door.in_kernel() == 1


def test_a_key_that_a_tpm_keeps_admits_to_the_join_port(network, tmp_path):
    if why := missing(tpm=True):
        pytest.skip(why)
    door = Door(network, tmp_path)
    try:
        token = TpmToken(door.programs)
        claim = Claim(CAM1, door.ca.issue("cam1-tpm", token.public), token=token)
        door.site.trust(GW1)
        with Receiver(network, "ctl", 8443), Receiver(network, "gw", 7443):
            door.claim("cam1", claim)
            log = tmp_path / "wpa-cam1.log"
            wait_for("the supplicant", lambda: "Associated" in log.read_text(), 60.0)
            begun = time.monotonic()
            eapol_start(network, "cam1")
            door.until(lambda: door.admitted(OWN), "EAP-TLS by the TPM's key")
            took_ms = (time.monotonic() - begun) * 1000
            print(f"EAP start to admitted with a TPM key: {took_ms:.0f} ms")
            door.until(lambda: joins(door, "cam1"), "the join port")
            assert not frames(door, "cam1")
        assert not list((tmp_path / "ca").glob("cam1-tpm.key")), "no key in any file"
    finally:
        door.close()


def test_a_disconnect_request_ends_a_session_and_the_port_is_shut(network, tmp_path):
    door = Door(network, tmp_path, ("p-cam1",), DYNAMIC)
    try:
        door.claim("cam1", own_claim(door))
        door.until(lambda: door.admitted(OWN))
        took_ms = door.disconnect(OWN[1])
        assert door.in_kernel() == 1
        door.until(lambda: not door.admitted(OWN), "the port to be shut")
        assert door.in_kernel() == 0 and door.told[-1].why == "logoff"
        print(f"Disconnect-Request to its acknowledgement: {took_ms:.1f} ms")
        for mac, secret, reason in (
            ("02:00:00:00:09:09", SWITCH_SECRET, Reason.SEGMENT),
            (OWN[1], "another-secret-than-the-switch's", Reason.UNAVAILABLE),
        ):
            with pytest.raises(FramegateError) as caught:
                door.disconnect(mac, secret)
            assert caught.value.reason == reason
    finally:
        door.close()


def test_n165_a_radius_server_gives_a_zone_to_who_is_trusted_at_that_moment_alone(tmp_path):
    if why := missing_radius():
        pytest.skip(why)
    segment, file = planned_segment(), tmp_path / "switch.json"
    state, programs = SwitchState(file), Programs(tmp_path / "programs")
    program = Path(sys.executable).with_name("framegate-segment")
    argv = f"{program} vlan --switch-state {file} --join-vlan 999 --vlan cameras=11"
    ends = time.monotonic() + 3_600

    def vlan(mac=OWN[1]):
        said = asked(port, mac.upper().replace(":", "-"), tmp_path)
        assert said["Tunnel-Type"] == "VLAN" and said["Tunnel-Medium-Type"] == "IEEE-802"
        assert said["Termination-Action"] == "RADIUS-Request" and int(said["Session-Timeout"]) <= 30
        return said["Tunnel-Private-Group-Id"]

    try:
        port = start_radius(programs, argv)
        state.update(segment, {})
        assert vlan() == "999", "before its proof"
        assert state.update(segment, {CAM1: Standing("trusted", ends)}) == (CAM1,)
        assert vlan() == "11" and vlan("02:00:00:00:01:0c") == "999"
        assert state.update(segment, {CAM1: Standing("suspect", 0)}) == ()
        assert vlan() == "999", "narrowed with the next question"
        file.unlink()
        assert asked(port, OWN[1], tmp_path)["Tunnel-Private-Group-Id"] == "999"
    finally:
        programs.close()
