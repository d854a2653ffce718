"""The keys that a gateway process asks certificates for, as its host quotes them."""

from __future__ import annotations

from typing import Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec

from framegate.errors import EvidenceRejected, Failure, Malformed, Reason
from framegate.identity.certificates import request_key
from framegate.wire import GatewayPublics

_RESTART: Final = "restart the gateway process"


class ProcessKeys(NamedTuple):
    """Of one gateway process; both P-256."""

    tls: ec.EllipticCurvePublicKey
    verdict: ec.EllipticCurvePublicKey


def process_keys(publics: GatewayPublics) -> ProcessKeys:
    """The keys of a gateway process, after:

    1. both requests are signed by the P-256 keys they ask for; names in them are not read (N28);
    2. the keys differ.

    Raises EvidenceRejected (PUBLICS).
    """
    try:
        keys = ProcessKeys(request_key(publics.tls_csr), request_key(publics.verdict_csr))  # 1
    except Malformed as error:
        failures = [Failure(Reason.PUBLICS, f.expected, f.actual, _RESTART) for f in error.failures]
        raise EvidenceRejected(failures) from error
    if keys.tls == keys.verdict:  # 2
        raise one_key_twice()
    return keys


def one_key_twice() -> EvidenceRejected:
    """What is wrong with requests for one and the same key."""
    return EvidenceRejected(
        [Failure(Reason.PUBLICS, "a key of its own in each request", "one key twice", _RESTART)]
    )
