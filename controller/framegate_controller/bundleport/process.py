"""The process at the bundle's port:
`python -m framegate_controller.bundleport.process LISTENER LINE`.

It is given a listening socket and its end of a pair of sockets, reads its setup, and ends with the
controller. Whoever reaches the port is a stranger: it answers one document to all of them.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
import socket
import ssl
import sys
from typing import Final

from framegate.errors import Unavailable
from framegate_controller.bundleport.messages import LENGTH_BYTES, MAX_SETUP, READY, BundleSetup
from framegate_host.cages import BUNDLE_PORT
from framegate_host.child_process import UNCONFINED
from framegate_host.confinement import (
    EXIT_UNCONFINED,
    Confinement,
    Paths,
    end_with_parent,
    interpreter_paths,
)
from framegate_host.logs import start_logging
from framegate_host.telemetry.http_request import MAX_HEAD, HttpReply, parse_request

log = logging.getLogger(__name__)
MAX_OPEN: Final = 64
"""Connections at once; whoever comes then is hung up on, and comes again."""
ALL_S: Final = 10.0
"""For TLS, a request and its answer together: a site takes milliseconds."""
MEMORY_BYTES: Final = 256 * 1024 * 1024
PATH: Final = "/bundle"
ACCEPT_AGAIN_S: Final = 0.1
"""After this host would not give a connection."""


def main() -> None:
    """Serve until the controller is gone."""
    end_with_parent()
    listener, line = (socket.socket(fileno=int(number)) for number in sys.argv[1:3])
    start_logging(verbose=False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the group; the controller ends us
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    confinement = Confinement(BUNDLE_PORT, required=UNCONFINED not in sys.argv)
    try:
        asyncio.run(serve(listener, line, confinement))
    except Unavailable as error:
        log.error("%s", error)
        sys.exit(EXIT_UNCONFINED)
    except (asyncio.IncompleteReadError, ConnectionError):
        log.info("the controller is gone")


async def serve(listener: socket.socket, line: socket.socket, confinement: Confinement) -> None:
    """Until the controller is gone. Raises IncompleteReadError, ConnectionError then, Unavailable
    (UNCONFINED).
    """
    reader, writer = await asyncio.open_connection(sock=line)
    size = int.from_bytes(await reader.readexactly(LENGTH_BYTES), "big")
    if size > MAX_SETUP:
        raise ConnectionError("a setup that is too long")
    setup = BundleSetup.parse(await reader.readexactly(size))
    port = BundlePort(_context(setup), setup.document)
    "x".encode("idna")  # what TLS loads on first use, and not from inside
    confinement.isolate(None)  # key and chain went through a file in memory, which is closed
    end_with_parent()  # once more: another user namespace forgets it
    confinement.close_paths(Paths(read=interpreter_paths()))
    confinement.close_calls()
    say = log.warning if confinement.lacking else log.info
    say("%s: %s", confinement.cage.name, confinement.isolation)
    listener.setblocking(False)
    accepting = asyncio.create_task(port.accept(listener))
    writer.write(READY)
    try:
        await reader.readexactly(1)  # nothing comes any more
    finally:
        accepting.cancel()


class BundlePort:
    """Answers with one document."""

    def __init__(self, context: ssl.SSLContext, document: bytes) -> None:
        self._context, self._document = context, document
        self._open: set[asyncio.Task[None]] = set()

    async def accept(self, listener: socket.socket) -> None:
        """Take connections until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                connected, _ = await loop.sock_accept(listener)
            except OSError:  # no descriptor is left, for instance
                await asyncio.sleep(ACCEPT_AGAIN_S)
                continue
            if len(self._open) >= MAX_OPEN:
                connected.close()
                continue
            serving = loop.create_task(self._serve(connected))
            self._open.add(serving)
            serving.add_done_callback(self._open.discard)

    async def _serve(self, connected: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=MAX_HEAD)
        protocol = asyncio.StreamReaderProtocol(reader)
        writer = None
        try:
            async with asyncio.timeout(ALL_S):
                transport, _ = await loop.connect_accepted_socket(
                    lambda: protocol, connected, ssl=self._context, ssl_handshake_timeout=ALL_S
                )
                writer = asyncio.StreamWriter(transport, protocol, reader, loop)
                asked = parse_request((await reader.readuntil(b"\r\n\r\n"))[:-4])
                reply = HttpReply(404, b"there is /bundle\n")
                if asked is not None and asked.path == PATH:
                    reply = HttpReply(200, self._document, "application/json")
                writer.write(reply.encoded(head_only=asked is not None and asked.head_only))
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            log.debug("somebody hung up")
        finally:
            if writer is not None:
                writer.transport.abort()
            connected.close()


def _context(setup: BundleSetup) -> ssl.SSLContext:
    """Key and chain go through files that no name leads to: Python's TLS reads no bytes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    memory = os.memfd_create("bundle-endpoint")
    try:
        os.write(memory, setup.key + setup.chain)
        context.load_cert_chain(f"/proc/self/fd/{memory}")
    finally:
        os.close(memory)
    return context


if __name__ == "__main__":
    main()
