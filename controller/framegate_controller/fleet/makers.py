"""TPM makers' CAs, which vouch for the EKs of machines that join."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from framegate.errors import Reason, Refused
from framegate.record.fleet_events import TpmMakerAdded
from framegate.registry.device import TpmMaker
from framegate.wire import sha256
from framegate_controller.store.ports import Transaction


def add_maker(tx: Transaction, certificate: x509.Certificate) -> TpmMaker:
    """Trust a maker's CA; one that is trusted stays as it is.

    Raises Refused (CERTIFICATE) where it is no CA.
    """
    if not _is_ca(certificate):
        wanted, actual = "a CA certificate of a TPM maker", "an end-entity certificate"
        hint = "take the maker's root or issuing CA, not the EK's certificate"
        raise Refused.of(Reason.CERTIFICATE, wanted, actual, hint)
    der = certificate.public_bytes(serialization.Encoding.DER)
    known = tx.makers.get(sha256(der))
    if known is not None:
        return known
    maker = TpmMaker(
        sha256=sha256(der),
        certificate=der,
        subject=certificate.subject.rfc4514_string(),
        added_ms=tx.now_ms,
        expires_ms=int(certificate.not_valid_after_utc.timestamp() * 1000),
    )
    tx.makers.add(maker)
    tx.record(TpmMakerAdded(subject=maker.subject))
    return maker


def _is_ca(certificate: x509.Certificate) -> bool:
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    except x509.ExtensionNotFound:
        return False
    return constraints.value.ca
