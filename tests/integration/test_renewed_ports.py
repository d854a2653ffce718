"""A controller that runs for longer than its certificate lives: each of its ports shows the next
one to new connections, and nobody who is connected is cut off.
"""

import asyncio
import contextlib
import ssl
import time
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from cryptography import x509

from framegate.identity.certificates import Purpose
from framegate_controller import server as controller_server
from framegate_controller.bundleport import port as bundle_port
from framegate_controller.ca.server_pair import RenewedPair
from framegate_controller.ca.template import LIVES
from framegate_controller.federation import showing
from framegate_controller.server import Controller
from framegate_controller.settings import ControllerSettings
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc
from support.fleet_port import channel
from support.founded import found_controller

WAIT_S = 60.0


class Clock:
    """As pairs see it."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()

    def pair(issue, keys):
        return RenewedPair(issue, keys, clock)

    for module in (controller_server, showing):
        monkeypatch.setattr(module, "RenewedPair", pair)
    monkeypatch.setattr(bundle_port, "RENEWED_S", 0.05)
    return clock


def shown(address: str) -> int:
    """The serial number of the certificate at a port; its owner is whoever it is."""
    host, _, port = address.rpartition(":")
    pem = ssl.get_server_certificate((host, int(port)), timeout=WAIT_S)
    return x509.load_pem_x509_certificate(pem.encode()).serial_number


def another(address: str, first: int) -> int:
    """What a port shows once it is another than `first`; whoever comes while the bundle's process
    is exchanged may have to come again.
    """
    ends = time.monotonic() + WAIT_S
    while time.monotonic() < ends:
        with contextlib.suppress(OSError):
            if (now := shown(address)) != first:
                return now
    raise TimeoutError(address)


async def test_each_port_shows_the_next_certificate_while_it_serves(tmp_path, clock):
    fleet = found_controller(tmp_path)
    running = Controller(
        ControllerSettings(state=tmp_path, join_port=0, fleet_port=0, bundle_at="127.0.0.1:0")
    )
    await running.start()
    try:
        join, inner = running.join_address, f"127.0.0.1:{running.inner_port}"
        bundle = f"127.0.0.1:{running.bundle.port}"
        places = (join, inner, bundle)
        first = [await asyncio.to_thread(shown, place) for place in places]
        assert [await asyncio.to_thread(shown, place) for place in places] == first
        pid, bundle_pid = running.join_port.pid, running.bundle.pid
        async with channel(running, fleet, None, join) as opened:
            stub = rpc.SignInStub(opened)
            before = await stub.Methods(pb.SignInMethodsRequest(), timeout=WAIT_S)
            clock.ahead = LIVES[Purpose.SERVER] * 0.9
            second = [
                await asyncio.to_thread(another, *pair) for pair in zip(places, first, strict=True)
            ]
            after = await stub.Methods(pb.SignInMethodsRequest(), timeout=WAIT_S)
            assert (before.fleet, opened.get_state()) == (
                after.fleet,
                grpc.ChannelConnectivity.READY,
            )
        assert second[0] == second[1] != second[2]
        assert running.join_port.pid == pid, "joining goes on in the same process"
        assert running.bundle.pid not in {0, bundle_pid}
    finally:
        await running.stop(0)
