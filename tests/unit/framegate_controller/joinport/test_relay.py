"""The relay before a server of this host."""

import asyncio
import contextlib
import socket
import time

import pytest

from framegate_controller.joinport.connections import Connections
from framegate_controller.joinport.limits import SILENCE_S
from framegate_controller.joinport.relay import Relay
from support.waiting import until


async def test_it_ends_while_peers_are_connected_and_they_with_it():
    listener = socket.create_server(("127.0.0.1", 0))
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
    relay = Relay(Connections(8), server.sockets[0].getsockname()[1])
    serving = asyncio.create_task(relay.serve(listener))
    reader, writer = await asyncio.open_connection(*listener.getsockname())
    await until(lambda: any(end.other is not None for end in relay._ends))
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    assert await reader.read() == b"" and not relay._ends
    writer.close()
    server.close()


async def test_what_came_before_the_server_was_reached_goes_first(monkeypatch):
    """Python 3.11.2 reads on although the transport was paused when it was made."""
    loop, gate, got = asyncio.get_running_loop(), asyncio.Event(), bytearray()

    class Server(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            got.extend(data)

    listener = socket.create_server(("127.0.0.1", 0))
    server = await loop.create_server(Server, "127.0.0.1", 0)
    relay = Relay(Connections(8), server.sockets[0].getsockname()[1])
    serving = asyncio.create_task(relay.serve(listener))
    _, writer = await asyncio.open_connection(*listener.getsockname())
    real = loop.create_connection

    async def slow(*given, **more):
        await gate.wait()
        return await real(*given, **more)

    monkeypatch.setattr(loop, "create_connection", slow)
    await until(lambda: relay._joining)
    (end,) = relay._ends
    end.pass_on(b"hello, ")
    writer.write(b"server")
    gate.set()
    await until(lambda: len(got) == 13)
    assert bytes(got) == b"hello, server"
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    writer.close()
    server.close()


async def test_who_was_on_their_way_in_is_let_go_with_it(monkeypatch):
    never = asyncio.Event()
    loop = asyncio.get_running_loop()
    listener = socket.create_server(("127.0.0.1", 0))
    relay = Relay(Connections(8), 1)
    serving = asyncio.create_task(relay.serve(listener))
    real = loop.create_connection

    async def slow(*given, **more):
        await never.wait()

    transport, _ = await real(asyncio.Protocol, *listener.getsockname())
    monkeypatch.setattr(loop, "create_connection", slow)
    await until(lambda: relay._joining)
    (joining,) = relay._joining
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    assert joining.cancelled() and not relay._joining
    transport.close()


@pytest.mark.parametrize(("calls", "stays"), [(1, True), (0, False)])
async def test_who_watches_in_silence_stays_where_calls_are_not_cut(calls, stays):
    """At the fleet port a machine that watches says nothing for minutes."""
    assert await _is_there_after_a_sweep(cut_calls=False, calls=calls) is stays


async def test_at_the_join_port_it_is_cut():
    assert await _is_there_after_a_sweep(cut_calls=True, calls=1) is False


async def _is_there_after_a_sweep(*, cut_calls: bool, calls: int) -> bool:
    listener = socket.create_server(("127.0.0.1", 0))
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
    relay = Relay(Connections(8), server.sockets[0].getsockname()[1], cut_calls=cut_calls)
    serving = asyncio.create_task(relay.serve(listener))
    _, writer = await asyncio.open_connection(*listener.getsockname())
    await until(lambda: any(end.other is not None for end in relay._ends))
    (end,) = relay._ends
    with contextlib.ExitStack() as under_way:
        for _ in range(calls):
            under_way.enter_context(end.connection.calling())
        relay._sweep(time.monotonic() + SILENCE_S + 1)
        await asyncio.sleep(0)
        there = not end.transport.is_closing()
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    writer.close()
    server.close()
    return there
