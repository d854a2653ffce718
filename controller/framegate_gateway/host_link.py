"""The link to the local agent: hand over public keys, take warrants. While it is down, the last warrant runs out by itself."""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Final

from framegate.errors import FramegateError, Malformed, Reason
from framegate.wire import Warrant
from framegate_gateway.keys import ROTATE_S, Credentials, GatewayKeys

log = logging.getLogger(__name__)
MAX_WARRANT_BYTES: Final = 2 * 1024 * 1024
RETRY_S: Final = 0.5


async def follow_agent(path: Path, keys: GatewayKeys, changed: Callable[[Credentials | None], None]) -> None:
    """Keep the link up forever; `changed` gets new credentials, or None when the host lost its standing."""
    while True:
        try:
            reader, writer = await asyncio.open_unix_connection(str(path))
        except OSError as error:
            log.info("no agent at %s: %s", path, error)
            await asyncio.sleep(RETRY_S)
            continue
        try:
            await _follow(reader, writer, keys, changed)
        except (asyncio.IncompleteReadError, ConnectionError):
            log.info("the agent went away")
        except FramegateError as error:
            log.error("agent's warrant: %s", error)
        finally:
            writer.close()
        await asyncio.sleep(RETRY_S)


async def _follow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, keys: GatewayKeys, changed: Callable[[Credentials | None], None]) -> None:
    sent = keys.newest.publics
    _send(writer, sent)
    loop = asyncio.get_running_loop()
    rotate_at = loop.time() + ROTATE_S
    reading = asyncio.ensure_future(_receive(reader))
    try:
        while True:
            await asyncio.wait([reading], timeout=max(0.0, rotate_at - loop.time()))
            if reading.done():
                warrant = Warrant.parse(reading.result())
                if warrant.tls_certificate:
                    changed(keys.accept(warrant, sent))
                else:
                    keys.refused = warrant.reason
                    keys.credentials = None
                    changed(None)
                reading = asyncio.ensure_future(_receive(reader))
            if loop.time() >= rotate_at:
                rotate_at = loop.time() + ROTATE_S
                sent = keys.rotate()
                _send(writer, sent)
    finally:
        reading.cancel()


def _send(writer: asyncio.StreamWriter, record: bytes) -> None:
    writer.write(struct.pack(">I", len(record)) + record)


async def _receive(reader: asyncio.StreamReader) -> bytes:
    size = int.from_bytes(await reader.readexactly(4), "big")
    if size > MAX_WARRANT_BYTES:
        raise Malformed.of(Reason.TOO_LARGE, f"at most {MAX_WARRANT_BYTES} bytes of warrant", size)
    return await reader.readexactly(size)
