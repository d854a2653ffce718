"""What the controller's own ports show: a key and certificate that are made anew while it runs.

A controller may serve for longer than a certificate lives. What is told to nobody and waits for a
restart would end a whole fleet on one day.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.identity.pem import private_pem
from framegate_controller.ca.keys import FleetKeys

log = logging.getLogger(__name__)
LEFT: Final = 3
"""One that has less than a third of its life left makes place: weeks for clocks that differ, and
for whatever keeps a process from taking the next one up.
"""
AGAIN: Final = timedelta(minutes=1)
"""After a renewal that failed, where a token or TPM with the CA's key does not answer."""
_EVER: Final = datetime.min.replace(tzinfo=UTC)
Issue = Callable[[FleetKeys, ec.EllipticCurvePublicKey, datetime], x509.Certificate]
"""A certificate for a key, from that moment on, by the fleet's server CA."""


class ServerPair(NamedTuple):
    """A server's key and chain, in PEM."""

    key: bytes
    chain: bytes


class RenewedPair:
    """A pair of one server's, from any thread. `keys` are the fleet's at that moment."""

    def __init__(
        self,
        issue: Issue,
        keys: Callable[[], FleetKeys],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._issue, self._keys, self._now = issue, keys, now
        self._lock = threading.Lock()
        self._begins = self._due = self._ends = now()
        self._pair = self._made()

    def __call__(self) -> ServerPair:
        """The present one: the same again until its time has come, or where it was made by a clock
        that was ahead and does not count yet; and where the next cannot be made, for as long as it
        lives. Raises what making the next one does, after that.
        """
        with self._lock:
            now = self._now()
            if now > self._due or now < self._begins:
                try:
                    self._pair = self._made()
                except Exception:  # whatever a token's library raises
                    if now > self._ends:
                        raise
                    self._begins, self._due = _EVER, now + AGAIN
                    log.exception("no next server certificate; that of before serves on")
            return self._pair

    def _made(self) -> ServerPair:
        keys, key = self._keys(), ec.generate_private_key(ec.SECP256R1())
        certificate = self._issue(keys, key.public_key(), self._now())
        self._begins = certificate.not_valid_before_utc
        self._ends = certificate.not_valid_after_utc
        self._due = self._ends - (self._ends - self._begins) / LEFT
        chain = certificate.public_bytes(Encoding.PEM) + keys.issuing["server-ca"].pem
        return ServerPair(private_pem(key), chain)
