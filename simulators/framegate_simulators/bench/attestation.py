"""make bench --only attestation: what an attestation costs the controller, in its store and through
its port.

`store_ms` is a whole attestation, begin and complete, with the durable record, in this process.
`attestations_per_s` is what a controller process completes for eight machines that attest without a
pause over real gRPC and mutual TLS. The machines' own work (a software TPM's signatures) is a
process of its own; its share of the two is said beside it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, Final

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import FramegateError
from framegate.identity.names import Kind
from framegate.identity.pem import private_pem
from framegate.machines.lifecycle import State
from framegate_controller.ca.generations import FolderKeyRing
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.context import Fleet
from framegate_controller.fleet.attestation import Verifier
from framegate_controller.fleet.makers import add_maker
from framegate_controller.fleet.profiles import add_profile
from framegate_controller.fleet.tickets import Invitation, invite
from framegate_controller.store.database import now_ms, open_registry
from framegate_controller.timing import Timing
from framegate_proto.edge import evidence_parts, from_rpc_error
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc
from framegate_simulators.fixtures.controller import found_controller, without_quota
from framegate_simulators.forge.forge import Forge
from framegate_simulators.machine.boot import Firmware, profile_toml
from framegate_simulators.machine.ima import allowlist_of
from framegate_simulators.machine.tpm import TpmMaker
from framegate_simulators.process_readings import processor_s

CLIENTS: Final = 8
SECONDS: Final = 12.0
WARM_S: Final = 2.0
ALONE: Final = 400
MODEL: Final = "simulated-camera"
START_S: Final = 30.0


def bench_attestation(say: Callable[[str], None]) -> dict[str, Any]:
    """Both figures."""
    with tempfile.TemporaryDirectory(prefix="fg-attest-") as name:
        figures = {**_alone(Path(name) / "alone"), **_through_the_port(Path(name) / "port")}
        say(f"attestation: {figures}")
        return figures


def founded(state: Path, forges: list[Forge], maker: TpmMaker) -> tuple[FleetKeys, list[bytes]]:
    """A fleet that invited one camera for each forge; its keys and the tickets' codes."""
    keys = found_controller(state)
    store = open_registry(state / "registry.db")
    codes = [f"code-{n:011}".encode() for n in range(len(forges))]
    with store.writing() as tx:
        tx.evidence.add_allowlist(allowlist_of(MODEL, forges[0].firmware.release), tx.now_ms)
        add_profile(tx, keys, profile_toml(forges[0].firmware, MODEL).encode())
        add_maker(tx, maker.certificate)
        for number, (forge, code) in enumerate(zip(forges, codes, strict=True)):
            invitation = Invitation(
                kind=Kind.CAMERA,
                zone="line-1",
                name=f"cam{number}",
                profile=MODEL,
                code=code,
                life_s=3600,
                ek_sha256=forge.ek_sha256,
            )
            invite(tx, invitation)
    store.close()
    return keys, codes


def _alone(state: Path) -> dict[str, Any]:
    maker = TpmMaker.found()
    forge = Forge(maker, Firmware(MODEL))
    keys, (code,) = founded(state, [forge], maker)
    store = open_registry(state / "registry.db")
    fleet = Fleet(
        ring=FolderKeyRing(keys), timing=Timing(), clock=now_ms, controller="controller-1"
    )
    verifier, device = (
        Verifier(store, fleet, state=without_quota(fleet.timing)),
        "camera.line-1.cam0",
    )
    hello = forge.hello(code)
    begun = verifier.begin_join(hello, "bench")
    mac, evidence = forge.answer(fleet.digest, hello, begun.challenge)
    verifier.complete_join(begun.state, mac, evidence)
    took = []
    for _ in range(ALONE):
        hello = forge.attest_hello(known_log=True)
        start = time.perf_counter()
        begun = verifier.begin_attest(hello, device)
        middle = time.perf_counter()
        _, evidence = forge.answer(
            fleet.digest, hello, begun.challenge, join=False
        )  # the machine's own work
        again = time.perf_counter()
        assert verifier.complete_attest(begun.state, evidence, device).state == State.TRUSTED
        took.append(1e3 * (middle - start + time.perf_counter() - again))
    store.close()
    took.sort()
    return {
        "store_ms": round(median(took), 2),
        "store_p99_ms": round(took[int(0.99 * ALONE)], 2),
        "store_least_ms": round(took[0], 2),
    }


class _Machine:
    """One forged machine that attests without a pause."""

    def __init__(self, number: int, forge: Forge, root: bytes, ports: dict[str, str]) -> None:
        self.device, self.forge, self.root, self.ports = (
            f"camera.line-1.cam{number}",
            forge,
            root,
            ports,
        )
        self.took: list[tuple[float, float]] = []
        self.credentials: grpc.ChannelCredentials | None = None

    def _options(self) -> tuple[tuple[str, Any], ...]:
        return (
            ("grpc.ssl_target_name_override", "controller.plant.framegate"),
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_http_proxy", 0),
        )

    def join(self, code: bytes, fleet: bytes) -> None:
        """By its ticket. Raises RuntimeError where it is not trusted."""
        with grpc.secure_channel(
            self.ports["join"], grpc.ssl_channel_credentials(self.root), options=self._options()
        ) as channel:
            stub, hello = rpc.JoinStub(channel), self.forge.hello(code)
            begun = stub.Begin(pb.BeginRequest(hello=hello))
            mac, evidence = self.forge.answer(fleet, hello, begun.challenge)
            reply = stub.Complete(evidence_parts(begun.state, mac, evidence))
        if not reply.certificate:
            raise RuntimeError(f"{self.device} was not trusted: {reply.failures}")
        chain = b"".join(_pem(der) for der in (reply.certificate, *reply.authorities))
        self.credentials = grpc.ssl_channel_credentials(
            self.root, private_pem(self.forge.tls.private), chain
        )

    def run(self, fleet: bytes, until: float) -> None:
        """Attest until then."""
        assert self.credentials is not None
        with grpc.secure_channel(
            self.ports["fleet"], self.credentials, options=self._options()
        ) as channel:
            stub = rpc.FleetStub(channel)
            while time.monotonic() < until:
                hello, begun = self.forge.attest_hello(known_log=True), time.monotonic()
                try:
                    session = stub.Begin(pb.BeginRequest(hello=hello))
                    _, evidence = self.forge.answer(fleet, hello, session.challenge, join=False)
                    reply = stub.Complete(evidence_parts(session.state, b"", evidence))
                except grpc.RpcError as error:
                    raise from_rpc_error(error, "") from error
                if reply.state != State.TRUSTED:
                    raise RuntimeError(f"{self.device} is {reply.state}: {reply.failures}")
                self.took.append((begun, time.monotonic()))


def _through_the_port(state: Path) -> dict[str, Any]:
    maker = TpmMaker.found()
    forges = [Forge(maker, Firmware(MODEL)) for _ in range(CLIENTS)]
    keys, codes = founded(state, forges, maker)
    ready = state / "ready.json"
    argv = [
        sys.executable,
        "-c",
        "from framegate_controller.main import run_app; run_app()",
        "run",
        "--state",
        str(state),
    ]
    argv += ["--join-port", "0", "--fleet-port", "0", "--ready-file", str(ready)]
    argv += ["--attest-limit", "60000"]
    with subprocess.Popen(argv, stderr=subprocess.DEVNULL) as controller:
        try:
            ports = _ports(ready, controller)
            machines = [_Machine(n, forge, keys.root.pem, ports) for n, forge in enumerate(forges)]
            fleet = Fleet(
                ring=FolderKeyRing(keys), timing=Timing(), clock=now_ms, controller="bench"
            ).digest
            for machine, code in zip(machines, codes, strict=True):
                machine.join(code, fleet)
            return _measured(machines, fleet, controller.pid)
        finally:
            controller.terminate()
            controller.wait(10)


def _ports(ready: Path, controller: subprocess.Popen[bytes]) -> dict[str, str]:
    deadline = time.monotonic() + START_S
    while not ready.exists():
        if controller.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("the controller did not start")
        time.sleep(0.05)
    prepared: dict[str, str] = json.loads(ready.read_text())
    return prepared


def _measured(machines: list[_Machine], fleet: bytes, controller: int) -> dict[str, Any]:
    start = time.monotonic()
    until, faults = start + WARM_S + SECONDS, []

    def run(machine: _Machine) -> None:
        try:
            machine.run(fleet, until)
        except (FramegateError, RuntimeError) as error:
            faults.append(error)

    threads = [threading.Thread(target=run, args=(m,)) for m in machines]
    before, own = processor_s(controller), time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spent, own = processor_s(controller) - before, time.process_time() - own
    if faults:
        raise faults[0]
    done = [(b, e) for m in machines for b, e in m.took if b >= start + WARM_S]
    ms = sorted(1e3 * (e - b) for b, e in done)
    total = sum(len(m.took) for m in machines)
    return {
        "clients": CLIENTS,
        "attestations_per_s": round(len(done) / SECONDS, 1),
        "controller_cpu_ms": round(1e3 * spent / total, 2),
        "machines_cpu_ms": round(1e3 * own / total, 2),
        "rpc_p50_ms": round(median(ms), 1),
        "rpc_p99_ms": round(ms[int(0.99 * len(ms))], 1),
    }


def _pem(der: bytes) -> bytes:
    return x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)
