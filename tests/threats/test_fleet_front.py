"""N84, N130, N225: strangers at the fleet port are counted and cut off before TLS, as at the join
port; who has shown a certificate and calls gives way to nobody, and has no more than a share.
"""

import asyncio
import contextlib
import functools
import resource
import socket
import ssl
import struct

import grpc
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import Reason, Unavailable
from framegate.identity.certificates import Purpose
from framegate.identity.names import Kind
from framegate.identity.pem import private_pem
from framegate_controller.server import Controller
from framegate_controller.settings import ControllerSettings
from framegate_proto.caller_share import CallerShare, CallerShares
from framegate_proto.edge import from_rpc_error
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc
from support.fleet_port import channel, credentials, invited, joined
from support.founded import found_controller
from support.waiting import until

WAIT_S = 30.0
FEW = 8
"""Connections of this test's fleet port."""
SHARE = 3
"""Calls of one key at once there."""


@pytest.fixture
async def small(tmp_path):
    """A controller whose fleet port takes few connections at once, and the keys of its fleet."""
    fleet = found_controller(tmp_path)
    settings = ControllerSettings(state=tmp_path, join_port=0, fleet_port=0, fleet_connections=FEW)
    running = Controller(settings)
    await running.start()
    yield running, fleet
    await running.stop(0)


async def strangers(running: Controller, count: int, source: str = "") -> list:
    """Connections that say nothing."""
    host, port = running.fleet_address.split(":")
    local = (source, 0) if source else None
    return [await asyncio.open_connection(host, int(port), local_addr=local) for _ in range(count)]


async def watching(opened: grpc.aio.Channel):
    """A machine's watch, after its first event."""
    watch = rpc.FleetStub(opened).Watch(pb.WatchRequest())
    assert (await asyncio.wait_for(watch.read(), WAIT_S)) is not grpc.aio.EOF
    return watch


@pytest.fixture
async def camera(small, maker):
    """A small fleet port, and key and chain of a camera that joined."""
    running, fleet = small
    forge = await asyncio.to_thread(invited, running, maker, Kind.CAMERA, "cam1", "z")
    answer = await asyncio.to_thread(joined, running, forge, b"c" * 16)
    chain = answer.certificate.public_bytes(Encoding.PEM) + fleet.issuing["device-ca"].pem
    return running, fleet, (private_pem(forge.tls.private), chain)


@pytest.fixture
async def watched(camera):
    """A camera that watches at a small fleet port."""
    running, fleet, pair = camera
    async with channel(running, fleet, pair) as opened:
        yield running, fleet, await watching(opened)


@pytest.fixture
def small_share(monkeypatch):
    """What is set before a controller makes its server."""
    share = CallerShare(SHARE)
    made = functools.partial(CallerShares, share)
    monkeypatch.setattr("framegate_controller.rpc.fleet_front.CallerShares", made)
    return share


@pytest.mark.parametrize("source", ["", "127.9.9.9"], ids=["its address", "another address"])
async def test_n130_strangers_at_the_fleet_port_give_way_and_a_watch_does_not(watched, source):
    running, fleet, watch = watched
    silent = await strangers(running, 5 * FEW, source)
    cut = [r.read() for r, _ in silent[: 4 * FEW]]
    assert await asyncio.wait_for(asyncio.gather(*cut), WAIT_S) == [b""] * (4 * FEW)
    assert running.front.connections.count <= FEW
    for _ in range(3):
        event = await asyncio.wait_for(watch.read(), WAIT_S)
        assert event is not grpc.aio.EOF, "the heartbeats go on"
    pair = credentials(fleet, "operator-ca", Purpose.OPERATOR, "operator.anna")
    async with channel(running, fleet, pair) as opened:  # somebody new gets in among them
        call = rpc.OperatorStub(opened).WhoAmI(pb.WhoAmIRequest(), timeout=WAIT_S)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call
    assert from_rpc_error(refused.value, "").reason == Reason.SIGNED_OUT, "and is answered"
    for _, writer in silent:
        writer.close()


async def test_n225_one_machine_does_not_fill_the_fleet_port(small_share, camera):
    """However many connections it opens, with a watch on each, which gives way to nobody."""
    running, fleet, pair = camera
    async with contextlib.AsyncExitStack() as held:
        for number in range(2 * FEW):
            opened = await held.enter_async_context(channel(running, fleet, pair))
            if number < SHARE:
                await watching(opened)
                continue
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await watching(opened)
            assert from_rpc_error(refused.value, "").reason == Reason.TOO_MANY_TRIES
        other = credentials(fleet, "operator-ca", Purpose.OPERATOR, "operator.anna")
        opened = await held.enter_async_context(channel(running, fleet, other))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await rpc.OperatorStub(opened).WhoAmI(pb.WhoAmIRequest(), timeout=WAIT_S)
        assert from_rpc_error(refused.value, "").reason == Reason.SIGNED_OUT, "it is answered"


async def test_n225_what_ended_is_given_back(small_share, camera):
    running, fleet, pair = camera
    for _ in range(3 * SHARE):
        async with channel(running, fleet, pair) as opened:
            watch = await watching(opened)
            watch.cancel()
        await until(lambda: small_share.under_way == 0)


async def test_n84_half_a_handshake_at_the_fleet_port_is_cut_off(small):
    running, _ = small
    ((reader, writer),) = await strangers(running, 1)
    writer.write(b"\x16\x03\x01")
    assert await asyncio.wait_for(reader.read(), WAIT_S) == b""
    writer.close()
    await until(lambda: running.front.connections.count == 0)


async def test_n130_whoever_goes_past_the_front_is_served_nothing(small, maker):
    """A process of the controller's host that finds the server's own port."""
    running, fleet = small
    pair = credentials(fleet, "operator-ca", Purpose.OPERATOR, "operator.anna")
    inner = f"127.0.0.1:{running.inner_port}"
    async with channel(running, fleet, pair, inner) as opened:
        for call in (
            rpc.OperatorStub(opened).WhoAmI(pb.WhoAmIRequest(), timeout=WAIT_S),
            rpc.FleetStub(opened).Begin(pb.BeginRequest(), timeout=WAIT_S),
            rpc.FleetStub(opened).Watch(pb.WatchRequest(), timeout=WAIT_S).read(),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call
            assert from_rpc_error(refused.value, "").reason == Reason.UNAUTHENTICATED


async def test_n130_connections_that_are_reset_leave_no_place_taken(small):
    running, _ = small
    for _ in range(2 * FEW):
        with socket.create_connection(running.fleet_address.split(":"), 5) as connection:
            linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    await until(lambda: running.front.connections.count == 0)


async def test_a_controller_that_may_not_have_so_many_files_does_not_start(tmp_path, monkeypatch):
    """And says how many it needs."""
    found_controller(tmp_path)
    settings = ControllerSettings(state=tmp_path, join_port=0, fleet_port=0, fleet_connections=5000)
    running = Controller(settings)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1_024, 8_192))
    with pytest.raises(Unavailable, match=r"17048 open files allowed for the fleet port.*8192"):
        await running.start()
    await running.stop(0)


def frame(kind: int, flags: int, stream: int, body: bytes = b"") -> bytes:
    """Of HTTP/2 (RFC 9113, 4.1)."""
    return len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + body


def header(name: bytes, value: bytes) -> bytes:
    """As it stands, in no table (RFC 7541, 6.2.2)."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


async def answer_over(
    version: ssl.TLSVersion, port: int, pair: tuple[bytes, bytes], folder
) -> bytes:
    """What a call is answered with whose connection has this TLS: all that comes until its end."""
    for name, content in zip(("key", "chain"), pair, strict=True):
        (folder / name).write_bytes(content)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    tls.maximum_version = version
    tls.load_cert_chain(folder / "chain", folder / "key")
    tls.set_alpn_protocols(["h2"])
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
    headers = {
        b":method": b"POST",
        b":scheme": b"https",
        b":path": b"/framegate_proto.v1.Operator/WhoAmI",
        b":authority": b"controller",
        b"te": b"trailers",
        b"content-type": b"application/grpc",
    }
    called = b"".join(header(name, value) for name, value in headers.items())
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0) + frame(1, 4, 1, called))
    writer.write(frame(0, 1, 1, bytes(5)))
    seen = b""
    async with asyncio.timeout(WAIT_S):
        while b"grpc-status" not in seen:
            more = await reader.read(65_536)
            assert more, "it was answered"
            seen += more
    writer.close()
    return seen


async def test_n80_whoever_comes_with_an_older_tls_is_refused_in_words(small, tmp_path, caplog):
    running, fleet = small
    pair = credentials(fleet, "operator-ca", Purpose.OPERATOR, "operator.anna")
    port = int(running.fleet_address.rpartition(":")[2])
    old = await answer_over(ssl.TLSVersion.TLSv1_2, port, pair, tmp_path)
    assert b"unauthenticated" in old and b"Unexpected" not in old
    assert "Traceback" not in caplog.text
    new = await answer_over(ssl.TLSVersion.TLSv1_3, port, pair, tmp_path)
    assert b"signed-out" in new
