"""Endorsement: the TPM maker's certificate for an EK, and the proof that it is for *this* EK.

Source: TCG EK Credential Profile 2.5, section 3. Trust anchors are the makers' CAs that an operator
added; nothing is fetched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from framegate.errors import EvidenceRejected, Failure, Malformed, Reason
from framegate.identity.ber import first_size
from framegate.identity.certificates import UNREADABLE
from framegate.identity.lenient import (
    LenientCertificate,
    load_leniently,
    signed_by,
    unsigned,
    verify_leniently,
)
from framegate.tpm.public import MAX_RSA_BITS, Public, require_ek

EK_USAGE: Final = x509.ObjectIdentifier("2.23.133.8.1")
"""tcg-kp-EKCertificate."""
MAX_CHAIN: Final = 6
"""Real chains have two or three intermediates."""
SERIAL_BITS: Final = 159
"""A positive serial number of at most 20 bytes (RFC 5280, 4.1.2.2)."""
_NV_HEADER: Final = bytes.fromhex("1001")
"""TPM 1.2 and some 2.0 parts wrap the DER in TCG_FULL_CERT: tag 1001, type 00, 16-bit length, then
1002 for a full certificate.
"""


@dataclass(frozen=True, slots=True)
class MakerCertificate:
    """A certificate of a TPM maker. `strict` tells whether it is DER by the rules of RFC 5280;
    where it is not, `lenient` is how it was read all the same.

    `notes` say what had to be taken off or put right: wrapper, padding, FALSE written out, order of
    a SET, RSAES-OAEP key, a serial number that may not be.
    """

    der: bytes
    certificate: x509.Certificate
    strict: bool
    notes: tuple[str, ...]

    @property
    def lenient(self) -> LenientCertificate:
        """The certificate with the very bytes that were signed."""
        return load_leniently(self.der)


def load_ek_certificate(raw: bytes) -> tuple[x509.Certificate, tuple[str, ...]]:
    """The certificate in the bytes of an NV index, strictly read, and what had to be taken off:
    ("wrapper",), ("padding",), both or none.

    Raises Malformed (EK_CHAIN) where no DER certificate is inside. The signature is never skipped,
    whatever was taken off.
    """
    data, notes = _unwrapped(raw)
    try:
        return x509.load_der_x509_certificate(data), notes
    except UNREADABLE as error:
        raise Malformed.of(
            Reason.EK_CHAIN,
            "a certificate in strict DER",
            str(error),
            "pin this EK by its hash instead: framegate camera invite --ek-hash",
        ) from error


def load_maker_certificate(raw: bytes) -> MakerCertificate:
    """The certificate in `raw`, DER; `strict` where nothing had to be put right to read it (N21).
    Raises Malformed (EK_CHAIN) where it cannot be read at all.
    """
    data, notes = _unwrapped(raw)
    lenient = load_leniently(data)
    return MakerCertificate(data, lenient.readable, not lenient.notes, (*notes, *lenient.notes))


def _unwrapped(raw: bytes) -> tuple[bytes, tuple[str, ...]]:
    notes: list[str] = []
    data = raw
    if data[:2] == _NV_HEADER and len(data) > 7:
        size = int.from_bytes(data[3:5], "big") - 2
        data = data[7 : 7 + size]
        notes.append("wrapper")
    size = first_size(data)
    if size == 0:
        raise Malformed.of(
            Reason.EK_CHAIN, "a DER certificate in the EK's NV index", data[:4].hex() or "nothing"
        )
    if len(data) < size:
        hint = "copy it whole, or pin this EK by its hash: framegate camera invite --ek-hash"
        raise Malformed.of(
            Reason.EK_CHAIN, f"a certificate of {size} bytes", f"{len(data)}: it is cut off", hint
        )
    if len(data) > size:
        behind = data[size:]  # one value over and over, whatever NV held; or the end of a line
        if behind.strip(behind[:1]) and behind.strip(b"\r\n"):
            raise Malformed.of(
                Reason.TRAILING_BYTES,
                f"a certificate of {size} bytes",
                f"{len(data) - size} more that are no padding",
            )
        data = data[:size]
        notes.append("padding")
    return data, tuple(notes)


def load_chain(raw: Sequence[bytes]) -> list[MakerCertificate]:
    """The certificates in NV contents: the leaf's first, then intermediates, several of which may
    stand in one index behind one another.

    Raises Malformed (EK_CHAIN, TOO_LARGE) past `MAX_CHAIN` certificates (N22).
    """
    chain: list[MakerCertificate] = []
    for number, data in enumerate(raw):
        rest = data
        while rest:
            size = first_size(rest)
            if number and 0 < size < len(rest) and first_size(rest[size:]):
                part, rest = rest[:size], rest[size:]
            else:
                part, rest = rest, b""
            if len(chain) >= MAX_CHAIN:
                raise Malformed.of(Reason.TOO_LARGE, f"at most {MAX_CHAIN} certificates", "more")
            chain.append(load_maker_certificate(part))
    return chain


def verify_endorsement(
    ek: Public, chain: Sequence[bytes], roots: Sequence[x509.Certificate], now: datetime
) -> x509.Certificate:
    """Establish that a TPM maker vouches for `ek`; `chain[0]` is the EK's certificate, the rest
    intermediates. Returns that certificate.

    1. the EK is a TCG template, so that it can only decrypt credentials (`require_ek`);
    2. the certificate and intermediates parse, leniently where they must; no RSA key exceeds 4096
       bits;
    3. a chain of valid signatures, alive at `now`, leads to one of `roots`; CAs are CAs;
    4. the leaf is no CA and has EKU 2.23.133.8.1; a key usage, which makers' older certificates
       lack, is for encryption or agreement; makers mark their certificate policies critical: they
       are allowed and decide nothing; a self-signed EK never passes;
    5. the certificate's key *is* the EK used for activation.

    Where a certificate of the chain, or a root of it, is one that strict readers refuse, checks 3
    and 4 are those of `lenient.verify_leniently`.

    Raises Malformed or EvidenceRejected (EK_TEMPLATE, EK_CHAIN, EK_CERTIFICATE_KEY).
    """
    require_ek(ek)  # 1
    if not chain:
        raise _rejected(
            "an EK certificate",
            "none",
            "pin this EK by its hash: framegate camera invite --ek-hash",
        )
    leaf = verify_maker_chain(load_chain(chain), roots, now, EK_USAGE, signing=False)  # 2, 3, 4
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if leaf.public_key().public_bytes(*form) != ek.key().public_bytes(*form):  # 5
        raise EvidenceRejected(
            [
                Failure(
                    Reason.EK_CERTIFICATE_KEY,
                    "the certificate's own EK",
                    "another key",
                    "the EK template does not reproduce this certificate's key",
                )
            ]
        )
    return leaf


def verify_maker_chain(
    chain: Sequence[MakerCertificate],
    roots: Sequence[x509.Certificate],
    now: datetime,
    usage: x509.ObjectIdentifier,
    *,
    signing: bool,
) -> x509.Certificate:
    """Checks 2 to 4 of `verify_endorsement`, for a leaf with `usage`; `signing` for a key that
    signs. Returns the leaf.
    """
    leaf, *others = [c.certificate for c in chain]
    for certificate in (leaf, *others):
        try:
            key = certificate.public_key()
        except UNREADABLE as error:
            raise _rejected(
                "a key that can be read",
                type(error).__name__,
                "pin this EK by its hash: framegate camera invite --ek-hash",
            ) from error
        if isinstance(key, rsa.RSAPublicKey) and key.key_size > MAX_RSA_BITS:
            raise _rejected(f"RSA of at most {MAX_RSA_BITS} bits", str(key.key_size))
    if leaf.subject == leaf.issuer and leaf.subject.rdns:
        raise _rejected("a certificate by a TPM maker", "a self-signed one")
    if not roots:
        raise _rejected(
            "a TPM maker's CA in the registry", "none", "add it: framegate trust add-tpm-ca FILE"
        )
    if not all(c.strict for c in chain) or _odd_root(chain, roots):
        return verify_leniently([c.lenient for c in chain], roots, now, usage, signing=signing)
    try:
        _verifier(roots, now, usage, signing=signing).verify(leaf, others)  # 3, 4
    except (VerificationError, *UNREADABLE) as error:
        _require_signer(chain, roots)
        raise _rejected(
            "a chain to a trusted TPM maker",
            str(error),
            "framegate trust list shows the makers; add the missing CA or intermediate",
        ) from error
    return leaf


def _odd_root(chain: Sequence[MakerCertificate], roots: Sequence[x509.Certificate]) -> bool:
    """Whether a root that the chain names has a serial number which strict path building refuses,
    or the chain writes a name in another string type than its holder, which it takes for another
    name and RFC 5280, 7.1, for the same; whatever else is odd of a root was put right when it was
    added.
    """
    named = [c.certificate for c in chain]
    issuers = {c.issuer for c in named}
    if any(
        r.subject in issuers
        and (r.serial_number <= 0 or r.serial_number.bit_length() > SERIAL_BITS)
        for r in roots
    ):
        return True
    holders = [*roots, *named[1:]]
    return any(
        h.subject == c.issuer and h.subject.public_bytes() != c.issuer.public_bytes()
        for c in named
        for h in holders
    )


def _require_signer(chain: Sequence[MakerCertificate], roots: Sequence[x509.Certificate]) -> None:
    """Raises EvidenceRejected that says of a refused chain whose signature is wrong or missing."""
    known = [*roots, *(c.certificate for c in chain[1:])]
    for each in chain:
        certificate = each.lenient
        named = [k for k in known if k.subject == each.certificate.issuer]
        if not any(signed_by(certificate, k) for k in named):
            raise unsigned(certificate, named)


def _rejected(expected: str, actual: str, hint: str = "") -> EvidenceRejected:
    return EvidenceRejected([Failure(Reason.EK_CHAIN, expected, actual, hint)])


def _verifier(
    roots: Sequence[x509.Certificate],
    now: datetime,
    wanted: x509.ObjectIdentifier = EK_USAGE,
    *,
    signing: bool = False,
) -> x509.verification.ClientVerifier:
    def usage(
        _policy: Policy, _cert: x509.Certificate, value: x509.ExtendedKeyUsage | None
    ) -> None:
        if value is None or wanted not in list(value):
            raise ValueError(f"extended key usage {wanted.dotted_string}")

    def key_usage(_policy: Policy, _cert: x509.Certificate, value: x509.KeyUsage | None) -> None:
        good = value is None or (
            value.digital_signature if signing else value.key_encipherment or value.key_agreement
        )
        if not good or (value is not None and value.key_cert_sign):
            raise ValueError(
                "key usage "
                + ("digitalSignature" if signing else "keyEncipherment or keyAgreement")
            )

    def not_a_ca(
        _policy: Policy, _cert: x509.Certificate, value: x509.BasicConstraints | None
    ) -> None:
        if value is not None and value.ca:
            raise ValueError("no CA")

    def a_ca(_policy: Policy, _cert: x509.Certificate, value: x509.BasicConstraints | None) -> None:
        if value is None or not value.ca:
            raise ValueError("a CA")

    def directory_name(
        _policy: Policy, _cert: x509.Certificate, value: x509.SubjectAlternativeName | None
    ) -> None:
        if value is not None and len(value.get_values_for_type(x509.DirectoryName)) != 1:
            raise ValueError("one directory name with the TPM's maker, model and version")

    ee = (
        ExtensionPolicy.permit_all()
        .require_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, usage)
        .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, key_usage)
        .may_be_present(x509.CertificatePolicies, Criticality.AGNOSTIC, None)
        .may_be_present(x509.BasicConstraints, Criticality.AGNOSTIC, not_a_ca)
        .may_be_present(x509.SubjectAlternativeName, Criticality.AGNOSTIC, directory_name)
    )
    ca = (
        ExtensionPolicy.permit_all()
        .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, a_ca)
        .may_be_present(x509.CertificatePolicies, Criticality.AGNOSTIC, None)
    )
    return (
        PolicyBuilder()
        .store(Store(list(roots)))
        .time(now)
        .max_chain_depth(6)
        .extension_policies(ca_policy=ca, ee_policy=ee)
        .build_client_verifier()
    )
