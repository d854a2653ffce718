"""Framegate's certificates: which key may do what, and the one way to establish it.

The fleet root signs issuing CAs and signing keys; each certificate carries exactly one Framegate
purpose as an extended key usage, so that a key of one purpose is worthless for another. Chains are
built and checked by `cryptography.x509.verification`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from framegate.errors import Malformed, Reason, Refused

OID_ARC: Final = "1.2.840.113556.1.8000.2554.32015.15386.23406.19501.39563.2043453.5004138"
"""Framegate's own arc: a UUID in parts of at most 24 bits, under the arc that Microsoft keeps for
that. Go reads no certificate with a larger part in an extended key usage.
"""
EARLIER_ARC: Final = "2.25.166232602958797428473494274907401116522"
"""The same UUID in one piece (ITU-T X.667): in certificates made before; never in a new one."""


UNREADABLE: Final = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""All that `cryptography` raises on certificates, requests and keys which somebody made up."""


class Purpose(Enum):
    """What a key is for; the value is its extended key usage."""

    DEVICE = x509.ObjectIdentifier(f"{OID_ARC}.1")
    GATEWAY = x509.ObjectIdentifier(f"{OID_ARC}.2")
    SERVER = x509.ObjectIdentifier(f"{OID_ARC}.3")
    OPERATOR = x509.ObjectIdentifier(f"{OID_ARC}.4")
    CHALLENGE = x509.ObjectIdentifier(f"{OID_ARC}.5")
    GRANT = x509.ObjectIdentifier(f"{OID_ARC}.6")
    PROFILE = x509.ObjectIdentifier(f"{OID_ARC}.7")
    VERDICT = x509.ObjectIdentifier(f"{OID_ARC}.8")
    LOG = x509.ObjectIdentifier(f"{OID_ARC}.9")
    MASK = x509.ObjectIdentifier(f"{OID_ARC}.10")
    LINE = x509.ObjectIdentifier(f"{OID_ARC}.11")
    BROKER = x509.ObjectIdentifier(f"{OID_ARC}.12")
    RESULT = x509.ObjectIdentifier(f"{OID_ARC}.13")
    POLICY = x509.ObjectIdentifier(f"{OID_ARC}.14")
    APPROVAL = x509.ObjectIdentifier(f"{OID_ARC}.15")
    MODEL = x509.ObjectIdentifier(f"{OID_ARC}.16")
    PART = x509.ObjectIdentifier(f"{OID_ARC}.17")
    ENFORCER = x509.ObjectIdentifier(f"{OID_ARC}.18")
    BACKEND = x509.ObjectIdentifier(f"{OID_ARC}.19")
    INFERENCE = x509.ObjectIdentifier(f"{OID_ARC}.20")


TLS_USAGE: Final = {
    Purpose.DEVICE: (ExtendedKeyUsageOID.CLIENT_AUTH,),
    Purpose.GATEWAY: (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH),
    Purpose.SERVER: (ExtendedKeyUsageOID.SERVER_AUTH,),
    Purpose.BACKEND: (ExtendedKeyUsageOID.SERVER_AUTH,),
    Purpose.OPERATOR: (ExtendedKeyUsageOID.CLIENT_AUTH,),
    Purpose.LINE: (ExtendedKeyUsageOID.CLIENT_AUTH,),
    Purpose.ENFORCER: (ExtendedKeyUsageOID.CLIENT_AUTH,),
    Purpose.BROKER: (ExtendedKeyUsageOID.CLIENT_AUTH,),
}
"""TLS usages that stand beside the purpose; a device's certificate is for TLS clients, no more."""


@dataclass(frozen=True, slots=True)
class VerifiedCertificate:
    """A certificate that chains to the fleet root, lives now and carries its purpose; made by
    `verify_certificate`.
    """

    certificate: x509.Certificate
    purpose: Purpose
    common_name: str
    key: ec.EllipticCurvePublicKey

    @property
    def spki(self) -> bytes:
        """DER SubjectPublicKeyInfo."""
        return spki_of(self.key)


def spki_of(key: ec.EllipticCurvePublicKey) -> bytes:
    """DER SubjectPublicKeyInfo of `key`."""
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def load_certificate(der: bytes) -> x509.Certificate:
    """The DER certificate in `der`. Raises Malformed (CERTIFICATE)."""
    try:
        return x509.load_der_x509_certificate(der)
    except UNREADABLE as error:
        raise Malformed.of(Reason.CERTIFICATE, "a DER certificate", type(error).__name__) from error


def load_authorities(ders: Sequence[bytes], root: x509.Certificate) -> tuple[x509.Certificate, ...]:
    """The issuing CAs in `ders`, each signed by `root` itself: somebody's list of authorities is
    worth nothing until this has passed.

    Raises Malformed or Refused (CERTIFICATE).
    """
    authorities = tuple(load_certificate(der) for der in ders)
    for authority in authorities:
        try:
            authority.verify_directly_issued_by(root)
        except (InvalidSignature, *UNREADABLE) as error:
            raise Refused.of(
                Reason.CERTIFICATE,
                "issuing CAs signed by the fleet's root",
                authority.subject.rfc4514_string(),
            ) from error
    return authorities


def issuer_of(
    certificate: x509.Certificate, authorities: Iterable[x509.Certificate]
) -> x509.Certificate | None:
    """The one of `authorities` that signed `certificate`, None where none did: generations of a CA
    have one name, so the signature tells.
    """
    return next((a for a in authorities if _signed(certificate, a)), None)


def _signed(certificate: x509.Certificate, by: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(by)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def request_key(der: bytes) -> ec.EllipticCurvePublicKey:
    """The P-256 key of a certificate request that is signed by that key; names in the request are
    not read (N28).

    Raises Malformed (CSR_KEY) for anything else, whatever `cryptography` thinks of it.
    """
    try:
        csr = x509.load_der_x509_csr(der)
        key, good = csr.public_key(), csr.is_signature_valid
    except UNREADABLE as error:
        raise Malformed.of(
            Reason.CSR_KEY, "a DER certificate request", type(error).__name__
        ) from error
    if (
        not good
        or not isinstance(key, ec.EllipticCurvePublicKey)
        or not isinstance(key.curve, ec.SECP256R1)
    ):
        raise Malformed.of(Reason.CSR_KEY, "a request signed by its own P-256 key", "another")
    return key


def _numbers(usage: Iterable[x509.ObjectIdentifier]) -> list[str]:
    """Of the Framegate purposes in `usage`: what stands below the arc, as it is written."""
    return [
        o.dotted_string.removeprefix(f"{arc}.")
        for o in usage
        for arc in (OID_ARC, EARLIER_ARC)
        if o.dotted_string.startswith(f"{arc}.")
    ]


def verify_certificate(  # noqa: C901 - ordered steps, read best in one piece
    leaf: x509.Certificate,
    purpose: Purpose,
    intermediates: Sequence[x509.Certificate],
    root: x509.Certificate,
    now: datetime,
) -> VerifiedCertificate:
    """Establish that `leaf` may act for `purpose` at `now` (aware datetime).

    1. a chain of valid signatures, all alive at `now`, from `leaf` over `intermediates` to `root`;
       CAs are CAs;
    2. the leaf's extended key usage names exactly one Framegate purpose, in either arc, and it is
       `purpose`; every issuing CA on the way that names purposes names this one (a device CA cannot
       make operators);
    3. the leaf is no CA, its key is P-256, its common name is one string.

    Raises Refused (CERTIFICATE, or CERTIFICATE_EXPIRED where only its time is wrong).
    """
    wanted = _numbers([purpose.value])

    def leaf_usage(
        _policy: Policy, _cert: x509.Certificate, usage: x509.ExtendedKeyUsage | None
    ) -> None:
        if _numbers(usage or ()) != wanted:
            raise ValueError(f"extended key usage {purpose.name}")

    def not_a_ca(
        _policy: Policy, _cert: x509.Certificate, constraints: x509.BasicConstraints | None
    ) -> None:
        if constraints is not None and constraints.ca:
            raise ValueError("an end-entity certificate")

    def a_ca(
        _policy: Policy, _cert: x509.Certificate, constraints: x509.BasicConstraints | None
    ) -> None:
        if constraints is None or not constraints.ca:
            raise ValueError("a CA")

    def ca_usage(
        _policy: Policy, _cert: x509.Certificate, usage: x509.ExtendedKeyUsage | None
    ) -> None:
        if usage is not None and wanted[0] not in _numbers(usage):
            raise ValueError(f"an issuing CA for {purpose.name}")

    ee = (
        ExtensionPolicy.permit_all()
        .require_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, leaf_usage)
        .may_be_present(x509.BasicConstraints, Criticality.AGNOSTIC, not_a_ca)
    )
    ca = (
        ExtensionPolicy.permit_all()
        .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, a_ca)
        .may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, ca_usage)
    )
    builder = PolicyBuilder().store(Store([root])).time(now).max_chain_depth(3)
    try:
        builder.extension_policies(ca_policy=ca, ee_policy=ee).build_client_verifier().verify(
            leaf, list(intermediates)
        )  # 1, 2, 3
    except (VerificationError, *UNREADABLE) as error:
        if not leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc:
            life = f"{leaf.not_valid_before_utc:%FT%TZ} to {leaf.not_valid_after_utc:%FT%TZ}"
            raise Refused.of(
                Reason.CERTIFICATE_EXPIRED,
                f"a certificate alive at {now:%FT%TZ}",
                life,
                "attest again; check both clocks",
            ) from error
        raise Refused.of(
            Reason.CERTIFICATE, f"a {purpose.name.lower()} certificate of this fleet", str(error)
        ) from error
    name = common_name(leaf)  # 3
    try:
        key = leaf.public_key()
    except UNREADABLE as error:
        raise Refused.of(Reason.CERTIFICATE, "a P-256 key", type(error).__name__) from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise Refused.of(Reason.CERTIFICATE, "a P-256 key", type(key).__name__)
    return VerifiedCertificate(leaf, purpose, name, key)


def common_name(certificate: x509.Certificate, reason: Reason = Reason.CERTIFICATE) -> str:
    """The one common name of `certificate`'s subject.

    That its issuer says so rightly, the caller MUST establish. Raises Refused (`reason`) where it
    has none or several: whoever read the first would act for another than whoever read the last.
    """
    try:
        names = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    except UNREADABLE as error:
        raise Refused.of(reason, "a subject that can be read", type(error).__name__) from error
    if len(names) != 1:
        raise Refused.of(reason, "one common name", [str(a.value) for a in names])
    return str(names[0].value)


def alternative_names(
    certificate: x509.Certificate,
    kind: type[x509.DNSName | x509.UniformResourceIdentifier],
    reason: Reason = Reason.CERTIFICATE,
) -> list[str]:
    """The names of one `kind` among its alternative names, none where it has none. Raises Refused
    (`reason`) where they cannot be read.
    """
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return names.get_values_for_type(kind)
    except x509.ExtensionNotFound:
        return []
    except UNREADABLE as error:
        raise Refused.of(reason, "names that can be read", type(error).__name__) from error


def while_alive(certificate: x509.Certificate, when: datetime) -> datetime:
    """The moment nearest to `when` in which `certificate` lived: at which what it signed earlier is
    verified, or who opened a connection with it is asked for.
    """
    return min(max(when, certificate.not_valid_before_utc), certificate.not_valid_after_utc)


def from_ms(ms: int) -> datetime:
    """Aware UTC datetime of milliseconds since the epoch. Raises Malformed past the year 9999: such
    a number is nobody's clock.
    """
    try:
        return datetime.fromtimestamp(ms / 1000, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise Malformed.of(Reason.MALFORMED, "a time before the year 10000", ms) from error
