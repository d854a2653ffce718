"""Whether whoever answers at a bundle's endpoint is the fleet that the bundle is of.

Source: SPIFFE Federation, 5.2.2 (https_spiffe): the endpoint shows an X.509-SVID of its own trust
domain, verified with the bundle that is known so far; SPIFFE X.509-SVID, 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from cryptography import x509

from framegate.errors import FramegateError, Reason, Refused
from framegate.federation.bundle import TrustBundle
from framegate.identity.certificates import (
    Purpose,
    VerifiedCertificate,
    alternative_names,
    load_certificate,
    verify_certificate,
)


def verified_endpoint(
    pinned: TrustBundle, shown: Sequence[bytes], now: datetime
) -> VerifiedCertificate:
    """The certificate (DER, with its issuers behind it) of an endpoint that may say what `pinned`
    is now. That it holds the key, TLS MUST have established.

    1. there is one; 2. it is a server's certificate, alive at `now`, that chains to a key of the
    bundle (`verify_certificate`); 3. its only URI is the SPIFFE ID of that fleet's endpoint: no
    other server of it speaks for its keys.

    Raises Malformed or Refused (CERTIFICATE, CERTIFICATE_EXPIRED).
    """
    if not shown:  # 1
        raise Refused.of(Reason.CERTIFICATE, "a certificate of the endpoint", "none")
    leaf, *issuers = map(load_certificate, shown)
    verified = under_any(pinned, leaf, Purpose.SERVER, issuers, now)  # 2
    uris = uris_of(leaf)
    if uris != [pinned.endpoint_id]:  # 3
        raise Refused.of(Reason.CERTIFICATE, pinned.endpoint_id, ascii(uris)[:200])
    return verified


def under_any(
    pinned: TrustBundle,
    leaf: x509.Certificate,
    purpose: Purpose,
    issuers: Sequence[x509.Certificate],
    now: datetime,
) -> VerifiedCertificate:
    """`leaf` under one of the bundle's keys. Raises Refused as `verify_certificate` does under the
    last of them.
    """
    *others, last = pinned.certificates
    for root in others:
        try:
            return verify_certificate(leaf, purpose, issuers, root, now)
        except FramegateError:
            continue
    return verify_certificate(leaf, purpose, issuers, last, now)


def uris_of(leaf: x509.Certificate) -> list[str]:
    """The URIs among its names. Raises Refused (CERTIFICATE) where they cannot be read."""
    return alternative_names(leaf, x509.UniformResourceIdentifier)
