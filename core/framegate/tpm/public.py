"""TPMT_PUBLIC: the public area of a key, its name, its `cryptography` key, and the templates
Framegate insists on.

Source: TPM 2.0 Library Part 2, 12.2.4 (TPMT_PUBLIC); Part 1, 16 (names); TCG EK Credential Profile
2.5, B.3 and B.4 (templates).
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from functools import lru_cache, reduce
from operator import or_
from typing import Final, NamedTuple

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from framegate.errors import EvidenceRejected, Failure, Malformed, Reason
from framegate.tpm.buffer import Buffer, tpm2b
from framegate.tpm.constants import HASH_NAME, TPM_RH_ENDORSEMENT, Alg, Attr, Curve

MAX_PUBLIC_BYTES: Final = 1024
"""A 4096-bit RSA public area takes under 600 bytes."""
MAX_RSA_BITS: Final = 4096
"""Larger moduli only cost the verifier time (GO-2026-5297); no TPM makes them."""
_COORDINATE: Final = {Curve.NIST_P256: 32, Curve.NIST_P384: 48}
_CURVE: Final = {Curve.NIST_P256: ec.SECP256R1, Curve.NIST_P384: ec.SECP384R1}

EK_POLICY_SECRET: Final = bytes.fromhex(
    "837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa"
)
"""PolicySecret(TPM_RH_ENDORSEMENT), SHA-256: the low-range templates' authPolicy (EK Credential
Profile, PolicyA).
"""
EK_POLICY_B_SHA256: Final = bytes.fromhex(
    "ca3d0a99a2b93906f7a3342414efcfb3a385d44cd1fd459089d19b5071c0b7a0"
)
"""PolicyOR of secret and NV, SHA-256 (EK Credential Profile, PolicyB), high-range templates."""
EK_POLICY_B_SHA384: Final = bytes.fromhex(
    "b26e7d28d11a50bc53d882bcf5fd3a1a074148bb35d3b4e4cb1c0ad9bde419ca"
    "cb47ba09699646150f9fc000f3f80e12"
)
_EK_ATTRS_LOW: Final = (
    Attr.FIXED_TPM
    | Attr.FIXED_PARENT
    | Attr.SENSITIVE_DATA_ORIGIN
    | Attr.ADMIN_WITH_POLICY
    | Attr.RESTRICTED
    | Attr.DECRYPT
)
_EK_ATTRS_HIGH: Final = _EK_ATTRS_LOW | Attr.USER_WITH_AUTH
AK_ATTRS: Final = (
    Attr.FIXED_TPM
    | Attr.FIXED_PARENT
    | Attr.SENSITIVE_DATA_ORIGIN
    | Attr.USER_WITH_AUTH
    | Attr.NO_DA
    | Attr.RESTRICTED
    | Attr.SIGN
)
TLS_ATTRS: Final = (
    Attr.FIXED_TPM | Attr.FIXED_PARENT | Attr.SENSITIVE_DATA_ORIGIN | Attr.NO_DA | Attr.SIGN
)
"""userWithAuth is clear: only the PCR policy can use the key, so a TPM Restart into another system
cannot sign (N116).
"""


_KNOWN_ATTRIBUTES: Final = reduce(or_, Attr)


class SymmetricCipher(NamedTuple):
    """How a storage key encrypts what it protects."""

    algorithm: Alg
    key_bits: int
    mode: Alg


AES_128_CFB: Final = SymmetricCipher(Alg.AES, 128, Alg.CFB)
AES_256_CFB: Final = SymmetricCipher(Alg.AES, 256, Alg.CFB)


@dataclass(frozen=True, slots=True)
class Public:
    """A parsed TPMT_PUBLIC of an RSA or ECC key; `raw` is the exact bytes it came from.

    `symmetric` is that of a storage key, None for a signing key; `scheme` is
    (algorithm, hash) or None. For ECC `x`, `y` are fixed-width big-endian; for RSA `modulus` and
    `exponent` are set instead.
    """

    raw: bytes
    type: Alg
    name_alg: Alg
    attributes: Attr
    auth_policy: bytes
    symmetric: SymmetricCipher | None
    scheme: tuple[Alg, Alg] | None
    curve: Curve | None
    x: bytes
    y: bytes
    modulus: bytes
    exponent: int

    @property
    def name(self) -> bytes:
        """nameAlg followed by the digest of the public area (Part 1, 16): what MakeCredential and
        Certify bind to.
        """
        return _named(self.name_alg, self.raw)

    def qualified_name(self, hierarchy: int = TPM_RH_ENDORSEMENT) -> bytes:
        """Name of a *primary* in `hierarchy` as Quote and Certify report it (Part 1, 16):
        H(hierarchy handle, name).
        """
        return _qualified(self.name_alg, hierarchy, self.raw)

    def key(self) -> ec.EllipticCurvePublicKey | rsa.RSAPublicKey:
        """The key for `cryptography`. Raises Malformed where the point is not on the curve or the
        modulus is weak.
        """
        return _key(self.curve, self.x, self.y, self.modulus, self.exponent)

    def spki(self) -> bytes:
        """DER SubjectPublicKeyInfo of `key()`."""
        return self.key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )


@lru_cache(maxsize=4096)  # as `_key`
def _named(name_alg: Alg, data: bytes) -> bytes:
    return struct.pack(">H", name_alg) + hashlib.new(HASH_NAME[name_alg], data).digest()


@lru_cache(maxsize=8192)  # as `_key`: an AK is asked for under one hierarchy or two, as a TLS key
def _qualified(name_alg: Alg, hierarchy: int, raw: bytes) -> bytes:
    named = struct.pack(">I", hierarchy) + _named(name_alg, raw)
    return struct.pack(">H", name_alg) + hashlib.new(HASH_NAME[name_alg], named).digest()


@lru_cache(
    maxsize=4096
    # a fleet's keys come back every minute; checking that a point is on its curve costs as much as
    # a
    # hash of the log
)
def _key(
    curve: Curve | None, x: bytes, y: bytes, modulus: bytes, exponent: int
) -> ec.EllipticCurvePublicKey | rsa.RSAPublicKey:
    try:
        if curve is not None:
            return ec.EllipticCurvePublicNumbers(
                int.from_bytes(x, "big"), int.from_bytes(y, "big"), _CURVE[curve]()
            ).public_key()
        return rsa.RSAPublicNumbers(exponent or 65537, int.from_bytes(modulus, "big")).public_key()
    except ValueError as error:
        raise Malformed.of(Reason.MALFORMED, "a key that exists", str(error)) from error


def parse_public(data: bytes) -> Public:
    """The TPMT_PUBLIC in `data`, all of it.

    Raises Malformed on unknown types, algorithms, curves or attribute bits, on coordinates or
    moduli of the wrong size, and on trailing bytes.
    """
    if len(data) > MAX_PUBLIC_BYTES:
        raise Malformed.of(
            Reason.TOO_LARGE, f"a public area of at most {MAX_PUBLIC_BYTES} bytes", len(data)
        )
    return _parsed(bytes(data))


@lru_cache(maxsize=4096)  # as `_key`: the same areas come back every minute
def _parsed(data: bytes) -> Public:
    b = Buffer(data, "TPMT_PUBLIC")
    kind = b.alg("type", Alg.RSA, Alg.ECC)
    name_alg = b.alg("nameAlg", Alg.SHA256, Alg.SHA384, Alg.SHA512)
    bits = b.u32("objectAttributes")
    if bits & ~_KNOWN_ATTRIBUTES:
        raise Malformed.of(Reason.MALFORMED, "known object attributes", f"0x{bits:08x}")
    policy = b.tpm2b("authPolicy", 64)
    symmetric = _symmetric(b)
    scheme = _scheme(b)
    curve, x, y, modulus, exponent = None, b"", b"", b"", 0
    if kind == Alg.ECC:
        value = b.u16("curveID")
        if value not in set(Curve):
            raise Malformed.of(Reason.UNKNOWN_ALGORITHM, "curve P-256 or P-384", f"0x{value:04x}")
        curve = Curve(value)
        b.alg("kdf", Alg.NULL)
        x, y = b.tpm2b("x", 48), b.tpm2b("y", 48)
        size = _COORDINATE[curve]
        if len(x) > size or len(y) > size:
            raise Malformed.of(Reason.MALFORMED, f"coordinates of {size} bytes", (len(x), len(y)))
        x, y = x.rjust(size, b"\0"), y.rjust(size, b"\0")
    else:
        key_bits, exponent = b.u16("keyBits"), b.u32("exponent")
        if key_bits not in {2048, 3072, MAX_RSA_BITS} or exponent not in {0, 65537}:
            raise Malformed.of(
                Reason.MALFORMED,
                "RSA of 2048, 3072 or 4096 bits and the usual exponent",
                (key_bits, exponent),
            )
        modulus = b.tpm2b("modulus", MAX_RSA_BITS // 8)
        if len(modulus) * 8 != key_bits or not modulus[0] & 0x80:
            raise Malformed.of(Reason.MALFORMED, f"a modulus of {key_bits} bits", len(modulus) * 8)
    b.end()
    return Public(
        data, kind, name_alg, Attr(bits), policy, symmetric, scheme, curve, x, y, modulus, exponent
    )


def _symmetric(b: Buffer) -> SymmetricCipher | None:
    alg = b.alg("symmetric", Alg.AES, Alg.NULL)
    if alg == Alg.NULL:
        return None
    bits = b.u16("symmetric keyBits")
    if bits not in {128, 192, 256}:
        raise Malformed.of(Reason.UNKNOWN_ALGORITHM, "AES of 128, 192 or 256 bits", bits)
    return SymmetricCipher(alg, bits, b.alg("symmetric mode", Alg.CFB))


def _scheme(b: Buffer) -> tuple[Alg, Alg] | None:
    scheme = b.alg("scheme", Alg.NULL, Alg.RSASSA, Alg.RSAPSS, Alg.ECDSA)
    return (
        None
        if scheme == Alg.NULL
        else (scheme, b.alg("scheme hash", Alg.SHA1, Alg.SHA256, Alg.SHA384, Alg.SHA512))
    )


def marshal_public(  # noqa: PLR0913 - members of a record
    *,
    attributes: Attr,
    curve: Curve,
    x: bytes,
    y: bytes,
    auth_policy: bytes = b"",
    name_alg: Alg = Alg.SHA256,
    symmetric: SymmetricCipher | None = None,
    scheme: tuple[Alg, Alg] | None = None,
) -> bytes:
    """TPMT_PUBLIC bytes of an ECC key."""
    head = struct.pack(">HHI", Alg.ECC, name_alg, attributes) + tpm2b(auth_policy)
    sym = struct.pack(">H", Alg.NULL) if symmetric is None else struct.pack(">HHH", *symmetric)
    sch = struct.pack(">H", Alg.NULL) if scheme is None else struct.pack(">HH", *scheme)
    return head + sym + sch + struct.pack(">HH", curve, Alg.NULL) + tpm2b(x) + tpm2b(y)


def marshal_public_rsa(
    *,
    attributes: Attr,
    modulus: bytes,
    auth_policy: bytes = b"",
    symmetric: SymmetricCipher | None = None,
    scheme: tuple[Alg, Alg] | None = None,
) -> bytes:
    """TPMT_PUBLIC bytes of an RSA key with the default exponent: a storage key has no scheme."""
    sym = struct.pack(">H", Alg.NULL) if symmetric is None else struct.pack(">HHH", *symmetric)
    sch = struct.pack(">H", Alg.NULL) if scheme is None else struct.pack(">HH", *scheme)
    return (
        struct.pack(">HHI", Alg.RSA, Alg.SHA256, attributes)
        + tpm2b(auth_policy)
        + sym
        + sch
        + struct.pack(">HI", len(modulus) * 8, 0)
        + tpm2b(modulus)
    )


def require_ek(public: Public) -> None:
    """`public` is one of the TCG EK templates (low range L-1, L-2; high range H-1, H-2, H-3, H-6):
    restricted decryption, fixed to its TPM.

    Raises EvidenceRejected (EK_TEMPLATE) naming the first attribute that differs.
    """
    aes128, aes256 = AES_128_CFB, AES_256_CFB
    low = (_EK_ATTRS_LOW, Alg.SHA256, EK_POLICY_SECRET, aes128)
    high256 = (_EK_ATTRS_HIGH, Alg.SHA256, EK_POLICY_B_SHA256, aes128)
    high384 = (_EK_ATTRS_HIGH, Alg.SHA384, EK_POLICY_B_SHA384, aes256)
    if public.curve is None:
        allowed = (low, high256) if len(public.modulus) == 256 else (high384,)
    else:
        allowed = (low, high256) if public.curve == Curve.NIST_P256 else (high384,)
    got = (public.attributes, public.name_alg, public.auth_policy, public.symmetric)
    if got not in allowed or public.scheme is not None:
        raise EvidenceRejected(
            [
                Failure(
                    Reason.EK_TEMPLATE,
                    "a TCG endorsement key template",
                    _describe(public),
                    "the EK must be made by the TPM from a TCG template",
                )
            ]
        )


def require_ak(public: Public) -> None:
    """`public` is exactly Framegate's attestation key: P-256, ECDSA-SHA256, restricted signing,
    born in and fixed to its TPM.

    Raises EvidenceRejected (AK_TEMPLATE). An unrestricted key would sign a forged TPM_GENERATED
    blob (N11).
    """
    _require_signing(public, AK_ATTRS, b"", Reason.AK_TEMPLATE)


def require_tls_key(public: Public, policy: bytes) -> None:
    """`public` is exactly Framegate's TLS key with authPolicy `policy`: P-256, unrestricted
    signing, usable by that policy alone.

    Raises EvidenceRejected: TLS_TEMPLATE for the attributes, TLS_KEY_POLICY where only the policy
    differs.
    """
    _require_signing(public, TLS_ATTRS, public.auth_policy, Reason.TLS_TEMPLATE)
    if public.auth_policy != policy:
        raise EvidenceRejected(
            [
                Failure(
                    Reason.TLS_KEY_POLICY,
                    policy.hex(),
                    public.auth_policy.hex(),
                    "the TLS key must be bound to the boot state that is being attested",
                )
            ]
        )


def _require_signing(public: Public, attributes: Attr, policy: bytes, reason: Reason) -> None:
    want = (Alg.ECC, Alg.SHA256, attributes, policy, None, (Alg.ECDSA, Alg.SHA256), Curve.NIST_P256)
    got = (
        public.type,
        public.name_alg,
        public.attributes,
        public.auth_policy,
        public.symmetric,
        public.scheme,
        public.curve,
    )
    if got != want:
        expected = f"P-256 ECDSA-SHA256 with {attributes!r}"
        raise EvidenceRejected(
            [
                Failure(
                    reason,
                    expected,
                    _describe(public),
                    "the key must be made by the agent in this TPM",
                )
            ]
        )


def _describe(public: Public) -> str:
    shape = public.curve.name if public.curve is not None else f"RSA-{len(public.modulus) * 8}"
    scheme = "no scheme" if public.scheme is None else "-".join(a.name for a in public.scheme)
    return (
        f"{shape} {public.name_alg.name} {scheme} {public.attributes!r} policy"
        f" {public.auth_policy.hex() or 'none'}"
    )
