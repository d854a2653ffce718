"""Quotes as TPM tools leave them in files: public keys, attestations and signatures in any of the
usual forms, read strictly.

`tpm2_readpublic`, `tpm2_quote` and go-tpm write TPM2B or TPMT structures, PEM keys, AK
certificates, and signatures as TPMT_SIGNATURE or bare.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

from framegate.errors import EvidenceRejected, Failure, FramegateError, Malformed, Reason
from framegate.identity.certificate_file import load_certificate_file
from framegate.identity.certificates import UNREADABLE
from framegate.tpm.attest import Attest, parse_attest, parse_signature, verify_parsed_signature
from framegate.tpm.constants import Alg, Attr
from framegate.tpm.public import MAX_RSA_BITS, Public, parse_public

MAX_FILE_BYTES: Final = 64 * 1024
"""A key, an attestation or a signature; the largest, an AK certificate, has some 2 KiB."""
_HASHER: Final[dict[Alg, Any]] = {
    Alg.SHA256: hashes.SHA256,
    Alg.SHA384: hashes.SHA384,
    Alg.SHA512: hashes.SHA512,
}
_AK: Final = (
    Attr.FIXED_TPM | Attr.FIXED_PARENT | Attr.SENSITIVE_DATA_ORIGIN | Attr.RESTRICTED | Attr.SIGN
)
_DECIDING: Final = int(_AK | Attr.DECRYPT)


@dataclass(frozen=True, slots=True)
class AttestationKey:
    """An AK out of a file. `public` is None where the file holds a bare key or a certificate: then
    nothing is known of its attributes.
    """

    key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey
    public: Public | None
    form: str


def load_ak(raw: bytes) -> AttestationKey:
    """The AK in `raw`: TPM2B_PUBLIC, TPMT_PUBLIC, PEM or DER public key or certificate. Raises
    Malformed (AK_TEMPLATE).
    """
    if len(raw) > MAX_FILE_BYTES:
        raise Malformed.of(
            Reason.TOO_LARGE, f"a key file of at most {MAX_FILE_BYTES} bytes", len(raw)
        )
    sized = len(raw) > 2 and raw[:2] == (len(raw) - 2).to_bytes(2, "big")
    for data, form in ((raw[2:] if sized else b"", "TPM2B_PUBLIC"), (raw, "TPMT_PUBLIC")):
        if data[:2] in {b"\x00\x01", b"\x00\x23"}:
            public = parse_public(data)
            return AttestationKey(public.key(), public, form)
    coding = "PEM" if b"-----BEGIN" in raw else "DER"
    loaders: tuple[tuple[Callable[[], Any], str], ...] = (
        (lambda: _certified_key(raw), f"certificate, {coding}"),
        (lambda: serialization.load_pem_public_key(raw), "public key, PEM"),
        (lambda: serialization.load_der_public_key(raw), "public key, DER"),
    )
    for load, form in loaders:
        try:
            key = load()
        except (FramegateError, *UNREADABLE):
            continue
        if isinstance(key, rsa.RSAPublicKey) and 2048 <= key.key_size <= MAX_RSA_BITS:
            return AttestationKey(key, None, form)
        if isinstance(key, ec.EllipticCurvePublicKey):
            return AttestationKey(key, None, form)
        raise Malformed.of(
            Reason.AK_TEMPLATE,
            f"an RSA key of 2048 to {MAX_RSA_BITS} bits, or an ECC key",
            type(key).__name__,
        )
    raise Malformed.of(
        Reason.AK_TEMPLATE,
        "an AK as TPM2B_PUBLIC, TPMT_PUBLIC, PEM or DER key or certificate",
        raw[:8].hex() or "nothing",
        "tpm2_readpublic -f pem writes one",
    )


def _certified_key(raw: bytes) -> Any:
    return load_certificate_file(raw)[0].certificate.public_key()


def load_attest(raw: bytes) -> Attest:
    """The attestation in `raw`, TPMS_ATTEST or TPM2B_ATTEST. Raises Malformed."""
    sized = 2 < len(raw) < MAX_FILE_BYTES and raw[:2] == (len(raw) - 2).to_bytes(2, "big")
    return parse_attest(raw[2:] if sized else raw)


def check_ak(ak: AttestationKey) -> list[Failure]:
    """Why the key is no attestation key; nothing where it is one, or where its attributes are
    unknown.
    """
    if ak.public is None:
        return []
    if int(ak.public.attributes) & _DECIDING != _AK:
        return [
            Failure(
                Reason.AK_TEMPLATE,
                f"a key with {_AK!r}",
                repr(ak.public.attributes),
                "an unrestricted key signs whatever it is given, forged quotes too",
            )
        ]
    return []


def verify_quote_signature(ak: AttestationKey, message: bytes, raw: bytes) -> Alg:
    """`raw` is `ak`'s signature over exactly `message`; returns its hash, which is also that of the
    quote's pcrDigest.

    1. TPMT_SIGNATURE, bare RSASSA, or bare ECDSA (DER or r ‖ s); a bare one is taken for SHA-256 or
       the key's own scheme;
    2. a key that pins its scheme is held to it (N10); SHA-1 never counts;
    3. the signature verifies.

    Raises Malformed or EvidenceRejected (SIGNATURE_SCHEME, SIGNATURE).
    """
    if ak.public is not None and ak.public.scheme is not None:
        hash_alg = ak.public.scheme[1]
        try:
            signature = parse_signature(raw)
        except FramegateError:
            _verify_bare(ak, message, raw, hash_alg, ak.public.scheme[0])
        else:
            verify_parsed_signature(ak.public, message, signature)
        return hash_alg
    try:
        signature = parse_signature(raw)
    except FramegateError:
        _verify_bare(ak, message, raw, Alg.SHA256, None)
        return Alg.SHA256
    if signature.scheme == Alg.ECDSA:
        bare = utils.encode_dss_signature(signature.r, signature.s)
    else:
        bare = signature.value
    if (signature.scheme == Alg.ECDSA) != isinstance(ak.key, ec.EllipticCurvePublicKey):
        raise EvidenceRejected(
            [Failure(Reason.SIGNATURE_SCHEME, f"a scheme for {_kind(ak)}", signature.scheme.name)]
        )
    _verify_bare(ak, message, bare, signature.hash, signature.scheme)
    return signature.hash


def _verify_bare(
    ak: AttestationKey, message: bytes, value: bytes, hash_alg: Alg, scheme: Alg | None
) -> None:
    if hash_alg not in _HASHER:  # 2
        raise EvidenceRejected(
            [
                Failure(
                    Reason.SIGNATURE_SCHEME,
                    "a signature with SHA-256 or stronger",
                    hash_alg.name,
                    "make an AK with another scheme",
                )
            ]
        )
    hasher = _HASHER[hash_alg]()
    try:
        if isinstance(ak.key, rsa.RSAPublicKey):
            pss = padding.PSS(padding.MGF1(hasher), padding.PSS.AUTO)
            ak.key.verify(
                value, message, pss if scheme == Alg.RSAPSS else padding.PKCS1v15(), hasher
            )
        else:
            value = _as_der(value, (ak.key.curve.key_size + 7) // 8)
            ak.key.verify(value, message, ec.ECDSA(hasher))
    except (InvalidSignature, ValueError) as error:
        raise EvidenceRejected(
            [Failure(Reason.SIGNATURE, "the key's signature over these bytes", "another")]
        ) from error


def _as_der(value: bytes, half: int) -> bytes:
    """An ECDSA signature in DER; one of r ‖ s may begin with the very byte that DER does."""
    if len(value) != 2 * half:
        return value
    try:
        utils.decode_dss_signature(value)
    except ValueError:
        r, s = (int.from_bytes(v, "big") for v in (value[:half], value[half:]))
        return utils.encode_dss_signature(r, s)
    return value


def _kind(ak: AttestationKey) -> str:
    return (
        f"ECC {ak.key.curve.name}"
        if isinstance(ak.key, ec.EllipticCurvePublicKey)
        else f"RSA-{ak.key.key_size}"
    )


def key_words(ak: AttestationKey) -> str:
    """The key in words."""
    attributes = f", {ak.public.attributes!r}" if ak.public is not None else ", attributes unknown"
    return f"{_kind(ak)} ({ak.form}){attributes}"
