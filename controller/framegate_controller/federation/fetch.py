"""Fetching another fleet's bundle: one TLS connection, one request, an answer of bounded size.

Source: SPIFFE Federation, 5.2 (endpoint profile https_spiffe). Blocking; a peer that is slow costs
the thread of this one look, for `FETCH_S` at most.
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from typing import Any, Final

from framegate.errors import Malformed, Reason, Refused, Unavailable
from framegate.federation.bundle import MAX_BUNDLE_BYTES, TrustBundle, parse_bundle
from framegate.federation.endpoint import verified_endpoint
from framegate_controller.timed_sockets import Until, connected

FETCH_S: Final = 8.0
"""For connection, TLS and answer together, however many addresses the name has (N219)."""
PATH: Final = "/bundle"
MAX_HEAD: Final = 8 * 1024
_CHUNK: Final = 16 * 1024


def fetch_bundle(endpoint: str, pinned: TrustBundle) -> TrustBundle:
    """The bundle that `endpoint` (host:port) shows now.

    1. TLS 1.3; the certificate chains to a key of `pinned` and is the one of that fleet's endpoint
       (`verified_endpoint`), before anything is asked;
    2. the answer is HTTP 200 with a length, no more than a bundle's; 3. it parses (`parse_bundle`).

    Raises Unavailable where nobody answers in time, Refused or Malformed where what answers is not
    that fleet, or says no bundle.
    """
    host, _, port = endpoint.rpartition(":")
    until = Until(FETCH_S)
    until.begin(FETCH_S)
    try:
        with (
            connected(host, int(port), until) as bare,
            _context(pinned).wrap_socket(bare) as connection,
        ):
            verified_endpoint(pinned, _shown(connection), datetime.now(UTC))  # 1
            asked = f"GET {PATH} HTTP/1.1\r\nHost: {endpoint}\r\nConnection: close\r\n\r\n"
            connection.sendall(asked.encode("ascii"))
            answer = _answer(connection, until)
    except ssl.SSLCertVerificationError as error:
        expected = f"a certificate under a pinned key of {pinned.fleet}"
        raise Refused.of(Reason.CERTIFICATE, expected, error.verify_message) from error
    except (OSError, ValueError) as error:  # a reset, a time-out, no address, other bytes than TLS
        expected = f"{pinned.fleet}'s bundle at {endpoint}"
        seen = f"{type(error).__name__}: {error}"[:200]
        raise Unavailable.of(Reason.UNAVAILABLE, expected, seen) from error
    return parse_bundle(_body(answer))  # 3


def _context(pinned: TrustBundle) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # its name is a SPIFFE ID, which `verified_endpoint` looks at
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata="".join(p.decode() for p in pinned.pems))
    return context


def _shown(connection: ssl.SSLSocket) -> list[bytes]:
    """The endpoint's certificate and its issuers, DER, as TLS verified them.

    Python has a public name for it from 3.13 on.
    """
    public = getattr(connection, "get_verified_chain", None)
    if public is not None:
        return [bytes(der) for der in public()]
    inner: Any = getattr(connection, "_sslobj")  # noqa: B009 - a member that typeshed hides
    chain = inner.get_verified_chain() or ()
    return [ssl.PEM_cert_to_DER_cert(certificate.public_bytes()) for certificate in chain]


def _answer(connection: ssl.SSLSocket, until: Until) -> bytes:
    answer = bytearray()
    while len(answer) <= MAX_HEAD + MAX_BUNDLE_BYTES:
        connection.settimeout(until.left_s())
        part = connection.recv(_CHUNK)
        if not part:
            return bytes(answer)
        answer += part
    raise Malformed.of(Reason.TOO_LARGE, f"at most {MAX_BUNDLE_BYTES} bytes", "more")


def _body(answer: bytes) -> bytes:
    head, blank, body = answer.partition(b"\r\n\r\n")
    status, *fields = head.split(b"\r\n")
    lengths = [
        value.strip()
        for name, _, value in (f.partition(b":") for f in fields)
        if name.lower() == b"content-length"
    ]
    right = status[:12] in {b"HTTP/1.1 200", b"HTTP/1.0 200"} and lengths == [b"%d" % len(body)]
    if not blank or not right:  # 2
        seen = f"{status[:60]!a}, {len(body)} bytes"
        raise Malformed.of(Reason.SITE_BUNDLE, "HTTP 200 with all bytes that it says", seen)
    return body
