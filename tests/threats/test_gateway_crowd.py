"""N246: connections that say nothing at a gateway's port or a model server's give way to whoever
comes, and whoever has a call under way to nobody.
"""

import asyncio
import socket

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.identity.certificates import Purpose
from framegate_gateway.backend import process as backend
from framegate_gateway.ports import options
from framegate_proto.call_context import OutlivingContexts
from framegate_proto.port_crowd import Crowd, Crowds, _called, _Connection, _named
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc
from framegate_simulators.fixtures.camera import SoftwareCamera
from framegate_simulators.fixtures.gateway import warranted
from support.fleet_port import credentials
from support.waiting import until

MOST, KEPT = 24, 16
WAIT_S = 30.0


class Talk(rpc.FramesServicer):
    """Answers a stream's first message, and keeps the stream."""

    async def Stream(self, request_iterator, context):
        while await context.read() is not grpc.aio.EOF:
            await context.write(pb.GatewayMessage(offer=b"x"))


class Port:
    """A port for cameras with a few places, and whoever comes to it."""

    def __init__(self, fleet, folder) -> None:
        self.fleet, self.crowd = fleet, Crowd(KEPT, MOST)
        few = dict(options.SERVER_OPTIONS) | {
            "grpc.max_allowed_incoming_connections": MOST,
            "grpc.server_handshake_timeout_ms": 600_000,  # silence ends nobody here
        }
        beside = (OutlivingContexts(), self.crowd.interceptor())
        self.server = grpc.aio.server(options=tuple(few.items()), interceptors=beside)
        rpc.add_FramesServicer_to_server(Talk(), self.server)
        camera = SoftwareCamera(folder, fleet).certificate
        keys, _ = warranted(fleet, camera, bytes(32))
        clients = fleet.issuing["device-ca"].pem
        tls = grpc.ssl_server_credentials([keys.chain_pem()], clients, require_client_auth=True)
        self.crowd.port = self.server.add_secure_port("127.0.0.1:0", tls)
        self.crowds, self.opened = Crowds([self.crowd]), []

    def stranger(self, source: str = "127.0.0.1") -> None:
        """One that says nothing."""
        at = ("127.0.0.1", self.crowd.port)
        self.opened.append(socket.create_connection(at, WAIT_S, (source, 0)))

    async def camera(self, name: str):
        """A camera's channel and its stream, on which one message was answered."""
        pair = credentials(self.fleet, "device-ca", Purpose.DEVICE, f"camera.line-1.{name}")
        ca = self.fleet.issuing["gateway-ca"].pem
        channel = grpc.aio.secure_channel(
            f"127.0.0.1:{self.crowd.port}",
            grpc.ssl_channel_credentials(ca, *pair),
            options=(
                ("grpc.use_local_subchannel_pool", 1),
                ("grpc.ssl_target_name_override", "gw1.line-1.gateway.framegate"),
            ),
        )
        stream = rpc.FramesStub(channel).Stream(wait_for_ready=True)
        await said(stream)
        return channel, stream


async def said(stream) -> None:
    """That a message on it is answered."""
    async with asyncio.timeout(WAIT_S):
        await stream.write(pb.CameraMessage())
        answer = await stream.read()
    assert answer is not grpc.aio.EOF and answer.offer == b"x"


@pytest.fixture
async def port(keys, tmp_path):
    made = Port(keys, tmp_path)
    await made.server.start()
    looking = asyncio.create_task(made.crowds.keep_room())
    yield made
    looking.cancel()
    for each in made.opened:
        each.close()
    await made.server.stop(0)


@pytest.mark.parametrize("source", ["127.0.0.1", "127.9.9.9"], ids=["its address", "another"])
async def test_n246_silent_connections_keep_no_returning_camera_out(port, source):
    first, stream = await port.camera("cam1")
    for _ in range(2 * MOST):
        port.stranger(source)
    back, again = await port.camera("cam2")
    await said(again)
    await said(stream)
    await back.close()
    assert port.crowd.turned_out >= MOST - KEPT
    await first.close()


async def test_n246_whoever_has_a_call_under_way_gives_way_to_nobody(port):
    cameras = [await port.camera(f"cam{n}") for n in range(KEPT + 2)]
    before = port.crowd.turned_out
    for _ in range(MOST):
        port.stranger()
    await until(lambda: port.crowd.turned_out > before)
    for _, stream in cameras:
        await said(stream)
    for channel, _ in cameras:
        await channel.close()


def crowd(calls=(), most: int = KEPT, places: int = 0) -> Crowd:
    made = Crowd(most, places or most)
    made._calls.update(calls)
    return made


def at(*peers: str) -> list[_Connection]:
    return [_Connection(n, n, 1, peer, n) for n, peer in enumerate(peers)]


def test_n246_the_network_that_has_most_quiet_ones_gives_way_its_oldest_first():
    many = [f"192.0.2.1:{n}" for n in range(5)]
    few = [f"192.0.2.2:{n}" for n in range(2)]
    of_a_64 = [f"[2001:db8::{n}]:7" for n in range(1, 8)]
    gone = crowd(most=10).giving_way(at(*few, *many, *of_a_64))
    assert [c.peer for c in gone] == [*of_a_64[:2], many[0], of_a_64[2]]


def test_n246_of_connections_that_call_none_goes_however_many_there_are():
    peers = [f"192.0.2.1:{n}" for n in range(KEPT + 5)]
    assert not crowd(peers).giving_way(at(*peers))
    assert [c.peer for c in crowd(peers[1:]).giving_way(at(*peers))] == peers[:1]


def test_n246_one_that_was_ended_is_not_ended_again_and_counts_no_more():
    there = at(*[f"192.0.2.1:{n}" for n in range(KEPT + 1)])
    there[3].ended = True
    assert not crowd().giving_way(there)


def test_n246_where_those_that_call_are_many_a_newcomer_has_time_for_its_handshake():
    """As many as half of the places that are left; else it would be ended at the next look."""
    calling = [f"192.0.2.1:{n}" for n in range(KEPT + 4)]
    silent = [f"192.0.2.{n}:1" for n in range(2, 6)]
    full = crowd(calling, places=MOST)
    assert not full.giving_way(at(*calling, *silent[:2]))
    assert [c.peer for c in full.giving_way(at(*calling, *silent))] == silent[:2]


@given(
    st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=40),
    st.integers(1, 20),
    st.integers(0, 20),
)
def test_n246_as_many_give_way_as_have_to_and_can(those, most, more):
    peers = [f"192.0.2.{net}:{n}" for n, (net, _) in enumerate(those)]
    calling = [p for p, (_, calls) in zip(peers, those, strict=True) if calls]
    gone = crowd(calling, most, most + more).giving_way(at(*peers))
    silent = len(peers) - len(calling)
    stay = max(0, most - len(calling), (most + more - len(calling)) // 2)
    assert len(gone) == max(0, silent - stay)
    assert not {c.peer for c in gone} & set(calling) and len({c.peer for c in gone}) == len(gone)


@pytest.mark.parametrize(
    ("called", "named"),
    [
        ("ipv4:127.0.0.1:5000", ("127.0.0.1", 5000)),
        ("ipv4:127.0.0.1:5000", ("::ffff:127.0.0.1", 5000)),
        ("ipv6:%5B::1%5D:5000", ("::1", 5000)),
        ("ipv6:%5Bfe80::1%25eth0%5D:5000", ("fe80::1%eth0", 5000)),
    ],
)
def test_n246_a_peer_has_one_name_by_grpc_and_by_its_socket(called, named):
    assert _called(called) == _named(*named)


def test_n246_every_port_has_places_left_for_whoever_comes():
    for module in (options, backend):
        assert module.CROWDED < module.MAX_CONNECTIONS
        most = dict(module.SERVER_OPTIONS)["grpc.max_allowed_incoming_connections"]
        assert most == module.MAX_CONNECTIONS
