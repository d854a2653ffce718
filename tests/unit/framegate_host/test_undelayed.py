"""Whoever connects to a port of ours is answered at once, however small the answer."""

import asyncio
import socket
import threading

import pytest

from framegate_console.server import listening_at
from framegate_controller.joinport.connections import Connections
from framegate_controller.joinport.relay import Relay
from framegate_controller.rpc.listening import listen
from framegate_host.undelayed import undelayed


def accepted(listening: socket.socket) -> int:
    """Whether a connection that it takes sends at once."""
    with socket.create_connection(listening.getsockname()[:2]), listening.accept()[0] as taken:
        return taken.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_connection_has_what_the_listening_socket_has():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        assert not accepted(listening)
        assert accepted(undelayed(listening))


@pytest.mark.parametrize("family", ["127.0.0.1", "::1"])
async def test_ports_of_a_controller_and_of_its_console_send_at_once(family):
    with await listen(family, 0) as listening:
        assert await asyncio.to_thread(accepted, listening)
    with listening_at(f"[{family}]:0" if ":" in family else f"{family}:0") as listening:
        assert await asyncio.to_thread(accepted, listening)


async def test_what_comes_through_the_front_is_not_held_until_what_went_before_is_acknowledged():
    """Both ends of the front, as it makes them."""
    ends: list[int] = []

    class Watched(Relay):
        def join(self, end) -> None:
            ends.append(no_delay(end.transport))
            super().join(end)

    server = socket.create_server(("127.0.0.1", 0))
    inner = threading.Event()

    def serve() -> None:
        server.accept()[0].close()
        inner.set()

    threading.Thread(target=serve, daemon=True).start()
    relay = Watched(Connections(), server.getsockname()[1])
    listening = await listen("127.0.0.1", 0)
    serving = asyncio.create_task(relay.serve(listening))
    await relay.accepting.wait()
    _, writer = await asyncio.open_connection(*listening.getsockname())
    assert await asyncio.to_thread(inner.wait, 30.0)
    assert ends == [1]
    writer.close()
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    server.close()


def no_delay(transport: asyncio.Transport) -> int:
    there = transport.get_extra_info("socket")
    return int(there.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
