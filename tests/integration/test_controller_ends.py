"""A controller that has ended leaves nothing behind in the program that ran it."""

import asyncio
import threading

import grpc
import pytest

from framegate.errors import Reason
from framegate.identity.names import Kind
from framegate.wire import sha256
from framegate_controller.server import Controller
from framegate_controller.settings import ControllerSettings
from framegate_proto.edge import evidence_parts, from_rpc_error
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc
from framegate_simulators.fixtures.access import certificate_request
from support.fleet_port import channel, invited
from support.founded import found_controller

WAIT_S = 20.0
OF_THE_PROGRAM = ("asyncio_", "_poll_wrapper")
"""In names of threads: of its event loop, and of gRPC's, of which all its servers use one."""


async def join(running, fleet, forge):
    """As a new machine does, whom a change of the registry is told of."""
    async with channel(running, fleet, None, running.join_address) as opened:
        stub = rpc.JoinStub(opened)
        hello = forge.hello(b"c" * 16)
        begun = await stub.Begin(pb.BeginRequest(hello=hello), timeout=WAIT_S)
        mac, evidence = await asyncio.to_thread(
            forge.answer, sha256(fleet.root.der), hello, begun.challenge
        )
        reply = await stub.Complete(evidence_parts(begun.state, mac, evidence), timeout=WAIT_S)
        assert reply.state == "trusted"


async def sign_in(running, fleet):
    """As somebody whom nobody knows."""
    async with channel(running, fleet, None, running.join_address) as opened:
        asked = pb.PasswordRequest(
            operator="nobody", password="none", code="1", csr=certificate_request()
        )
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await rpc.SignInStub(opened).Password(asked, timeout=WAIT_S)
        assert from_rpc_error(caught.value, "").reason == Reason.SIGN_IN


async def test_no_thread_is_left(tmp_path, maker):
    fleet, before = found_controller(tmp_path), set(threading.enumerate())
    running = Controller(ControllerSettings(state=tmp_path, join_port=0, fleet_port=0))
    await running.start()
    await join(running, fleet, invited(running, maker, Kind.CAMERA, "cam1", "z"))
    await sign_in(running, fleet)
    own = {t.name.rpartition("_")[0] for t in set(threading.enumerate()) - before}
    assert {"bus", "password"} <= own
    await running.stop(0)
    left = {t.name for t in set(threading.enumerate()) - before}
    assert not [name for name in left if not any(part in name for part in OF_THE_PROGRAM)]
