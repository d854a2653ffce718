"""N160 to N167, N193: packets, drafts and netlink messages that are to get around a segment. They
are tried in network namespaces, as root, on the kernel's own packet filter; elsewhere these
attempts say that.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.identity.certificates import Purpose
from framegate.identity.enforcer import enforcer_id
from framegate.identity.pem import private_pem
from framegate.segment.policy import FILE
from framegate.segment.radius import Vlans, attributes_for
from framegate.segment.ruling import DeviceStanding
from framegate_controller.ca.issue import certify
from framegate_controller.ca.template import leaf_template
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc
from framegate_simulators.attack.target import TIMEOUT_S, Seen, Target, attempt, reason_of
from framegate_simulators.plant.namespaces import ROUTER, Network, unavailable
from framegate_simulators.plant.processes import PlantError, wait_for
from framegate_simulators.plant.segment_plan import ZONE, planned_segment, segment_text
from framegate_simulators.plant.segment_site import CAM1, GW1, Site
from framegate_simulators.plant.spoofed_frames import AROUND, OWN, SPOOFS, Spoof, send_frame
from framegate_simulators.plant.streams import Receiver, Sender, reaches

NO_S: Final = 0.4
FRAMES: Final = 7443
PATIENCE_S: Final = 30.0


class Segmented:
    """A segmented network with an enforcer; cam1 and the gateway are trusted."""

    def __init__(self, _target: Target) -> None:
        if why := unavailable():
            raise PlantError(why)
        self.network = Network()
        self.network.__enter__()
        self.site = Site(self.network, planned_segment())
        self.site.trust(CAM1, GW1)
        self.gateway = (self.network.wires["gw"].address, FRAMES)

    def dropped(self, spoofs: Mapping[str, Spoof]) -> int:
        """How many frames of cam1's port were dropped, each for its reason and with the port."""
        self.site.log.read()
        for spoof in spoofs.values():
            send_frame(self.network, "cam1", spoof.frame)
        wanted = [("p-cam1", s.why) for s in spoofs.values()]
        told: list[tuple[str, str]] = []

        def all_told() -> bool:
            told.extend((p.told.where, p.told.why) for p in self.site.log.read())
            return all(told.count(w) >= wanted.count(w) for w in wanted)

        wait_for("every frame to be told of", all_told, PATIENCE_S)
        return len(wanted)

    def close(self) -> None:
        """Take the network away."""
        self.site.close()
        self.network.close()


@attempt("N160", "address and MAC of a trusted camera, on the intruder's own port")
def n160(t: Target) -> Seen:
    at = t.once(Segmented)
    with Receiver(at.network, "gw", FRAMES):
        sound = reaches(at.network, "cam1", at.gateway)
        at.network.run("intr", "ip", "link", "set", "eth0", "address", OWN)
        for argv in (("flush",), ("add", "10.10.1.11/24")):
            at.network.run("intr", "ip", "addr", *argv, "dev", "eth0")
        at.network.run("intr", "ip", "route", "add", "default", "via", "10.10.1.1")
        clone = reaches(at.network, "intr", at.gateway, NO_S)
    told = {(p.told.where, p.told.why.value) for p in at.site.log.read()}
    named = ("p-intr", "mac") in told
    return Seen(
        sound and not clone and named,
        f"cam1 {'got through' if sound else 'stayed out'}, its clone "
        f"{'got through' if clone else 'stayed out'}, told as {'p-intr mac' if named else told}",
    )


@attempt("N161", "the packet filter flushed by somebody with root on the router")
def n161(t: Target) -> Seen:
    at = t.once(Segmented)
    at.site.kernel.events.read()
    at.network.run(ROUTER, "nft", "flush", "ruleset")
    heard = [c.by for c in at.site.kernel.events.read()]
    at.site.enforcer.enforce(at.site.segment)
    with Receiver(at.network, "gw", FRAMES):
        stranger = reaches(at.network, "cam2", at.gateway, NO_S)
        sound = reaches(at.network, "cam1", at.gateway)
    said = f"heard of {', '.join(heard) or 'nobody'}; afterwards cam2 "
    return Seen(
        heard == ["nft"] and sound and not stranger,
        said + ("got through" if stranger else "stayed out"),
    )


@attempt("N162", "an enforcer's certificate, used for what machines and people do")
def n162(t: Target) -> Seen:
    key = ec.generate_private_key(ec.SECP256R1())
    name = enforcer_id(ZONE, "stolen")
    life, now = timedelta(minutes=5), datetime.now(UTC)
    issuer = t.keys.issuing["gateway-ca"]
    leaf = certify(issuer, leaf_template(Purpose.ENFORCER, name, key.public_key(), life, now))
    pair = (private_pem(key), leaf.public_bytes(Encoding.PEM) + issuer.pem)
    with t.fleet_channel(pair) as channel:
        fleet: Any = rpc.FleetStub(channel)
        people: Any = rpc.OperatorStub(channel)
        tries = [
            reason_of(
                lambda: fleet.FetchGrants(pb.FetchGrantsRequest(nonce=bytes(32)), timeout=TIMEOUT_S)
            ),
            reason_of(lambda: fleet.RecordBatch(pb.RecordBatchRequest(), timeout=TIMEOUT_S)),
            reason_of(lambda: people.List(pb.ListRequest(), timeout=TIMEOUT_S)),
        ]
    return Seen(all(s.refused for s in tries), "; ".join(s.reason for s in tries))


@attempt("N163", "four streams that stood, of both families, two of them idle, after a revocation")
def n163(t: Target) -> Seen:
    at = t.once(Segmented)
    wire = at.network.wires["gw"]
    with Receiver(at.network, "gw", FRAMES) as receiver:
        streams = [
            Sender(at.network, "cam1", (to, FRAMES), every_s=every)
            for to in (wire.address, wire.address6)
            for every in (0.01, 0)
        ]
        try:
            for stream in streams:
                stream.send()
            wait_for(
                "the streams", lambda: all(receiver.of(s.name).count for s in streams), PATIENCE_S
            )
            at.site.revoke()
            (cut,) = at.site.finish()
            time.sleep(0.2)
            before = [receiver.of(s.name).count for s in streams]
            at.site.trust(CAM1)
            for _ in range(10):
                for stream in streams:
                    stream.send()
                time.sleep(0.1)
            after = [receiver.of(s.name).count for s in streams]
        finally:
            for stream in streams:
                stream.stop()
    went_on = sum(a > b for a, b in zip(after, before, strict=True))
    return Seen(not went_on and not cut.left, f"{went_on} of 4 went on; {cut.left} left in tables")


@attempt("N164", "ARP, neighbour, router and DHCP spoofing, another's MAC and addresses")
def n164(t: Target) -> Seen:
    dropped = t.once(Segmented).dropped(SPOOFS)
    return Seen(dropped == len(SPOOFS), f"{dropped} of {len(SPOOFS)} dropped at p-cam1")


@attempt("N165", "a camera's name and MAC address, claimed at a switch before any proof")
def n165(_t: Target) -> Seen:
    segment, vlans = planned_segment(), Vlans(join=999, zones={"cameras": 11})
    camera = segment.named(CAM1)
    if camera is None:
        return Seen(False, "no such camera in the plan")
    states = [None, *(DeviceStanding(state=s) for s in ("pending", "stale", "suspect", "retired"))]
    given = {
        a.value
        for standing in states
        for a in attributes_for(camera, standing, 300, vlans, segment.life_s)
        if a.name == "Tunnel-Private-Group-Id"
    }
    return Seen(given == {"999"}, f"VLAN {', '.join(map(str, given))}, the join VLAN")


@attempt("N166", "VLAN tags and other protocols than IP, at a guarded port")
def n166(t: Target) -> Seen:
    dropped = t.once(Segmented).dropped(AROUND)
    return Seen(dropped == len(AROUND), f"{dropped} of {len(AROUND)} dropped at p-cam1")


@attempt("N167", "a draft in which one word opens a conduit to whoever is there")
def n167(t: Target) -> Seen:
    t.sign_in_again()
    folder = t.plant.folder / "segmented-policy"
    t.plant.framegate("policy", "pull", "--out", folder)
    opened = segment_text().replace('trust = ["from", "to"]', 'trust = ["to"]', 1)
    (folder / FILE).write_text(segment_text())
    t.plant.framegate("segment", "apply", folder)
    (folder / FILE).write_text(opened)
    shown = t.plant.framegate("segment", "diff", folder, check=False)
    said = " ".join(shown.stdout.split())
    return Seen(shown.returncode == 6 and "opens" in said, said[:120])


FORGED: Final = """
import socket, struct, sys
def attribute(kind, text):
    whole = text.encode() + b"\\0"
    return struct.pack("=HH", 4 + len(whole), kind) + whole + bytes(-len(whole) % 4)
def message(kind, body):
    whole = bytes(4) + body
    return struct.pack("=IHHII", 16 + len(whole), kind, 0, 1, 4711) + whole
data = message(10 << 8 | 2, attribute(1, sys.argv[2]))
data += message(10 << 8 | 15, attribute(3, "forger"))
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
s.sendto(data, (int(sys.argv[1]), 0))
print("sent")
"""
"""A table is gone, says a program that is not the kernel."""


@attempt("N193", "a program tells the enforcer, in the kernel's place, that its rules are gone")
def n193(t: Target) -> Seen:
    at = t.once(Segmented)
    events = at.site.kernel.events
    events.read()
    port, table = str(events.channel.port_id), sorted(events.tables)[0]
    sent = at.network.run(ROUTER, sys.executable, "-c", FORGED, port, table).stdout.strip()
    heard = [change.by for change in events.read()]
    at.network.run(ROUTER, "nft", "flush", "ruleset")
    true = [change.by for change in events.read()]
    at.site.enforcer.enforce(at.site.segment)
    return Seen(
        sent == "sent" and not heard and true == ["nft"],
        f"heard of {', '.join(heard) or 'nobody'}; of the kernel's own word: {', '.join(true)}",
    )
