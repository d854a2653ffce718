"""What the TPM's TLS key may sign: TLS 1.3 client handshakes while its certificate lives, and
Framegate's own labelled messages. Nothing else.

This module and `channel.py` are the only adapters to gRPC's experimental custom signer (grpcio is
pinned for it).
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol

from cryptography import x509

from framegate.errors import FramegateError, Reason, Refused
from framegate.wire import LABEL_HEAD, LABEL_OPENING

log = logging.getLogger(__name__)

TLS_CLIENT_PREFIX: Final = b" " * 64 + b"TLS 1.3, client CertificateVerify\0"
"""RFC 8446 4.4.3: what a TLS 1.3 client signs begins so; a TLS 1.2 handshake or any other message
does not (N118).
"""
_TLS_SIZES: Final = {len(TLS_CLIENT_PREFIX) + 32, len(TLS_CLIENT_PREFIX) + 48}
MAX_HANDSHAKES: Final = 60
"""Signatures for handshakes a minute: far above need, far below what wears a hardware TPM or blocks
it (half a second each).
"""


class KeyInTpm(Protocol):
    """Whoever can sign with the TLS key."""

    def sign_with_tls_key(self, message: bytes) -> bytes:
        """DER ECDSA-SHA256 signature over `message`."""


class TlsSigner:
    """Signs TLS 1.3 client CertificateVerify messages for one certificate. Any other use raises
    Refused (SIGNING_ORACLE).
    """

    def __init__(
        self, key: KeyInTpm, certificate: x509.Certificate, now_s: Callable[[], float]
    ) -> None:
        self._key, self._certificate, self._now_s = key, certificate, now_s
        self._recent: deque[float] = deque()
        self._lock = threading.Lock()

    def sign(self, message: bytes) -> bytes:
        """The signature, if `message` is what a TLS 1.3 client signs, the certificate lives, and no
        flood of handshakes is under way.
        """
        if len(message) not in _TLS_SIZES or not message.startswith(TLS_CLIENT_PREFIX):
            raise Refused.of(
                Reason.SIGNING_ORACLE, "a TLS 1.3 client handshake", f"{len(message)} other bytes"
            )
        if self._certificate.not_valid_after_utc.timestamp() <= self._now_s():
            raise Refused.of(
                Reason.CERTIFICATE_EXPIRED,
                "a certificate that lives",
                "expired",
                "the agent attests again",
            )
        with self._lock:
            now = time.monotonic()
            while self._recent and self._recent[0] < now - 60:
                self._recent.popleft()
            if len(self._recent) >= MAX_HANDSHAKES:
                raise Refused.of(
                    Reason.TOO_MANY_TRIES,
                    f"at most {MAX_HANDSHAKES} handshakes a minute",
                    "more",
                    "something keeps cutting connections",
                )
            self._recent.append(now)
        return self._key.sign_with_tls_key(message)

    def for_grpc(self, message: bytes, _algorithm: Any, _on_complete: Any) -> bytes:
        """gRPC's callback; errors are logged here because gRPC reports them like a fault of the
        network.
        """
        try:
            return self.sign(message)
        except FramegateError as error:
            log.error("TLS signature refused: %s", error)
            raise


def sign_opening(key: KeyInTpm, info: bytes, encapsulation_sha256: bytes) -> bytes:
    """Signature of a frame session's opening; the label keeps it apart from handshakes and
    everything else.
    """
    return key.sign_with_tls_key(LABEL_OPENING + info + encapsulation_sha256)


def sign_head(key: KeyInTpm, head: bytes) -> bytes:
    """Signature over the head of a session's frames: proof of origin that no gateway can forge."""
    return key.sign_with_tls_key(LABEL_HEAD + head)
