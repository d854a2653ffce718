"""Segments on a real packet filter, in network namespaces: as root, with nft."""

import contextlib
import shutil
import socket
import sys
import threading
import time
from contextlib import ExitStack

import pytest

from framegate.segment.refusal import Why
from framegate_segment.drops import DropBook
from framegate_segment.sightings import flow_of
from framegate_simulators.bench.segment import RESUMED_S
from framegate_simulators.plant.namespaces import BRIDGE, ROUTER, Network, unavailable
from framegate_simulators.plant.processes import wait_for
from framegate_simulators.plant.segment_plan import planned_segment
from framegate_simulators.plant.segment_site import CAM1, GW1, Site
from framegate_simulators.plant.spoofed_frames import AROUND, OWN, SPOOFS, send_frame
from framegate_simulators.plant.streams import Receiver, Sender, reaches

pytestmark = pytest.mark.plants
NO_S = 0.4


def eventually(condition):
    wait_for("what has to come", condition, 60.0)


@pytest.fixture(scope="module")
def network():
    if why := unavailable():
        pytest.skip(why)
    with Network() as made:
        yield made


@pytest.fixture
def here(network):
    site = Site(network, planned_segment())
    yield site
    network.run(ROUTER, "nft", "flush", "ruleset")
    site.close()


def told(site):
    """Packets that were told of, by where and why."""
    return [(p.told.where, p.told.why, p.into) for p in site.log.read()]


def at(network, host, version=4):
    wire = network.wires[host]
    return wire.address if version == 4 else wire.address6


def test_who_is_refused_is_told_nothing_not_even_that(network, here):
    """No reset, no ICMP, no answer of any kind: a listener on its own wire hears silence."""
    here.trust(GW1)
    with Receiver(network, "gw", 7443), network.at("cam2"):
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))
        with wire:
            wire.bind(("eth0", 0))
            wire.settimeout(0.05)
            for port in (7443, 22, 9999):
                assert not reaches(network, "cam2", (at(network, "gw"), port), NO_S)
            heard = []
            with contextlib.suppress(TimeoutError):
                while True:
                    heard.append(wire.recvfrom(2048))
    gateway = socket.inet_aton(at(network, "gw"))
    came = [f for f, (_, _, kind, *_) in heard if kind != socket.PACKET_OUTGOING]
    assert not [f for f in came if f[12:14] == b"\x08\x00"], "only the router's ARP is heard"
    sent = [f for f, (_, _, kind, *_) in heard if kind == socket.PACKET_OUTGOING]
    assert [f for f in sent if gateway in f[26:34]], "its own tries are"


@pytest.mark.parametrize("version", [4, 6])
def test_before_its_proof_a_device_reaches_the_join_port_and_nothing_else(network, here, version):
    here.trust(GW1)
    with (
        Receiver(network, "ctl", 8443),
        Receiver(network, "ctl", 22),
        Receiver(network, "gw", 7443),
    ):
        eventually(lambda: reaches(network, "cam1", (at(network, "ctl", version), 8443)))
        assert not reaches(network, "cam1", (at(network, "gw", version), 7443), NO_S)
        assert not reaches(network, "cam1", (at(network, "ctl", version), 22), NO_S)
        assert not reaches(network, "cam1", (at(network, "cam2", version), 7443), NO_S)
        router = "10.10.1.1" if version == 4 else "fd10:1::1"
        assert not reaches(network, "cam1", (router, 22), NO_S)
        here.trust(CAM1)
        assert reaches(network, "cam1", (at(network, "gw", version), 7443))
        assert not reaches(network, "cam2", (at(network, "gw", version), 7443), NO_S)


def test_n163_no_stream_outlives_or_resumes_after_a_revocation(network, here):
    here.trust(CAM1, GW1)
    with ExitStack() as stack:
        receiver = stack.enter_context(Receiver(network, "gw", 7443))
        streams = [
            stack.enter_context(
                Sender(network, "cam1", (at(network, "gw", v), 7443), every_s=every)
            )
            for v in (4, 6)
            for every in (0.005, 0)
        ]
        for stream in streams:
            stream.send()
        eventually(lambda: all(receiver.of(s.name).count for s in streams))
        heard = here.revoke()
        (cut,) = here.finish()
        assert cut.left == 0 and cut.connections >= len(streams)
        assert all(receiver.of(s.name).last_s < heard + 0.05 for s in streams)
        here.trust(CAM1)
        before = {s.name: receiver.of(s.name).count for s in streams}
        end = time.monotonic() + RESUMED_S
        while time.monotonic() < end:
            for stream in streams:
                stream.send()
            time.sleep(0.2)
        assert {s.name: receiver.of(s.name).count for s in streams} == before
        assert reaches(network, "cam1", (at(network, "gw"), 7443))


def test_n162_whoever_nobody_renews_ends_by_itself(network):
    site = Site(network, planned_segment(life_s=5))
    try:
        site.trust(CAM1, GW1)
        begun = time.monotonic()
        with (
            Receiver(network, "gw", 7443) as receiver,
            Sender(network, "cam1", (at(network, "gw"), 7443), every_s=0.01) as stream,
        ):
            came = receiver.of(stream.name)
            eventually(lambda: came.count > 3)
            eventually(lambda: time.monotonic() - came.last_s > 1.5)
            assert came.last_s - begun < 5.1
    finally:
        site.close()


def test_n161_a_flush_is_put_right_and_told(network, here):
    here.trust(CAM1, GW1)
    assert here.kernel.events.read() == []
    network.run(ROUTER, "nft", "flush", "ruleset")
    assert [c.by for c in here.kernel.events.read()] == ["nft"]
    here.enforcer.enforce(here.segment)
    assert here.kernel.events.read() == []
    with Receiver(network, "gw", 7443):
        assert reaches(network, "cam1", (at(network, "gw"), 7443))
        assert not reaches(network, "cam2", (at(network, "gw"), 7443), NO_S)
    network.run(ROUTER, "nft", "add", "table", "inet", "other")
    assert here.kernel.events.read() == []
    network.run(ROUTER, "nft", "insert", "rule", "inet", "framegate", "forward", "accept")
    assert [c.by for c in here.kernel.events.read()] == ["nft"]


def dropped(network, site, spoof):
    site.log.read()
    send_frame(network, "cam1", spoof.frame)
    seen = []
    eventually(lambda: seen.extend(told(site)) or ("p-cam1", spoof.why, "p-cam1") in seen)


@pytest.mark.parametrize("name", list(SPOOFS))
def test_n164_arp_and_neighbours_of_others_are_dropped_and_the_port_named(network, here, name):
    dropped(network, here, SPOOFS[name])


@pytest.mark.parametrize("name", list(AROUND))
def test_n166_tags_and_other_protocols_do_not_get_around(network, here, name):
    dropped(network, here, AROUND[name])


def test_n160_a_clone_of_address_and_mac_gets_nothing_through(network, here):
    here.trust(CAM1, GW1)
    try:
        network.run("intr", "ip", "link", "set", "eth0", "address", OWN)
        network.run("intr", "ip", "addr", "flush", "dev", "eth0")
        network.run("intr", "ip", "addr", "add", "10.10.1.11/24", "dev", "eth0")
        network.run("intr", "ip", "route", "add", "default", "via", "10.10.1.1")
        with Receiver(network, "gw", 7443), Receiver(network, "ctl", 8443):
            assert not reaches(network, "intr", (at(network, "gw"), 7443), NO_S)
            assert not reaches(network, "intr", (at(network, "ctl"), 8443), NO_S)
            assert reaches(network, "cam1", (at(network, "gw"), 7443))
        assert ("p-intr", Why.MAC, "p-intr") in told(here)
    finally:
        network.run("intr", "ip", "link", "set", "eth0", "address", "02:00:00:00:01:42")
        network.run("intr", "ip", "addr", "flush", "dev", "eth0")
        network.run("intr", "ip", "addr", "add", "10.10.1.66/24", "dev", "eth0")
        network.run("intr", "ip", "route", "add", "default", "via", "10.10.1.1")


def test_a_port_that_no_zone_names_is_closed(network, here):
    network.run(ROUTER, "ip", "link", "add", "p-odd", "type", "veth", "peer", "name", "odd")
    try:
        network.run(ROUTER, "ip", "link", "set", "p-odd", "master", BRIDGE)
        network.run(ROUTER, "ip", "link", "set", "p-odd", "up")
        network.run(ROUTER, "ip", "link", "set", "odd", "up")
        seen = []
        eventually(lambda: seen.extend(told(here)) or ("-", Why.UNKNOWN_PORT, "p-odd") in seen)
    finally:
        network.run(ROUTER, "ip", "link", "del", "p-odd")


def test_what_is_staged_passes_and_is_told_as_that(network, tmp_path):
    modes = {"gateways": "stage", "plc": "stage"}
    site = Site(network, planned_segment(modes=modes))
    try:
        with Receiver(network, "plc", 502):
            assert reaches(network, "gw", (at(network, "plc"), 502))
            assert not reaches(network, "cam1", (at(network, "plc"), 502), NO_S)
        book = DropBook(tmp_path / "drops.jsonl", site.enforcer, 1_000)
        drops = []

        def both():
            drops.extend(book.add(p, flow_of(site.segment, p)) for p in site.log.read())
            kept = {(d.verdict, d.port) for d in drops if d is not None}
            return {("would-drop", "tcp/502"), ("drop", "tcp/502")} <= kept

        eventually(both)
    finally:
        network.run(ROUTER, "nft", "flush", "ruleset")
        site.close()


def test_renewing_and_swapping_lose_no_packet(network, here):
    here.trust(CAM1, GW1)
    with (
        Receiver(network, "gw", 7443, kind="udp") as receiver,
        Sender(network, "cam1", (at(network, "gw"), 7443), kind="udp", every_s=0.002) as stream,
    ):
        came = receiver.of(stream.name)
        eventually(lambda: came.count > 5)
        worker = threading.Thread(target=lambda: [here.trust(CAM1, GW1) for _ in range(300)])
        worker.start()
        worker.join()
        for _ in range(10):
            here.enforcer.enforce(here.segment)
        stream.stop()
        eventually(lambda: len(came.numbers) == stream.sent)


ONE_RIGHT = """
from framegate.segment.nft import rules_of
from framegate.segment.nft_bridge import bridge_rules_of
from framegate_segment.enforcement.kernel import Kernel
from framegate_segment.netlink.links import LinkEvents
from framegate_segment.netlink.namespace import Namespace
from framegate_segment.netlink.packet_log import PacketLog
from framegate_simulators.plant.segment_plan import planned_segment
kernel, segment = Kernel(Namespace()), planned_segment(dot1x=True)
kernel.install(rules_of(segment) + bridge_rules_of(segment))
LinkEvents(), PacketLog(10, Namespace())
print("strict" if kernel.strict else "loose")
"""


def test_the_one_capability_of_the_unit_is_all_that_enforcement_needs(network):
    if shutil.which("setpriv") is None:
        pytest.skip("needs setpriv: apt-get install util-linux")
    one = "-all,+net_admin"
    user = ("setpriv", "--reuid", "6474", "--regid", "6474", "--clear-groups")
    rights = [f"--{which}={one}" for which in ("bounding-set", "inh-caps", "ambient-caps")]
    try:
        done = network.run("plc", *user, *rights, sys.executable, "-c", ONE_RIGHT, check=False)
        if "Permission denied" in done.stderr and "python" in done.stderr:
            pytest.skip("needs a Python that other users may run")
        assert done.stdout.strip() == "strict", done.stderr
    finally:
        network.run("plc", "nft", "flush", "ruleset")
