"""N130, N131, N132: the join port is a process of its own, and what strangers do ends there."""

import asyncio
import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from framegate.errors import Reason
from framegate.identity.certificates import Purpose
from framegate.identity.names import Kind
from framegate.wire import sha256
from framegate_controller.fleet.tickets import Invitation, invite
from framegate_controller.joinport.limits import (
    DESCRIPTORS,
    MAX_CONNECTIONS_PREFIX,
    MAX_MESSAGE_BYTES,
    MEMORY_BYTES,
)
from framegate_controller.rpc import joinport
from framegate_controller.server import JOIN, Controller
from framegate_controller.settings import ControllerSettings
from framegate_controller.store.ports import EntryQuery
from framegate_proto.edge import evidence_parts, from_rpc_error
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc
from framegate_simulators.bench.strangers import LOADS, Scene, measure
from framegate_simulators.forge.forge import Forge
from framegate_simulators.plant.processes import BIN
from framegate_simulators.process_readings import children_of, descriptors_of
from support.fleet_port import channel, credentials, invited
from support.founded import found_controller
from support.waiting import until

WAIT_S = 20.0
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def begun(running, fleet, forge, code: bytes, stub):
    """A challenge, its token, and what answers it."""
    hello = forge.hello(code)
    reply = await stub.Begin(pb.BeginRequest(hello=hello), timeout=WAIT_S)
    mac, evidence = await asyncio.to_thread(
        forge.answer, sha256(fleet.root.der), hello, reply.challenge
    )
    return reply.state, mac, evidence


async def reason_of(call) -> Reason:
    """Why a call is refused."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return from_rpc_error(caught.value, "").reason


async def test_a_machine_joins_and_comes_back_through_the_port(controller, maker):
    running, fleet = controller
    forge = invited(running, maker, Kind.CAMERA, "cam1", "z")
    async with channel(running, fleet, None, running.join_address) as opened:
        stub = rpc.JoinStub(opened)
        for code in (b"c" * 16, b""):
            state, mac, evidence = await begun(running, fleet, forge, code, stub)
            reply = await stub.Complete(evidence_parts(state, mac, evidence), timeout=WAIT_S)
            assert reply.state == "trusted" and reply.certificate
        methods = await rpc.SignInStub(opened).Methods(pb.SignInMethodsRequest(), timeout=WAIT_S)
        assert methods.fleet == "plant" and abs(methods.now_ms / 1000 - time.time()) < 60
        refused = rpc.SignInStub(opened).Password(
            pb.PasswordRequest(operator="nobody"), timeout=WAIT_S
        )
        assert await reason_of(refused) == Reason.CSR_KEY


async def test_n130_evidence_is_read_only_after_its_offer_and_no_further(controller, maker):
    running, fleet = controller
    forge = invited(running, maker, Kind.CAMERA, "cam1", "z")
    async with channel(running, fleet, None, running.join_address) as opened:
        stub = rpc.JoinStub(opened)

        async def complete(*parts: pb.EvidencePart) -> Reason:
            return await reason_of(stub.Complete(iter(parts), timeout=WAIT_S))

        state, mac, evidence = await begun(running, fleet, forge, b"c" * 16, stub)
        offer, *chunks = evidence_parts(state, mac, evidence)
        assert await complete() == Reason.MALFORMED
        assert await complete(*chunks) == Reason.MALFORMED
        made_up = pb.EvidencePart(
            offer=pb.EvidenceOffer(state=os.urandom(200), mac=mac, size=9, sha256=bytes(32))
        )
        assert await complete(made_up, *chunks) == Reason.SESSION_UNKNOWN
        # the right MAC, and other bytes than it promises: the challenge is answered by that
        assert await complete(offer, *chunks, chunks[0]) == Reason.TOO_LARGE
        assert await complete(offer, *chunks) == Reason.SESSION_UNKNOWN
        state, mac, evidence = await begun(running, fleet, forge, b"c" * 16, stub)
        offer, *chunks = evidence_parts(state, bytes(32), evidence)
        assert await complete(offer, *chunks) == Reason.MAC
        state, mac, evidence = await begun(running, fleet, forge, b"c" * 16, stub)
        reply = await stub.Complete(evidence_parts(state, mac, evidence), timeout=WAIT_S)
        assert reply.state == "trusted"


async def test_n130_large_messages_are_not_taken_in(controller):
    running, fleet = controller
    async with channel(running, fleet, None, running.join_address) as opened:
        stub = rpc.JoinStub(opened)
        big = pb.EvidencePart(chunk=bytes(MAX_MESSAGE_BYTES))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Complete(iter((big,)), timeout=WAIT_S)
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_n131_a_flood_with_a_machines_public_ek_is_its_senders(controller, maker):
    running, fleet = controller
    victim = invited(running, maker, Kind.CAMERA, "cam1", "z")
    async with channel(running, fleet, None, running.join_address) as opened:
        stub = rpc.JoinStub(opened)
        state, mac, evidence = await begun(running, fleet, victim, b"c" * 16, stub)
        assert (
            await stub.Complete(evidence_parts(state, mac, evidence), timeout=WAIT_S)
        ).state == "trusted"
        other = Forge(maker, victim.firmware)
        invitation = Invitation(
            kind=Kind.CAMERA,
            zone="z",
            name="cam2",
            profile="simulated-camera",
            ek_sha256=other.ek_sha256,
            code=b"d" * 16,
            life_s=60,
        )
        with running.store.writing() as tx:
            invite(tx, invitation)
        hello = victim.hello()
        seen = set()
        for _ in range(60):
            try:
                await stub.Begin(pb.BeginRequest(hello=hello), timeout=WAIT_S)
            except grpc.aio.AioRpcError as error:
                seen.add(from_rpc_error(error, "").reason)
        assert seen == {Reason.TOO_MANY_TRIES}
        # a ticket's holder at the very same address
        state, mac, evidence = await begun(running, fleet, other, b"d" * 16, stub)
        reply = await stub.Complete(evidence_parts(state, mac, evidence), timeout=WAIT_S)
        assert reply.state == "trusted"


async def test_n130_the_process_holds_no_database_and_has_limits_of_its_own(controller):
    running, _ = controller
    pid = running.join_port.pid
    assert pid and pid != os.getpid()
    with contextlib.suppress(PermissionError):  # who is not root may not look into it at all
        open_files = [file for _, file in descriptors_of(pid)]
        assert not [f for f in open_files if "registry" in f or "keys" in f]
    assert resource.prlimit(pid, resource.RLIMIT_DATA) == (MEMORY_BYTES, MEMORY_BYTES)
    assert resource.prlimit(pid, resource.RLIMIT_NOFILE)[0] >= DESCRIPTORS
    secret = running.fleet.keys.factor_key
    arguments = Path(f"/proc/{pid}/cmdline").read_bytes()
    assert secret not in arguments and b"PRIVATE KEY" not in arguments
    with contextlib.suppress(PermissionError):  # likewise
        environment = Path(f"/proc/{pid}/environ").read_bytes()
        assert secret not in environment and b"PRIVATE KEY" not in environment


async def test_n130_when_the_process_dies_another_takes_its_place(controller, maker):
    running, fleet = controller
    forge = invited(running, maker, Kind.CAMERA, "cam1", "z")
    first = running.join_port.pid
    os.kill(first, signal.SIGKILL)
    deadline = asyncio.get_running_loop().time() + WAIT_S
    while True:
        async with channel(running, fleet, None, running.join_address) as opened:
            stub = rpc.JoinStub(opened)
            try:
                state, mac, evidence = await begun(running, fleet, forge, b"c" * 16, stub)
                reply = await stub.Complete(evidence_parts(state, mac, evidence), timeout=WAIT_S)
                break
            except grpc.aio.AioRpcError:
                assert asyncio.get_running_loop().time() < deadline
    assert reply.state == "trusted" and running.join_port.pid not in {0, first}


async def test_n130_when_the_process_stands_still_another_takes_its_place(
    controller, maker, monkeypatch
):
    """It is alive and answers nobody; what was stopped ends by SIGKILL alone."""
    patience, read, said = joinport.MISSED_BEATS, joinport.JoinPort._read, []

    async def noted(port, *given):
        said.append(port.trouble)
        await read(port, *given)

    monkeypatch.setattr(joinport.JoinPort, "_read", noted)
    monkeypatch.setattr(joinport, "MISSED_BEATS", 1)
    running, fleet = controller
    forge = invited(running, maker, Kind.CAMERA, "cam1", "z")
    first = running.join_port.pid
    os.kill(first, signal.SIGKILL)  # the next one is given the patience of this test
    await until(lambda: running.join_port.pid not in {0, first})
    still = running.join_port.pid
    await until(lambda: not running.join_port.trouble)  # from then on it has little patience
    assert said == ["its process has not begun to serve"]
    os.kill(still, signal.SIGSTOP)
    monkeypatch.setattr(joinport, "MISSED_BEATS", patience)  # for the one that comes then
    await until(lambda: running.join_port.pid not in {0, still})
    await until(lambda: not running.join_port.trouble)
    async with channel(running, fleet, None, running.join_address) as opened:
        stub = rpc.JoinStub(opened)
        state, mac, evidence = await begun(running, fleet, forge, b"c" * 16, stub)
        reply = await stub.Complete(evidence_parts(state, mac, evidence), timeout=WAIT_S)
    assert reply.state == "trusted"
    with pytest.raises(ProcessLookupError):
        os.kill(still, 0)
    told = await asyncio.to_thread(restarts, running)
    assert [t["detail"] for t in told] == [joinport.ENDED], (
        "what follows within a minute is counted"
    )


def restarts(running: Controller) -> list[dict]:
    """What the record says of them."""
    query = EntryQuery(event="join-port-restarted", device="")
    with running.store.reading() as tx:
        entries = tx.log.entries(query, first=0, below=tx.log.size(), most=10)
    return [json.loads(e.entry) for e in entries]


async def test_n130_the_process_ends_with_its_controller(tmp_path):
    found_controller(tmp_path)
    running = Controller(ControllerSettings(state=tmp_path, join_port=0, fleet_port=0))
    await running.start()
    pid = running.join_port.pid
    await running.stop(0)
    assert not Path(f"/proc/{pid}").exists() and running.join_port.pid == 0


async def test_a_port_that_stands_still_is_told_and_so_is_one_that_came_back(controller):
    """By the health service on the fleet port, under the join port's name."""
    running, fleet = controller
    await until(lambda: running.join_port.last is not None)
    pair = credentials(fleet, "device-ca", Purpose.DEVICE, "camera.line-1.cam1")
    async with channel(running, fleet, pair) as opened:
        asked = health_pb2.HealthCheckRequest(service=JOIN)
        told = health_pb2_grpc.HealthStub(opened).Watch(asked, timeout=120)
        assert (await told.read()).status == SERVING
        pid = running.join_port.pid
        os.kill(pid, signal.SIGSTOP)
        await until(lambda: running.join_port.trouble)
        assert (await told.read()).status == NOT_SERVING
        assert (await told.read()).status == SERVING  # it was ended, and another serves
        told.cancel()
    assert running.join_port.pid not in {0, pid}


async def test_strangers_at_the_join_port_are_told_nothing_of_health(controller):
    running, fleet = controller
    async with channel(running, fleet, None, running.join_address) as opened:
        call = health_pb2_grpc.HealthStub(opened).Check(
            health_pb2.HealthCheckRequest(service=JOIN), timeout=WAIT_S
        )
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


async def test_n130_idle_connections_of_one_address_give_way(controller):
    running, fleet = controller
    host, port = running.join_address.split(":")
    silent = []
    for _ in range(MAX_CONNECTIONS_PREFIX + 100):
        silent.append(await asyncio.open_connection(host, int(port)))
    async with channel(running, fleet, None, running.join_address) as opened:
        call = rpc.JoinStub(opened).Begin(pb.BeginRequest(hello=b"x"), timeout=WAIT_S)
        assert await reason_of(call) == Reason.MALFORMED
        cut = await asyncio.wait_for(asyncio.gather(*(r.read() for r, _ in silent[:50])), WAIT_S)
        assert cut == [b""] * 50, "those that came first"
    for _, writer in silent:
        writer.close()


async def test_n130_half_a_handshake_is_cut_off(controller):
    running, _ = controller
    host, port = running.join_address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"\x16\x03\x01")
    assert await asyncio.wait_for(reader.read(), WAIT_S) == b""
    writer.close()


async def test_n130_heartbeats_wait_for_neither_store_nor_verification(
    controller, maker, monkeypatch
):
    """While no transaction can be read or written and every thread that verifies is busy."""
    from contextlib import contextmanager

    running, _ = controller
    service_bus = running.bus
    stuck = threading.Event()

    @contextmanager
    def never():
        stuck.wait(WAIT_S)
        raise OSError("let go")
        yield

    with service_bus.feed("line-1") as feed:
        monkeypatch.setattr(running.store, "reading", never)
        monkeypatch.setattr(running.store, "writing", never)
        publishing = asyncio.create_task(service_bus.publish(()))
        for _ in range(5):
            assert await feed.next(0.1) is None
            assert feed.heartbeat().now_ms
        assert not publishing.done(), "the store is waited for, by whoever publishes alone"
        stuck.set()
        with pytest.raises(OSError, match="let go"):
            await publishing


def test_n130_a_controller_that_was_killed_is_followed_by_the_next_at_once(tmp_path):
    """Its process at the join port does not keep the port, however long it would have lived."""
    found_controller(tmp_path)
    ready = tmp_path / "ready.json"
    argv = ["--state", tmp_path, "--join-port", "0", "--fleet-port", "0", "--ready-file", ready]
    first = started(argv, ready)
    ports = [json.loads(ready.read_text())[p].split(":")[1] for p in ("join", "fleet")]
    children = children_of(first.pid)
    assert children
    for pid in children:  # it could not even notice by itself that its controller is gone
        os.kill(pid, signal.SIGSTOP)
    first.kill()
    first.wait()
    argv[3], argv[5] = ports
    again = started(argv, ready)
    assert json.loads(ready.read_text())["join"].endswith(f":{ports[0]}")
    again.terminate()
    assert again.wait(60) == 0


def started(argv: list, ready: Path) -> subprocess.Popen:
    """A controller that is ready."""
    ready.unlink(missing_ok=True)
    command = [BIN / "framegate-controller", "run", *argv]
    process = subprocess.Popen([str(a) for a in command], stderr=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while not ready.exists():
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.05)
    return process


def test_n130_a_port_that_is_taken_is_said(tmp_path):
    found_controller(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = ControllerSettings(
            state=tmp_path, join_port=taken.getsockname()[1], fleet_port=0
        )
        running = Controller(settings)

        async def start() -> None:
            try:
                await running.start()
            finally:
                await running.stop(0)

        with pytest.raises(Exception, match="free to listen on"):
            asyncio.run(start())


@pytest.mark.alone
def test_n130_n132_all_loads_at_once_delay_no_feed_and_no_sound_camera(tmp_path):
    """Strangers' Hellos with made-up and known EKs, 6 MiB messages, silent calls, 2,000 idle
    connections and a suspect machine's largest evidence, all from the camera's own address.
    """
    seen = measure(Scene(tmp_path), seconds=15.0)
    figures = seen.figures()
    assert figures["gates_closed"] == 0 and figures["longest_feed_silence_s"] <= 1.2, figures
    assert seen.rejoins and figures["slowest_rejoin_s"] <= 5.0, figures
    assert figures["memory_grew_mib"]["controller"] <= 64, figures
    assert set(seen.loads) == set(LOADS)
    assert seen.loads["heavy"].get("too-many-tries"), "its share is used up"
