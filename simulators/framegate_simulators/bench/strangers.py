"""make bench --only strangers: what everybody who can reach the join port may do to a fleet.

A controller as it is run, with a trusted gateway that follows its feed and a camera that rejoins
again and again, while all loads of `attack.strangers` go on at once, from the same address as the
camera. Said are the longest silence of the feed, how long rejoining took, and by how much the
controller's memory, and its join port's, grew.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.identity.names import Kind
from framegate.identity.pem import private_pem
from framegate.wire import sha256
from framegate_controller.ca.generations import FolderKeyRing
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.context import Fleet
from framegate_controller.fleet.attestation import Verifier
from framegate_controller.fleet.makers import add_maker
from framegate_controller.fleet.profiles import add_profile
from framegate_controller.fleet.tickets import Invitation, invite
from framegate_controller.store.database import now_ms, open_registry
from framegate_controller.timing import Timing
from framegate_proto.edge import evidence_parts
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc
from framegate_simulators.bench.gateway_publics import gateway_publics
from framegate_simulators.fixtures.controller import found_controller
from framegate_simulators.forge.forge import Forge
from framegate_simulators.machine.boot import Firmware, profile_toml
from framegate_simulators.machine.ima import allowlist_of
from framegate_simulators.machine.tpm import TpmMaker
from framegate_simulators.process_readings import children_of, resident_kib

LOADS: Final = ("begin", "ek", "big", "mute", "idle", "heavy")
HEAVY_CODE: Final = b"heavy machine..."
"""The ticket of the machine that sends as much as it can; `attack.strangers` knows it too."""
SECONDS: Final = 20.0
INTERVAL_S: Final = 120.0
START_S: Final = 60.0
REJOIN_EVERY_S: Final = 1.0
GATE_S: Final = 3.0
"""After which a gateway closes its gate."""


@dataclass
class Seen:
    """What was measured, in seconds and KiB."""

    silences: list[float] = field(default_factory=list)
    rejoins: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    memory: dict[str, int] = field(default_factory=dict)
    loads: dict[str, Any] = field(default_factory=dict)

    def figures(self) -> dict[str, Any]:
        """For people to read."""
        return {
            "longest_feed_silence_s": round(max(self.silences), 2),
            "gates_closed": sum(s > GATE_S for s in self.silences),
            "slowest_rejoin_s": round(max(self.rejoins, default=float("inf")), 2),
            "rejoins": len(self.rejoins),
            "rejoin_faults": self.faults,
            "memory_grew_mib": {k: round(v / 1024, 1) for k, v in self.memory.items()},
            "loads": self.loads,
        }


class Scene:
    """A founded controller in a folder: a trusted gateway, a trusted camera, and a ticket for the
    heavy machine.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.keys = found_controller(folder)
        self.maker = TpmMaker.load_or_found(folder / "maker")
        self.gateway, self.camera = self._machines()
        (folder / "root.pem").write_bytes(self.keys.root.pem)
        (folder / "hello.bin").write_bytes(self.gateway.forge.hello())

    def _machines(self) -> tuple[_Member, _Member]:
        store = open_registry(self.folder / "registry.db")
        ring = FolderKeyRing(self.keys)
        timing = Timing(int(1000 * INTERVAL_S))
        fleet = Fleet(ring=ring, timing=timing, clock=now_ms, controller="controller-1")
        process = ec.generate_private_key(ec.SECP256R1())
        gateway = Forge(
            self.maker, Firmware("simulated-gateway"), publics=(gateway_publics(process),)
        )
        camera = Forge(self.maker, Firmware("simulated-camera"))
        with store.writing() as tx:
            add_maker(tx, self.maker.certificate)
            for forge in (gateway, camera):
                model = forge.firmware.model
                tx.evidence.add_allowlist(allowlist_of(model, forge.firmware.release), tx.now_ms)
                add_profile(tx, self.keys, profile_toml(forge.firmware, model).encode())
            invite(tx, _invitation(Kind.GATEWAY, "gw1", b"gateway's ticket", gateway.ek_sha256))
            invite(tx, _invitation(Kind.CAMERA, "cam1", b"camera's ticket.", camera.ek_sha256))
            invite(tx, _invitation(Kind.CAMERA, "heavy", HEAVY_CODE, None))
        verifier = Verifier(store, fleet)
        for forge, code in ((gateway, b"gateway's ticket"), (camera, b"camera's ticket.")):
            hello = forge.hello(code)
            begun = verifier.begin_join(hello, "scene")
            mac, evidence = forge.answer(fleet.digest, hello, begun.challenge)
            answer = verifier.complete_join(begun.state, mac, evidence)
            if answer.certificate is None:
                raise RuntimeError(f"not trusted: {answer.failures}")
            if answer.gateways:
                chain = answer.gateways[0].tls.public_bytes(Encoding.PEM)
                chain += self.keys.issuing["gateway-ca"].pem
        store.close()
        return _Member(gateway, private_pem(process), chain), _Member(camera)

    @contextmanager
    def running(self) -> Iterator[dict[str, Any]]:
        """The controller as a process; what its ready file says, with its `pid`."""
        ready = self.folder / "ready.json"
        program = "from framegate_controller.main import run_app; run_app()"
        argv = [sys.executable, "-c", program, "run", "--state", str(self.folder)]
        argv += ["--join-port", "0", "--fleet-port", "0", "--ready-file", str(ready)]
        argv += ["--attest-interval", str(INTERVAL_S)]
        with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as controller:
            try:
                deadline = time.monotonic() + START_S
                while not ready.exists():
                    if controller.poll() is not None or time.monotonic() > deadline:
                        raise RuntimeError("the controller did not start")
                    time.sleep(0.05)
                yield {**json.loads(ready.read_text()), "pid": controller.pid}
            finally:
                controller.terminate()
                controller.wait(20)


@dataclass(frozen=True)
class _Member:
    forge: Forge
    key: bytes = b""
    chain: bytes = b""


def measure(scene: Scene, loads: tuple[str, ...] = LOADS, seconds: float = SECONDS) -> Seen:
    """What these loads do, all at once."""
    seen = Seen()
    with scene.running() as ports:
        processes = (ports["pid"], *children_of(ports["pid"]))
        _rejoin(scene.keys, scene.camera.forge, ports["join"])  # warm
        follower = threading.Thread(target=_follow, args=(scene, ports["fleet"], seconds, seen))
        before = {pid: resident_kib(pid) for pid in processes}
        started = [_load(scene.folder, kind, seconds) for kind in loads]
        follower.start()
        until, most = time.monotonic() + seconds, dict(before)
        while time.monotonic() < until:
            _rejoined(scene, ports["join"], seen)
            most = {pid: max(most[pid], resident_kib(pid)) for pid in processes}
            time.sleep(REJOIN_EVERY_S)
        follower.join()
        for process in started:
            out, _ = process.communicate(timeout=60)
            seen.loads |= json.loads(out or "{}")
        names = ["controller", *(f"join port {n}" for n in range(1, len(processes)))]
        seen.memory = {
            name: most[pid] - before[pid] for name, pid in zip(names, processes, strict=True)
        }
    return seen


def bench_strangers(say: Callable[[str], None]) -> dict[str, Any]:
    """All loads at once."""
    with tempfile.TemporaryDirectory(prefix="fg-strangers-") as name:
        figures = measure(Scene(Path(name))).figures()
        say(f"strangers: {figures}")
        return figures


def _load(folder: Path, kind: str, seconds: float) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-m", "framegate_simulators.attack.strangers"]
    return subprocess.Popen([*argv, str(folder), kind, str(seconds)], stdout=subprocess.PIPE)


def _follow(scene: Scene, address: str, seconds: float, seen: Seen) -> None:
    """A gateway at its feed: how long nothing came, each time."""
    tls = grpc.ssl_channel_credentials(scene.keys.root.pem, scene.gateway.key, scene.gateway.chain)
    with grpc.secure_channel(address, tls, options=_OPTIONS) as channel:
        call = rpc.FleetStub(channel).TrustFeed(pb.TrustFeedRequest(), timeout=seconds + 30)
        last = time.monotonic()
        end = last + seconds
        for _ in call:
            now = time.monotonic()
            seen.silences.append(now - last)
            last = now
            if now > end:
                break
        call.cancel()


def _rejoined(scene: Scene, address: str, seen: Seen) -> None:
    """A sound camera comes back, however often it takes: from the first try to its certificate."""
    begun = time.monotonic()
    while True:
        try:
            _rejoin(scene.keys, scene.camera.forge, address)
        except grpc.RpcError as error:
            seen.faults.append(f"{error.code().name}: {(error.details() or '')[:80]}")
            if time.monotonic() - begun > START_S:
                return
            continue
        seen.rejoins.append(time.monotonic() - begun)
        return


def _rejoin(keys: FleetKeys, forge: Forge, address: str) -> None:
    tls = grpc.ssl_channel_credentials(keys.root.pem)
    with grpc.secure_channel(address, tls, options=_OPTIONS) as channel:
        stub, hello = rpc.JoinStub(channel), forge.hello()
        begun = stub.Begin(pb.BeginRequest(hello=hello), timeout=10)
        mac, evidence = forge.answer(sha256(keys.root.der), hello, begun.challenge)
        reply = stub.Complete(evidence_parts(begun.state, mac, evidence), timeout=10)
        if not reply.certificate:
            raise RuntimeError(f"not trusted: {reply.failures}")


_OPTIONS: Final = (
    ("grpc.ssl_target_name_override", "controller.plant.framegate"),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
)


def _invitation(kind: Kind, name: str, code: bytes, ek: bytes | None) -> Invitation:
    return Invitation(
        kind=kind,
        zone="line-1",
        name=name,
        profile=f"simulated-{kind}",
        ek_sha256=ek,
        code=code,
        life_s=3600,
    )
