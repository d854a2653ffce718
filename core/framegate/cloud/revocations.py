"""What a maker of chips has taken back: certificate revocation lists, as AMD's key service hands
them out for each of its roots.

Source: RFC 5280, 5 and 6.3.3; AMD Versioned Chip Endorsement Key Certificate and KDS Interface
Specification 0.51 (the list of a product, signed by its ARK, names ASKs). Nothing is fetched:
somebody puts the file on the controller's host, and a newer one in its place before it ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, cast

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPublicKeyTypes

from framegate.errors import EvidenceRejected, Failure, Malformed, Reason
from framegate.identity.certificates import UNREADABLE

MAX_LIST_BYTES: Final = 1 << 20
"""AMD's have some hundred bytes; nobody's chips fill more."""
_HINT: Final = "--snp-revocations FILE, with the present list of the chip's product"
_UNREADABLE: Final = (*UNREADABLE, x509.ExtensionNotFound)

RevocationList = x509.CertificateRevocationList


def load_revocation_list(raw: bytes) -> RevocationList:
    """The list in a file: DER, or PEM, whose issuer and entries can be read. Raises Malformed
    (EK_CHAIN, TOO_LARGE).
    """
    if len(raw) > MAX_LIST_BYTES:
        wanted = f"a revocation list of at most {MAX_LIST_BYTES} bytes"
        raise Malformed.of(Reason.TOO_LARGE, wanted, len(raw))
    try:
        pem = raw.lstrip().startswith(b"-----BEGIN")
        found = x509.load_pem_x509_crl(raw) if pem else x509.load_der_x509_crl(raw)
        # the library reads these when they are asked for, and raises then
        found.issuer.rfc4514_string()
        for entry in found:
            _ = entry.serial_number, entry.revocation_date_utc
    except UNREADABLE as error:
        wanted = "a certificate revocation list, DER or PEM"
        raise Malformed.of(Reason.EK_CHAIN, wanted, type(error).__name__) from error
    return found


def require_not_revoked(
    path: Sequence[x509.Certificate], lists: Sequence[RevocationList], now: datetime
) -> None:
    """Establish that no certificate of `path` was taken back; it leads from the chip's certificate
    to its root, each signed by the next one, the root by itself.

    1. the root has a list: where lists are given, nobody's chips go without one;
    2. each list that an issuer in the path is named in as its own is signed by that issuer, and the
       issuer may sign lists, where its key usage says what it may;
    3. it was made before `now` and has not ended, and says when it ends;
    4. it has no critical extension: those change what it means (5.2);
    5. it does not name the certificate that this issuer signed.

    Raises EvidenceRejected (CLOUD_EVIDENCE).
    """
    named = {c.subject for c in path}
    own = [each for each in lists if each.issuer in named]
    root = path[-1].subject
    if not any(each.issuer == root for each in own):  # 1
        raise _rejected(f"a revocation list of {root.rfc4514_string()}", _issuers(lists), _HINT)
    for certificate, issuer in zip(path, [*path[1:], path[-1]], strict=True):
        for each in own:
            if each.issuer == issuer.subject:
                _require_good(each, issuer, now)
                _require_unnamed(each, certificate)  # 5


def _require_good(each: RevocationList, issuer: x509.Certificate, now: datetime) -> None:
    name = issuer.subject.rfc4514_string()
    try:
        key = cast(CertificateIssuerPublicKeyTypes, issuer.public_key())  # TypeError of any other
        good = _signs_lists(issuer) and each.is_signature_valid(key)
        critical = [e.oid.dotted_string for e in each.extensions if e.critical]
        begins, ends = each.last_update_utc, each.next_update_utc
    except _UNREADABLE as error:
        raise _rejected(f"a revocation list of {name}", type(error).__name__) from error
    if not good:  # 2
        raise _rejected(f"a revocation list that {name} signed", "a wrong signature", _HINT)
    if ends is None or not begins <= now <= ends:  # 3
        until = f"{ends:%F %R} UTC" if ends is not None else "no end"
        raise _rejected(
            f"a revocation list of {name} for {now:%F %R} UTC",
            f"one of {begins:%F %R} UTC, with {until}",
            "put the present one in its place; nothing has to be started again",
        )
    if critical:  # 4
        wanted = f"a revocation list of {name} without critical extensions"
        raise _rejected(wanted, ", ".join(critical[:4]))


def _signs_lists(issuer: x509.Certificate) -> bool:
    try:
        return issuer.extensions.get_extension_for_class(x509.KeyUsage).value.crl_sign
    except x509.ExtensionNotFound:
        return True


def _require_unnamed(each: RevocationList, certificate: x509.Certificate) -> None:
    number = certificate.serial_number
    if number < 0:  # read leniently; no list can name it
        raise _rejected("certificates with serial numbers that a list can name", str(number)[:40])
    entry = each.get_revoked_certificate_by_serial_number(number)
    if entry is not None:
        name, serial = certificate.subject.rfc4514_string(), f"{number:x}"
        raise _rejected(
            f"{name} {serial[:16]} in standing",
            f"revoked by its maker on {entry.revocation_date_utc:%F}",
            "the chip's firmware is taken back: update it, or run the guest on another host",
        )


def _issuers(lists: Sequence[RevocationList]) -> str:
    return "; ".join(each.issuer.rfc4514_string() for each in lists[:4]) or "none"


def _rejected(expected: str, actual: str, hint: str = "") -> EvidenceRejected:
    return EvidenceRejected([Failure(Reason.CLOUD_EVIDENCE, expected, actual, hint)])
