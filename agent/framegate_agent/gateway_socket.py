"""The Unix socket on which gateway processes of this host hand over their public keys and get their
certificates.

The agent vouches for a process by putting the digest of its publics into the next quote. Frames on
the socket: 32-bit length, record.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from framegate.errors import FramegateError, Reason, Refused
from framegate.identity.gateway_process import process_keys
from framegate.wire import (
    MAX_PUBLICS,
    MAX_PUBLICS_BYTES,
    GatewayPublics,
    VaultBlob,
    VaultSecret,
    Warrant,
    sha256,
)
from framegate_agent.callers import Callers
from framegate_proto.edge import read_record, write_record

log = logging.getLogger(__name__)
SOCKET_MODE: Final = 0o660
_VAULT_LABELS: Final = (VaultSecret.LABEL.encode(), VaultBlob.LABEL.encode())


class Sealer(Protocol):
    """Whoever can seal a secret to this machine."""

    def seal(self, secret: bytes) -> bytes:
        """A blob that only this machine opens, in this boot state."""

    def unseal(self, blob: bytes) -> bytes:
        """What a blob holds; raises a FramegateError."""


class GatewaySocket:
    """Serves the processes that `callers` admits; `changed` is called whenever the set of publics
    changes.
    """

    def __init__(
        self, path: Path, callers: Callers, changed: Callable[[], None], sealer: Sealer
    ) -> None:
        self.path, self._callers, self._changed, self._sealer = path, callers, changed, sealer
        self._clients: dict[asyncio.StreamWriter, bytes] = {}
        self._server: asyncio.Server | None = None

    @property
    def publics(self) -> tuple[bytes, ...]:
        """The publics of every connected process, to be quoted."""
        return tuple(sorted(set(self._clients.values())))

    async def start(self) -> None:
        """Listen; the socket is 0660 before anyone can connect."""
        self.path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o117)
        try:
            listener.bind(str(self.path))
        finally:
            os.umask(before)
        self.path.chmod(SOCKET_MODE)
        self._server = await asyncio.start_unix_server(self._serve, sock=listener)

    async def stop(self) -> None:
        """Close the socket and every connection."""
        if self._server is not None:
            self._server.close()
        for writer in list(self._clients):
            writer.close()
        self.path.unlink(missing_ok=True)

    def warrant(self, publics_sha256: bytes, warrant: Warrant) -> None:
        """Send `warrant` to the process with these publics."""
        for writer, raw in self._clients.items():
            if sha256(raw) == publics_sha256:
                write_record(writer, warrant.marshal())

    def refuse_all(self, warrant: Warrant) -> None:
        """Send `warrant`, which has no certificates, to every process."""
        for writer in self._clients:
            write_record(writer, warrant.marshal())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop, caller = asyncio.get_running_loop(), None
        try:
            caller = self._callers.admit(writer.get_extra_info("socket"))
            # a connection ends with the process that made it, whoever else holds its end
            loop.add_reader(caller.pidfd, writer.close)
            while True:
                raw = await read_record(reader, MAX_PUBLICS_BYTES, "publics")
                self._callers.still(caller)
                if raw[1:].startswith(_VAULT_LABELS):
                    write_record(writer, await asyncio.to_thread(self._vault, raw))
                    continue
                # one process's bad keys must not cost its host and the others their standing
                process_keys(GatewayPublics.parse(raw))
                if writer not in self._clients and len(self._clients) >= MAX_PUBLICS:
                    raise Refused.of(
                        Reason.TOO_MANY_TRIES,
                        f"at most {MAX_PUBLICS} gateway processes",
                        "one more",
                    )
                self._clients[writer] = raw
                self._changed()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except FramegateError as error:
            log.error("gateway socket: %s", ascii(str(error)))
        finally:
            if caller is not None:
                loop.remove_reader(caller.pidfd)
                caller.close()
            writer.close()
            if self._clients.pop(writer, None) is not None:
                self._changed()

    def _vault(self, raw: bytes) -> bytes:
        """Seal a gateway's vault secret to this TPM, or unseal it: the key of a copied disk stays
        here.
        """
        try:
            if raw[1:].startswith(VaultSecret.LABEL.encode()):
                return VaultBlob(
                    sealed=self._sealer.seal(VaultSecret.parse(raw).secret), reason=""
                ).marshal()
            return VaultSecret(secret=self._sealer.unseal(VaultBlob.parse(raw).sealed)).marshal()
        except FramegateError as error:
            log.error("vault: %s", ascii(str(error)))
            return VaultBlob(
                sealed=b"", reason="".join(c for c in str(error) if c.isprintable())[:1000]
            ).marshal()
