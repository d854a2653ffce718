"""The relay before a server of this host."""

import asyncio
import socket

from framegate_controller.joinport.connections import Connections
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
