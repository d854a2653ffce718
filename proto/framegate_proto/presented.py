"""What a port presents to new connections, and whom it lets in, as CAs and certificates change.

gRPC asks for it at every handshake. What it is given it puts in force at once, and drops what was
there while another thread may be about to use it: a process that was given the same over and over
ended, seldom, in `Check failed: prior > 0`. So it is given only what has changed (grpc,
`dynamic_ssl_server_credentials`: None for no change).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import grpc


class Presented(NamedTuple):
    """A private key and its certificate chain, and the CAs of clients, all in PEM."""

    key: bytes
    chain: bytes
    clients: bytes

    def configuration(self) -> grpc.ServerCertificateConfiguration:
        """As gRPC has it."""
        return grpc.ssl_server_certificate_configuration([(self.key, self.chain)], self.clients)


class WhereChanged:
    """Asks `now` at every handshake, and answers with what it says where that is something else
    than the last time; else with None. What `now` raises, gRPC takes for no change.
    """

    def __init__(self, now: Callable[[], Presented]) -> None:
        self._now = now
        self._last = now()

    @property
    def first(self) -> grpc.ServerCertificateConfiguration:
        """What there is to begin with."""
        return self._last.configuration()

    def __call__(self) -> grpc.ServerCertificateConfiguration | None:
        """gRPC calls it under a lock of its own, one handshake after another."""
        now = self._now()
        if now == self._last:
            return None
        self._last = now
        return now.configuration()


def mutual_tls(now: Callable[[], Presented]) -> grpc.ServerCredentials:
    """A port on which both sides show a certificate: what `now` says, for each new connection.
    Raises what `now` raises at the start.
    """
    asked = WhereChanged(now)
    return grpc.dynamic_ssl_server_credentials(
        asked.first, asked, require_client_authentication=True
    )
