"""TPM makers' certificates that strict readers refuse: read leniently, normalised for reading, and
verified over the bytes that were really signed.

Real TPMs carry them: Nuvoton's names break the order DER asks of a SET; older ST keys call
themselves RSAES-OAEP. Framegate reads what it can, says what it had to put right, and never skips a
signature. This is used only where `cryptography` cannot read a certificate or its key; its strict
path building comes first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from asn1crypto import core as asn1
from asn1crypto import x509 as lenient_x509
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from framegate.errors import EvidenceRejected, Failure, Malformed, Reason

MAX_DEPTH: Final = 6
MAX_DER_BYTES: Final = 16 * 1024
"""The largest EK certificate seen has 2 KiB; the lenient reader is slower than the strict one."""
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


def load_leniently(der: bytes) -> LenientCertificate:
    """The certificate in `der`, however its DER is ordered. Raises Malformed (EK_CHAIN) for what is
    no certificate at all.
    """
    if len(der) > MAX_DER_BYTES:
        raise Malformed.of(
            Reason.TOO_LARGE, f"a certificate of at most {MAX_DER_BYTES} bytes", len(der)
        )
    try:
        parsed: Any = lenient_x509.Certificate.load(der, strict=True)
        tbs, bits = (
            bytes(parsed["tbs_certificate"].dump()),
            bytes(parsed["signature_value"].contents),
        )
        if (
            bits[:1] != b"\0"
            or parsed["signature_algorithm"].dump() != parsed["tbs_certificate"]["signature"].dump()
        ):
            raise ValueError(
                "a signature of whole bytes, under one algorithm inside and out (RFC 5280, 4.1.1.2)"
            )
        signature = bits[1:]
        notes = []
        info = parsed["tbs_certificate"]["subject_public_key_info"]
        if info["algorithm"]["algorithm"].native == "rsaes_oaep":
            info["algorithm"] = {"algorithm": "rsa", "parameters": asn1.Null()}
            notes.append("RSAES-OAEP key")
        for name in (
            "issuer",
            "subject",
        ):  # written anew, in the order DER asks for; everything else stays as it is
            parsed["tbs_certificate"][name] = lenient_x509.Name.load(
                parsed["tbs_certificate"][name].dump(force=True)
            )
        again = bytes(parsed.dump())
        readable = x509.load_der_x509_certificate(again)
        readable.public_key()
        _ = (
            readable.extensions,
            readable.subject,
            readable.issuer,
            readable.signature_hash_algorithm,
        )
    # a lenient reader raises whatever it trips over (fuzzing found AttributeError): to us all of it
    # is "no certificate"
    except Exception as error:
        raise Malformed.of(
            Reason.EK_CHAIN,
            "a certificate",
            f"{type(error).__name__}: {str(error)[:120]}",
            "pin this EK by its hash instead: framegate camera invite --ek-hash",
        ) from error
    if again != der and not notes:
        notes.append("order of a SET")
    return LenientCertificate(readable, tbs, signature, tuple(notes))


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
       stronger, RSA of at most 4096 bits;
    3. everything lives at `now`; CAs are CAs, may sign certificates, and keep their path length;
    4. no critical extension that is not understood;
    5. the leaf is no CA, has the extended key usage `usage`, and a key usage, where there is one,
       for what it does.

    Raises EvidenceRejected (EK_CHAIN).
    """
    leaf, others = chain[0], list(chain[1:])
    anchors = {r.subject: r for r in roots}
    at, depth = leaf, 0
    while True:
        _alive(at.readable, now)  # 3
        _understood(at.readable)  # 4
        root = anchors.get(at.readable.issuer)
        if root is not None and _signed_by(at, root):  # 1, 2
            _alive(root, now)
            _require_ca(root, depth)
            break
        issuer = next(
            (
                o
                for o in others
                if o.readable.subject == at.readable.issuer
                and o is not at
                and _signed_by(at, o.readable)
            ),
            None,
        )
        if issuer is None or depth >= MAX_DEPTH:
            raise _rejected(
                "a chain to a trusted TPM maker",
                f"nobody known signed {at.readable.subject.rfc4514_string() or 'the leaf'}",
                "framegate trust list shows the makers",
            )
        _require_ca(issuer.readable, depth)
        others.remove(issuer)
        at, depth = issuer, depth + 1
    _require_leaf(leaf.readable, usage, signing=signing)  # 5
    return leaf.readable


def _signed_by(certificate: LenientCertificate, issuer: x509.Certificate) -> bool:
    key, algorithm = issuer.public_key(), certificate.readable.signature_hash_algorithm
    if algorithm is None or isinstance(algorithm, _WEAK):
        raise _rejected(
            "signatures with SHA-256 or stronger",
            algorithm.name if algorithm else "an unknown one",
            "pin this EK by its hash: framegate camera invite --ek-hash",
        )
    try:
        if isinstance(key, rsa.RSAPublicKey) and 2048 <= key.key_size <= MAX_RSA_BITS:
            key.verify(certificate.signature, certificate.tbs, padding.PKCS1v15(), algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(certificate.signature, certificate.tbs, ec.ECDSA(algorithm))
        else:
            return False
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
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
