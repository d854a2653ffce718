"""The process at the join port: `python -m framegate_controller.joinport.process LISTENER LINE`.

It is given a listening socket and its end of a pair of sockets, and ends with the controller.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import signal
import socket
import sys
from collections.abc import Iterator
from typing import Final

import grpc

from framegate.errors import Unavailable
from framegate_controller.joinport import limits
from framegate_controller.joinport.connections import Connections
from framegate_controller.joinport.controller_line import ControllerLine
from framegate_controller.joinport.messages import (
    BEAT,
    MAX_TO_PORT,
    READY,
    REFUSALS,
    PortBeat,
)
from framegate_controller.joinport.refusals import RefusalCount
from framegate_controller.joinport.relay import LOOPBACK, Relay
from framegate_controller.joinport.service import Edge, JoinEdge, SignInEdge
from framegate_controller.joinport.turnstile import Turnstile
from framegate_host.cages import JOIN_PORT
from framegate_host.child_process import UNCONFINED
from framegate_host.confinement import (
    EXIT_UNCONFINED,
    Confinement,
    Paths,
    end_with_parent,
    interpreter_paths,
    machine_paths,
)
from framegate_host.descriptors import require_descriptors
from framegate_host.logs import start_logging
from framegate_proto.call_context import OutlivingContexts
from framegate_proto.server_tls import ChangingTls, ServerTls
from framegate_proto.v1 import framegate_pb2_grpc as rpc

log = logging.getLogger(__name__)
_STANDARD: Final = (0, 1, 2)
WINDOW_BYTES: Final = 64 * 1024
"""What a peer may send on a stream before it is read: more would be memory that nobody granted."""
OPTIONS: Final = (
    ("grpc.max_receive_message_length", limits.MAX_MESSAGE_BYTES),
    ("grpc.max_metadata_size", limits.MAX_HEADERS),
    ("grpc.max_concurrent_streams", limits.MAX_STREAMS),
    ("grpc.max_connection_idle_ms", limits.IDLE_MS),
    ("grpc.max_connection_age_ms", limits.AGE_MS),
    ("grpc.max_connection_age_grace_ms", limits.GRACE_MS),
    ("grpc.server_handshake_timeout_ms", limits.HANDSHAKE_MS),
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", WINDOW_BYTES),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.so_reuseport", 0),
)


def main() -> None:
    """Serve until the controller is gone."""
    end_with_parent()  # a listener that outlives its controller keeps the next one off the port
    listener, line = (socket.socket(fileno=int(number)) for number in sys.argv[1:3])
    start_logging(verbose=False)
    confinement = Confinement(JOIN_PORT, required=UNCONFINED not in sys.argv)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the group; the controller ends us
    require_descriptors(limits.DESCRIPTORS, "the join port")
    resource.setrlimit(resource.RLIMIT_DATA, (limits.MEMORY_BYTES, limits.MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        with loopback_port(confinement, (listener, line)) as port:
            asyncio.run(serve(listener, line, port, confinement))
    except Unavailable as error:
        log.error("%s", error)
        sys.exit(EXIT_UNCONFINED)
    except (asyncio.IncompleteReadError, ConnectionError):
        log.info("the controller is gone")


@contextlib.contextmanager
def loopback_port(
    confinement: Confinement, kept: tuple[socket.socket, socket.socket]
) -> Iterator[int]:
    """A port of this host's loopback, the only one that TCP leads to from here on; the file system
    ends at our interpreter. Files and ports are closed for one thread and those it starts, and
    gRPC starts some with its server: the port is chosen before there is one, and held until then.
    """
    confinement.isolate((*_STANDARD, *(one.fileno() for one in kept)))
    end_with_parent()  # once more: another user namespace forgets it
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind((LOOPBACK, 0))
        port = int(held.getsockname()[1])
        confinement.close_paths(
            Paths(read=(*interpreter_paths(), *machine_paths())), (port,), own=(port,)
        )
        yield port


async def serve(
    listener: socket.socket, line_socket: socket.socket, port: int, confinement: Confinement
) -> None:
    """Until the controller is gone, with a server behind at `port`. Raises IncompleteReadError,
    ConnectionError then, Unavailable (UNCONFINED).
    """
    reader, writer = await asyncio.open_connection(sock=line_socket, limit=MAX_TO_PORT)
    line = ControllerLine(reader, writer)
    setup = await line.setup()
    connections, refusals = Connections(), RefusalCount()
    edge = Edge(connections, refusals, Turnstile(), line, setup)
    under_way = [0]
    server = _server(edge, line, under_way, port)
    await server.start()
    relay = Relay(connections, port)
    async with asyncio.TaskGroup() as tasks:
        answers = tasks.create_task(_until_gone(line))
        relaying = tasks.create_task(relay.serve(listener))
        reporting = tasks.create_task(_report(refusals, line))
        beating = tasks.create_task(_beat(line, connections, under_way))
        await relay.accepting.wait()
        confinement.close_calls()
        say = log.warning if confinement.lacking else log.info
        say("%s: %s", confinement.cage.name, confinement.isolation)
        await line.tell(READY)
        await answers
        relaying.cancel()
        reporting.cancel()
        beating.cancel()
        await server.stop(0)


async def _until_gone(line: ControllerLine) -> None:
    try:
        await line.run()
    except (asyncio.IncompleteReadError, ConnectionError):
        log.info("the controller is gone")


def _server(edge: Edge, line: ControllerLine, under_way: list[int], port: int) -> grpc.aio.Server:
    """The server behind the relay, at a port on this host's loopback. Raises RuntimeError."""

    def now() -> ServerTls:
        return ServerTls(line.pair.key, line.pair.chain, clients=None)

    server = grpc.aio.server(options=OPTIONS, interceptors=(OutlivingContexts(),))
    rpc.add_JoinServicer_to_server(JoinEdge(edge, under_way), server)
    server.add_generic_rpc_handlers((SignInEdge(edge, under_way).handler(),))
    server.add_secure_port(f"{LOOPBACK}:{port}", ChangingTls(now).credentials())
    return server


async def _beat(line: ControllerLine, connections: Connections, under_way: list[int]) -> None:
    """Say that this loop turns: a process that is alive and stands still is of no use."""
    while True:
        beat = PortBeat(
            connections=connections.count,
            calls=under_way[0],
            passed=line.passed,
            turned_away=connections.turned_away,
        )
        await line.tell(BEAT, beat.marshal())
        await asyncio.sleep(limits.BEAT_S)


async def _report(refusals: RefusalCount, line: ControllerLine) -> None:
    while True:
        await asyncio.sleep(limits.REFUSALS_EVERY_S)
        if report := refusals.report():
            await line.tell(REFUSALS, report)


if __name__ == "__main__":
    main()
