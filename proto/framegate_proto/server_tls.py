"""A server's end of TLS whose certificate, or whose clients' authorities, change while it serves.

gRPC asks for the configuration at every new connection, in threads of its own, and takes a new one
up by freeing the one before. A thread that has just been told "no change" still makes its handshake
from what another frees meanwhile, without a reference (github.com/grpc/grpc/issues/36693): with a
new configuration for every connection, some thousand connections of strangers, before a byte of
TLS, corrupt the process's memory (N187).

So a configuration is handed out when it is another, and only then; and not before a pause in which
every thread that was told "no change" has made its handshake. Meanwhile new connections wait: gRPC
holds its lock while it asks.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final, NamedTuple, cast

import grpc

from framegate.errors import FramegateError

log = logging.getLogger(__name__)
SETTLED_S: Final = 0.25
"""The pause. Making a handshake from the configuration takes some 50 microseconds."""


class ServerTls(NamedTuple):
    """What a server shows and demands, in PEM: its key and chain, and the authorities of clients
    that it lets in; None at a port where strangers knock, who are asked for no certificate.
    """

    key: bytes
    chain: bytes
    clients: bytes | None


class ChangingTls:
    """Asked by gRPC at each new connection; `now` says what counts at this moment, and may refuse,
    where what was shown last is shown on; the log has it once in a row, not for each stranger.
    """

    def __init__(
        self, now: Callable[[], ServerTls], pause: Callable[[float], None] = time.sleep
    ) -> None:
        """Raises what `now` raises: a server is not begun without a configuration."""
        self._now, self._pause = now, pause
        self._lock = threading.Lock()
        self._shown = now()
        self._unsaid = ""

    def credentials(self) -> grpc.ServerCredentials:
        """For one port of a server, which then asks; clients have to have a certificate, but where
        they are None from the beginning on.
        """
        initial, asked = _configuration(self._shown), self._shown.clients is not None
        # None, which gRPC's own words allow and its types do not: as it is
        changed = cast("Callable[[], grpc.ServerCertificateConfiguration]", self.changed)
        return grpc.dynamic_ssl_server_credentials(
            initial, changed, require_client_authentication=asked
        )

    def changed(self) -> grpc.ServerCertificateConfiguration | None:
        """The configuration where it is another than the last that was handed out, after the pause;
        None where it is the same, or where none can be said: gRPC would do the same with an error,
        and write a stack into the log.
        """
        try:
            if self._now() == self._shown:
                self._unsaid = ""
                return None
            with self._lock:
                now = self._now()
                if now == self._shown:  # another thread was first
                    return None
                self._pause(SETTLED_S)
                configuration = _configuration(now)
                self._shown, self._unsaid = now, ""
        except FramegateError as error:
            self._tell(str(error))
            return None
        return configuration

    def _tell(self, why: str) -> None:
        if why != self._unsaid:
            self._unsaid = why
            log.warning("connections are shown the certificate of before: %s", why)


def _configuration(shown: ServerTls) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(shown.key, shown.chain)], shown.clients)
