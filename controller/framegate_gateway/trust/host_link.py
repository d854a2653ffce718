"""The link to the local agent: hand over public keys, take warrants. While it is down, the last
warrant runs out by itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from framegate.errors import FramegateError
from framegate.wire import Warrant
from framegate_gateway.trust.keys import ROTATE_S, Credentials, GatewayKeys
from framegate_host.logs import started
from framegate_host.process_memory import memory_shown
from framegate_proto.edge import read_record, write_record

log = logging.getLogger(__name__)
MAX_WARRANT_BYTES: Final = 2 * 1024 * 1024
RETRY_S: Final = 0.5


async def follow_agent(
    path: Path, keys: GatewayKeys, changed: Callable[[Credentials | None], None]
) -> None:
    """Keep the link up forever; `changed` gets new credentials, or None when the host lost its
    standing.
    """
    told = False
    while True:
        shown = ExitStack()
        shown.enter_context(memory_shown())  # until the agent has seen who calls
        try:
            reader, writer = await asyncio.open_unix_connection(str(path))
        except OSError as error:
            shown.close()
            if not told:
                log.warning("no agent answers at %s (%s): trying again until one does", path, error)
            told = True
            await asyncio.sleep(RETRY_S)
            continue
        if told:
            started.info("the agent answers at %s", path)
        told = False
        try:
            await _follow(reader, writer, keys, changed, shown.close)
        except (asyncio.IncompleteReadError, ConnectionError):
            log.info("the agent went away")
        except FramegateError as error:
            log.error("agent's warrant: %s", error)
        finally:
            shown.close()
            writer.close()
        await asyncio.sleep(RETRY_S)


async def _follow(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    keys: GatewayKeys,
    changed: Callable[[Credentials | None], None],
    known: Callable[[], None],
) -> None:
    sent = keys.newest.publics
    write_record(writer, sent)
    loop = asyncio.get_running_loop()
    rotate_at = loop.time() + ROTATE_S
    reading = asyncio.ensure_future(read_record(reader, MAX_WARRANT_BYTES, "warrant"))
    announce = asyncio.ensure_future(keys.announce.wait())
    try:
        while True:
            await asyncio.wait(
                [reading, announce],
                timeout=max(0.0, rotate_at - loop.time()),
                return_when=asyncio.FIRST_COMPLETED,
            )
            if reading.done():
                warrant = Warrant.parse(reading.result())
                known()
                if warrant.tls_certificate:
                    changed(keys.accept(warrant, sent))
                else:
                    keys.refused = warrant.reason
                    keys.credentials = None
                    changed(None)
                reading = asyncio.ensure_future(read_record(reader, MAX_WARRANT_BYTES, "warrant"))
            if announce.done():  # another model: publics that name it, now
                keys.announce.clear()
                announce = asyncio.ensure_future(keys.announce.wait())
                rotate_at = loop.time()
            if loop.time() >= rotate_at:
                rotate_at = loop.time() + ROTATE_S
                sent = keys.rotate()
                write_record(writer, sent)
    finally:
        announce.cancel()
        reading.cancel()
