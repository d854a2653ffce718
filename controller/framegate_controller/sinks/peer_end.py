"""When the certificate ends that a collector shows: it is nobody's of ours, and whoever connects
there sees it. A SIEM that lets its own run out gets nothing more from that moment on.

It is looked at by a handshake of its own, which says nothing after it, whatever the sink's library.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

from cryptography import x509

from framegate_controller.sinks.credentials import Credentials, Host
from framegate_controller.sinks.delivery import SinkFailed
from framegate_host.certificate_end import AGAIN, BroughtCertificate, Life

log = logging.getLogger(__name__)
LOOK_S: Final = 3.0
"""For a connection and its TLS: the next batch waits meanwhile, once a day."""


class PeerWatch:
    """Looks at the certificates of a sink's hosts once a day, and says in the log which end."""

    def __init__(
        self,
        sink: str,
        hosts: Sequence[Host],
        credentials: Credentials,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sink, self._credentials, self._clock = sink, credentials, clock
        self._hosts = [host for host in hosts if not credentials.plain(host.name)]
        self._due = float("-inf")

    def look(self) -> None:
        """Nothing until a day is over. A host that is away, or speaks no TLS that is trusted here,
        is told by what is delivered to it.
        """
        if not self._hosts or self._clock() < self._due:
            return
        self._due = self._clock() + AGAIN.total_seconds()
        for host in self._hosts:
            try:
                life = peer_life(host, self._credentials)
            except (OSError, ValueError, SinkFailed) as error:
                log.debug("the certificate of %s was not seen: %s", host, error)
                continue
            whose = f"{host.name}:{host.port}, where the sink {self._sink} sends"
            do = "whoever runs it has to bring its next one"
            if said := BroughtCertificate(whose, _always(life), do).said(_now()):
                log.warning("%s", said)


def peer_life(host: Host, credentials: Credentials) -> Life:
    """The life of the certificate that `host` shows now. Blocking, `LOOK_S` for each of its steps.

    Raises OSError, of which ssl.SSLError is one, ValueError, SinkFailed.
    """
    with (
        socket.create_connection((host.name, host.port), LOOK_S) as plain,
        credentials.context().wrap_socket(plain, server_hostname=host.name) as secured,
    ):
        der = secured.getpeercert(binary_form=True)
    if der is None:
        raise ValueError("a server without a certificate")
    return Life.of(x509.load_der_x509_certificate(der))


def _always(life: Life) -> Callable[[], Life]:
    return lambda: life


def _now() -> datetime:
    return datetime.now(UTC)
