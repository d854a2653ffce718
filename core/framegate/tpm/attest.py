"""TPMS_ATTEST and TPMT_SIGNATURE: what a TPM says and how it signs it.

Source: TPM 2.0 Library Part 2, 10.12 (attestation), 10.6 (PCR), 11.3 (signatures).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

from framegate.errors import EvidenceRejected, Failure, Malformed, Reason
from framegate.tpm.buffer import Buffer, tpm2b
from framegate.tpm.constants import Alg, St
from framegate.tpm.public import Public

MAX_ATTEST_BYTES: Final = 1024
"""TPM2B_ATTEST of a quote over five banks with 64-byte nonce stays below 300 bytes."""
PCR_COUNT: Final = 24
_BANKS: Final = (Alg.SHA1, Alg.SHA256, Alg.SHA384, Alg.SHA512, Alg.SM3_256)
_SCHEMES: Final = (Alg.ECDSA, Alg.RSASSA, Alg.RSAPSS)
_HASHES: Final = (Alg.SHA1, Alg.SHA256, Alg.SHA384, Alg.SHA512)
_HEAD: Final = struct.Struct(">IH")
"""magic and type."""
_CLOCK: Final = struct.Struct(">QIIBQ")
"""TPMS_CLOCK_INFO and firmwareVersion."""
_HASHERS: Final[Mapping[Alg, hashes.HashAlgorithm]] = {
    Alg.SHA256: hashes.SHA256(),
    Alg.SHA384: hashes.SHA384(),
    Alg.SHA512: hashes.SHA512(),
}
_ECDSA: Final = {alg: ec.ECDSA(hasher) for alg, hasher in _HASHERS.items()}


@dataclass(frozen=True, slots=True)
class PcrSelection:
    """One bank and its selected PCRs, ascending."""

    bank: Alg
    pcrs: tuple[int, ...]

    def marshal(self) -> bytes:
        """TPMS_PCR_SELECTION with sizeofSelect 3."""
        mask = sum(1 << p for p in self.pcrs)
        return struct.pack(">HB", self.bank, 3) + mask.to_bytes(3, "little")


def marshal_selections(selections: tuple[PcrSelection, ...]) -> bytes:
    """TPML_PCR_SELECTION."""
    return struct.pack(">I", len(selections)) + b"".join(s.marshal() for s in selections)


@dataclass(frozen=True, slots=True)
class ClockInfo:
    """TPMS_CLOCK_INFO: `clock` in ms of powered time; `safe` False after a loss of power, which is
    no offence.
    """

    clock: int
    reset_count: int
    restart_count: int
    safe: bool


@dataclass(frozen=True, slots=True)
class Attest:
    """A parsed TPMS_ATTEST. For a quote `selections` and `pcr_digest` are set, for a certify `name`
    and `qualified_name`.

    Parsing says nothing about truth: `verify.py` holds the checks.
    """

    raw: bytes
    magic: int
    type: int
    qualified_signer: bytes
    extra_data: bytes
    clock_info: ClockInfo
    firmware_version: int
    selections: tuple[PcrSelection, ...] = ()
    pcr_digest: bytes = b""
    name: bytes = b""
    certified_qualified_name: bytes = b""


def parse_attest(data: bytes) -> Attest:
    """The TPMS_ATTEST in `data`, all of it.

    A wrong magic or a type other than quote or certify is reported by the caller's ordered checks,
    so it parses here as far as the common header goes. Raises Malformed on short buffers, trailing
    bytes, sizeofSelect other than 3, duplicate or unknown banks.
    """
    if len(data) > MAX_ATTEST_BYTES:
        raise Malformed.of(
            Reason.TOO_LARGE, f"an attestation of at most {MAX_ATTEST_BYTES} bytes", len(data)
        )
    b = Buffer(data, "TPMS_ATTEST")
    magic, kind = b.members(_HEAD, "magic and type")
    signer, extra = b.tpm2b("qualifiedSigner", 66), b.tpm2b("extraData", 64)
    ticks, resets, restarts, safe, firmware = b.members(_CLOCK, "clockInfo and firmwareVersion")
    if safe > 1:
        raise Malformed.of(Reason.MALFORMED, "TPMI_YES_NO of 0 or 1", safe)
    clock = ClockInfo(ticks, resets, restarts, safe == 1)
    if kind == St.ATTEST_QUOTE:
        selections = _selections(b)
        digest = b.tpm2b("pcrDigest", 64)
        b.end()
        return Attest(bytes(data), magic, kind, signer, extra, clock, firmware, selections, digest)
    if kind == St.ATTEST_CERTIFY:
        name, qualified = b.tpm2b("name", 66), b.tpm2b("qualifiedName", 66)
        b.end()
        return Attest(
            bytes(data),
            magic,
            kind,
            signer,
            extra,
            clock,
            firmware,
            name=name,
            certified_qualified_name=qualified,
        )
    return Attest(bytes(data), magic, kind, signer, extra, clock, firmware)


def _selections(b: Buffer) -> tuple[PcrSelection, ...]:
    count = b.u32("pcrSelect count")
    if count > len(_BANKS):
        raise Malformed.of(Reason.TOO_LARGE, f"at most {len(_BANKS)} PCR selections", count)
    selections: list[PcrSelection] = []
    for _ in range(count):
        bank, size = b.alg("pcrSelect hash", *_BANKS), b.u8("sizeofSelect")
        if size != 3:
            raise Malformed.of(Reason.MALFORMED, "sizeofSelect 3", size)
        mask = int.from_bytes(b.take(3, "pcrSelect"), "little")
        if any(s.bank == bank for s in selections):
            raise Malformed.of(Reason.MALFORMED, "each bank once", f"{bank.name} twice")
        selections.append(_selection(bank, mask))
    return tuple(selections)


@lru_cache(maxsize=256)  # profiles select a handful of sets between them
def _selection(bank: Alg, mask: int) -> PcrSelection:
    return PcrSelection(bank, tuple(p for p in range(PCR_COUNT) if mask >> p & 1))


def marshal_attest(attest: Attest) -> bytes:
    """TPMS_ATTEST bytes of a quote or certify; the inverse of `parse_attest` (its `raw` is
    ignored).
    """
    c = attest.clock_info
    head = (
        struct.pack(">IH", attest.magic, attest.type)
        + tpm2b(attest.qualified_signer)
        + tpm2b(attest.extra_data)
    )
    head += struct.pack(
        ">QIIBQ", c.clock, c.reset_count, c.restart_count, c.safe, attest.firmware_version
    )
    if attest.type == St.ATTEST_QUOTE:
        return head + marshal_selections(attest.selections) + tpm2b(attest.pcr_digest)
    if attest.type == St.ATTEST_CERTIFY:
        return head + tpm2b(attest.name) + tpm2b(attest.certified_qualified_name)
    return head


class Signature(NamedTuple):
    """A parsed TPMT_SIGNATURE: ECDSA `r`, `s` or RSA `value`."""

    scheme: Alg
    hash: Alg
    r: int = 0
    s: int = 0
    value: bytes = b""


def parse_signature(data: bytes) -> Signature:
    """The TPMT_SIGNATURE in `data`, all of it. Raises Malformed."""
    b = Buffer(data, "TPMT_SIGNATURE")
    scheme, hash_alg = b.alg("sigAlg", *_SCHEMES), b.alg("hash", *_HASHES)
    if scheme == Alg.ECDSA:
        r, s = b.tpm2b("signatureR", 66), b.tpm2b("signatureS", 66)
        b.end()
        return Signature(scheme, hash_alg, int.from_bytes(r, "big"), int.from_bytes(s, "big"))
    value = b.tpm2b("sig", 512)
    b.end()
    return Signature(scheme, hash_alg, value=value)


def marshal_ecdsa_signature(r: int, s: int, hash_alg: Alg = Alg.SHA256) -> bytes:
    """TPMT_SIGNATURE of an ECDSA signature on P-256."""
    return (
        struct.pack(">HH", Alg.ECDSA, hash_alg)
        + tpm2b(r.to_bytes(32, "big"))
        + tpm2b(s.to_bytes(32, "big"))
    )


def verify_signature(public: Public, message: bytes, data: bytes) -> None:
    """`data` (TPMT_SIGNATURE) is `public`'s own signature over exactly `message`.

    1. the scheme and hash are those pinned in the *key's* public area, never those the signature
       names (N10);
    2. the hash is not SHA-1;
    3. the signature verifies.

    Raises Malformed, or EvidenceRejected (SIGNATURE_SCHEME, SIGNATURE).
    """
    verify_parsed_signature(public, message, parse_signature(data))


def verify_parsed_signature(public: Public, message: bytes, signature: Signature) -> None:
    """`verify_signature`, for a signature that was parsed already."""
    if public.scheme is not None and public.scheme[1] == Alg.SHA1:  # 2
        hint = "SHA-1 collides: make the AK anew with SHA-256"
        raise EvidenceRejected(
            [
                Failure(
                    Reason.SIGNATURE_SCHEME,
                    "a key whose scheme has SHA-256 or stronger",
                    f"{public.scheme[0].name}-SHA1",
                    hint,
                )
            ]
        )
    if public.scheme is None or (signature.scheme, signature.hash) != public.scheme:  # 1
        want = (
            "-".join(a.name for a in public.scheme)
            if public.scheme
            else "a key with a fixed scheme"
        )
        raise EvidenceRejected(
            [
                Failure(
                    Reason.SIGNATURE_SCHEME, want, f"{signature.scheme.name}-{signature.hash.name}"
                )
            ]
        )
    hasher = _HASHERS[signature.hash]
    key = public.key()
    try:  # 3
        if isinstance(key, ec.EllipticCurvePublicKey) and signature.scheme == Alg.ECDSA:
            value = utils.encode_dss_signature(signature.r, signature.s)
            key.verify(value, message, _ECDSA[signature.hash])
        elif isinstance(key, rsa.RSAPublicKey) and signature.scheme in {Alg.RSASSA, Alg.RSAPSS}:
            pad = (
                padding.PKCS1v15()
                if signature.scheme == Alg.RSASSA
                else padding.PSS(padding.MGF1(hasher), padding.PSS.AUTO)
            )
            key.verify(signature.value, message, pad, hasher)
        else:
            raise EvidenceRejected(
                [
                    Failure(
                        Reason.SIGNATURE_SCHEME,
                        f"a scheme for {public.type.name}",
                        signature.scheme.name,
                    )
                ]
            )
    except InvalidSignature as error:
        raise EvidenceRejected(
            [Failure(Reason.SIGNATURE, "the key's signature over these bytes", "another")]
        ) from error
