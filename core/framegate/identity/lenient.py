"""TPM makers' certificates that strict readers refuse: read leniently, normalised for reading, and
verified over the bytes that were really signed.

Real TPMs carry them: Intel's and AMD's write FALSE out, Nuvoton's names break the order DER asks of
a SET, older ST keys call themselves RSAES-OAEP, serial numbers are negative. Framegate reads what
it can (`der`), says what it had to put right, and never skips a signature. This is used only for a
chain in which something had to be put right; every other goes through `cryptography`'s strict path
building.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from framegate.errors import EvidenceRejected, Failure, Malformed, Reason
from framegate.identity.certificates import UNREADABLE
from framegate.identity.der import WrittenAnew, write_anew

MAX_DEPTH: Final = 6
MAX_DER_BYTES: Final = 16 * 1024
"""The largest EK certificate seen has 2 KiB; the lenient reader is slower than the strict one."""
MOST_READ: Final = 64
"""Certificates that were read of late: one machine's is asked for twice, and its maker's
intermediates come with every other machine of that maker.
"""
MAX_RSA_BITS: Final = 4096
_READABLE: Final = (
    x509.SubjectAlternativeName,
    x509.KeyUsage,
    x509.BasicConstraints,
    x509.ExtendedKeyUsage,
    x509.CertificatePolicies,
    x509.SubjectKeyIdentifier,
    x509.AuthorityKeyIdentifier,
)
"""Extensions that may be critical: what they say is checked below, or decides nothing."""
_SAY_NOTHING: Final = frozenset(
    bytes.fromhex(oid)
    for oid in (
        "551d0e",  # subjectKeyIdentifier
        "551d1f",  # cRLDistributionPoints
        "551d20",  # certificatePolicies
        "551d23",  # authorityKeyIdentifier
        "551d2e",  # freshestCRL
        "2b06010505070101",  # authorityInfoAccess
        "2b0601050507010b",  # subjectInfoAccess
    )
)
"""Extensions that decide nothing here, whatever they say: one that cannot be read is set aside."""
_WEAK: Final = (hashes.SHA1, hashes.MD5)


@dataclass(frozen=True, slots=True)
class LenientCertificate:
    """A certificate as it was signed, and as it should have been written.

    `tbs` and `signature` are the bytes as they came; `readable` is the normalised form, whose own
    signature no longer holds: for reading alone. `notes` say what was put right; empty where
    nothing was.
    """

    readable: x509.Certificate
    tbs: bytes
    signature: bytes
    notes: tuple[str, ...]


@lru_cache(maxsize=MOST_READ)
def load_leniently(der: bytes) -> LenientCertificate:
    """The certificate in `der`, however its DER is ordered. Raises Malformed (EK_CHAIN) for what is
    no certificate at all.

    What was read is kept, by all of its bytes: they say the same whenever they are read. Whether
    anybody vouches for it, and at what moment, is asked anew each time.
    """
    if len(der) > MAX_DER_BYTES:
        raise Malformed.of(
            Reason.TOO_LARGE, f"a certificate of at most {MAX_DER_BYTES} bytes", len(der)
        )
    try:
        anew = write_anew(der)
        try:
            readable = _read(anew.der)
        except UNREADABLE:
            anew = _set_aside(der, anew.extensions)
            readable = _read(anew.der)
    except UNREADABLE as error:
        raise Malformed.of(
            Reason.EK_CHAIN,
            "a certificate",
            f"{type(error).__name__}: {str(error)[:120]}",
            "pin this EK by its hash instead: framegate camera invite --ek-hash",
        ) from error
    return LenientCertificate(readable, anew.tbs, anew.signature, anew.notes)


def _read(der: bytes) -> x509.Certificate:
    """Raises one of UNREADABLE, now and not when somebody asks for a part."""
    readable = x509.load_der_x509_certificate(der)
    readable.public_key()
    _ = (
        readable.extensions,
        readable.subject,
        readable.issuer,
        readable.signature_hash_algorithm,
    )
    return readable


def _set_aside(der: bytes, extensions: Sequence[bytes]) -> WrittenAnew:
    """The certificate without those of `_SAY_NOTHING` that cannot be read. Raises ValueError
    for what is no certificate.
    """
    mute = _SAY_NOTHING.intersection(extensions)
    bad = frozenset(oid for oid in mute if not _readable(write_anew(der, mute - {oid}).der))
    return write_anew(der, bad)


def _readable(der: bytes) -> bool:
    try:
        _read(der)
    except UNREADABLE:
        return False
    return True


def verify_leniently(
    chain: Sequence[LenientCertificate],
    roots: Sequence[x509.Certificate],
    now: datetime,
    usage: x509.ObjectIdentifier,
    *,
    signing: bool,
) -> x509.Certificate:
    """Establish that `chain[0]` is vouched for by one of `roots`; `chain[1:]` are intermediates in
    any order. Returns the leaf in readable form.

    1. from the leaf on, each certificate's issuer is a CA among the intermediates or roots, found
       by name, at most `MAX_DEPTH` of them, ending in a root;
    2. its key made the signature over the to-be-signed bytes *as they came*, with SHA-256 or
       stronger, RSA of at most 4096 bits: where somebody of that name did not, it is said so;
    3. everything lives at `now`; CAs are CAs, may sign certificates, and keep their path length;
    4. no critical extension that is not understood;
    5. the leaf is no CA, has the extended key usage `usage`, and a key usage, where there is one,
       for what it does.

    Raises EvidenceRejected (EK_CHAIN).
    """
    leaf, others = chain[0], list(chain[1:])
    at, depth = leaf, 0
    while True:
        _alive(at.readable, now)  # 3
        _understood(at.readable)  # 4
        name = at.readable.issuer
        root = next((r for r in roots if r.subject == name and signed_by(at, r)), None)  # 1, 2
        if root is not None:
            _alive(root, now)
            _require_ca(root, depth)
            break
        issuer = next(
            (
                o
                for o in others
                if o.readable.subject == name and o is not at and signed_by(at, o.readable)
            ),
            None,
        )
        if issuer is None or depth >= MAX_DEPTH:
            raise unsigned(at, [*roots, *(o.readable for o in others if o is not at)])
        _require_ca(issuer.readable, depth)
        others.remove(issuer)
        at, depth = issuer, depth + 1
    _require_leaf(leaf.readable, usage, signing=signing)  # 5
    return leaf.readable


def unsigned(
    certificate: LenientCertificate, known: Sequence[x509.Certificate]
) -> EvidenceRejected:
    """Why nobody of `known` vouches for `certificate`: none has its issuer's name, or its signature
    is not that issuer's.
    """
    issuer = certificate.readable.issuer
    if any(k.subject == issuer and _verifies(k.public_key()) for k in known):
        return _rejected(
            f"the signature of {issuer.rfc4514_string()}",
            "a wrong signature",
            "the certificate was altered, or another's key has that name",
        )
    return _rejected(
        "a chain to a trusted TPM maker",
        f"nobody known signed {certificate.readable.subject.rfc4514_string() or 'the leaf'}, which"
        f" names {issuer.rfc4514_string()}",
        "framegate trust list shows the makers; add the missing CA or intermediate",
    )


def _verifies(key: object) -> bool:
    """Whether signatures of `key` are looked at here."""
    if isinstance(key, rsa.RSAPublicKey):
        return 2048 <= key.key_size <= MAX_RSA_BITS
    return isinstance(key, ec.EllipticCurvePublicKey)


def signed_by(certificate: LenientCertificate, issuer: x509.Certificate) -> bool:
    """Whether `issuer`'s key made the signature over the bytes as they came. Raises
    EvidenceRejected (EK_CHAIN) for a hash that is too weak.
    """
    key, algorithm = issuer.public_key(), certificate.readable.signature_hash_algorithm
    if algorithm is None or isinstance(algorithm, _WEAK):
        raise _rejected(
            "signatures with SHA-256 or stronger",
            algorithm.name if algorithm else "an unknown one",
            "pin this EK by its hash: framegate camera invite --ek-hash",
        )
    try:
        parameters = certificate.readable.signature_algorithm_parameters
        if isinstance(key, rsa.RSAPublicKey) and 2048 <= key.key_size <= MAX_RSA_BITS:
            if not isinstance(parameters, padding.PKCS1v15 | padding.PSS):
                return False
            key.verify(certificate.signature, certificate.tbs, parameters, algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(certificate.signature, certificate.tbs, ec.ECDSA(algorithm))
        else:
            return False
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True


def _alive(certificate: x509.Certificate, now: datetime) -> None:
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        raise _rejected(
            f"certificates alive at {now:%FT%TZ}",
            f"{certificate.not_valid_before_utc:%F} to {certificate.not_valid_after_utc:%F}",
        )


def _understood(certificate: x509.Certificate) -> None:
    for extension in certificate.extensions:
        if extension.critical and not isinstance(extension.value, _READABLE):
            raise _rejected("critical extensions that are understood", extension.oid.dotted_string)


def _require_ca(certificate: x509.Certificate, below: int) -> None:
    constraints, usage = (
        _value(certificate, x509.BasicConstraints),
        _value(certificate, x509.KeyUsage),
    )
    if constraints is None or not constraints.ca or (usage is not None and not usage.key_cert_sign):
        raise _rejected("a CA that may sign certificates", certificate.subject.rfc4514_string())
    if constraints.path_length is not None and constraints.path_length < below:
        raise _rejected(
            f"at most {constraints.path_length} CAs below {certificate.subject.rfc4514_string()}",
            str(below),
        )


def _require_leaf(
    certificate: x509.Certificate, usage: x509.ObjectIdentifier, *, signing: bool
) -> None:
    constraints, named, key_usage = (
        _value(certificate, kind)
        for kind in (x509.BasicConstraints, x509.ExtendedKeyUsage, x509.KeyUsage)
    )
    if constraints is not None and constraints.ca:
        raise _rejected("no CA", "a CA certificate")
    if named is None or usage not in list(named):
        raise _rejected(f"extended key usage {usage.dotted_string}", "another or none")
    good = key_usage is None or (
        key_usage.digital_signature
        if signing
        else key_usage.key_encipherment or key_usage.key_agreement
    )
    if not good or (key_usage is not None and key_usage.key_cert_sign):
        raise _rejected("a key usage for what the key does", "another")


def _value(certificate: x509.Certificate, kind: type[Any]) -> Any:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _rejected(expected: str, actual: str, hint: str = "") -> EvidenceRejected:
    return EvidenceRejected([Failure(Reason.EK_CHAIN, expected, actual, hint)])
