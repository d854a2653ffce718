"""Azure's report of a confidential guest: AMD's report, and the keys of the virtual TPM that it
binds.

Source: Microsoft, "Azure confidential VM guest attestation design", HCL report at NV index
0x01400001: a header of 32 bytes, the hardware's report, then the run-time data whose digest that
report has. All numbers are little-endian.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from cryptography import x509

from framegate.cloud.revocations import RevocationList
from framegate.cloud.snp_report import REPORT_BYTES, SnpReport, verify_snp_report
from framegate.errors import EvidenceRejected, Failure, FramegateError, Malformed, Reason
from framegate.identity.endorsement import load_chain
from framegate.signed.dsse import strict_json
from framegate.tpm.public import Public
from framegate.wire import sha256

MAGIC: Final = b"HCLA"
MAX_REPORT_BYTES: Final = 4096
"""The NV index has 2,600."""
_HEADER: Final = struct.Struct("<4sIII16x")
_RUNTIME: Final = struct.Struct("<5I")
_VERSIONS: Final = frozenset({1, 2})
_REQUEST: Final = 2
_SNP, _TDX = 2, 4
_SHA256: Final = 1
_DIGEST: Final = 32
_AK: Final = "HCLAkPub"


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureGuest:
    """A confidential guest of Azure whose virtual TPM has the key that was asked about; made by
    `verify_hcl_report`. `vm` is Azure's id of it, its own word inside what the chip signed.
    """

    vm: str
    report: SnpReport


def is_hcl_report(raw: bytes) -> bool:
    """Whether it claims to be one: no certificate begins like it."""
    return raw.startswith(MAGIC)


def verify_hcl_report(
    raw: bytes,
    key: Public,
    chain: Sequence[bytes],
    roots: Sequence[x509.Certificate],
    now: datetime,
    revocations: Sequence[RevocationList] = (),
) -> AzureGuest:
    """Establish that `key` is the attestation key of the virtual TPM of a guest which an AMD chip
    reports; `chain` is the chip's certificate and its issuers (DER).

    1. header and run-time data account for what the sizes say; behind them stand zeros alone;
    2. the hardware is SEV-SNP: a report of another is none that is read here;
    3. the hardware's report holds (`verify_snp_report`);
    4. it binds the SHA-256 of exactly this run-time data, and nothing besides;
    5. that is strict JSON with exactly one key called HCLAkPub, RSA, to sign;
    6. that key is `key`, to the bit: modulus and exponent.

    That `key` is a restricted signing key of the TPM that answers, the caller MUST establish.
    Raises Malformed or EvidenceRejected (CLOUD_EVIDENCE, EK_CHAIN).
    """
    hardware, data = _split(raw)  # 1, 2
    report = verify_snp_report(hardware, load_chain(chain), roots, now, revocations)  # 3
    bound = sha256(data) + bytes(len(report.bound) - _DIGEST)
    if not hmac.compare_digest(bound, report.bound):  # 4
        raise _rejected("run-time data that the hardware's report binds", "other data")
    body = _object(data)
    keys = [k for k in _listed(body) if k.get("kid") == _AK]
    if len(keys) != 1 or keys[0].get("kty") != "RSA" or keys[0].get("key_ops") != ["sign"]:  # 5
        raise _rejected(f"one RSA key {_AK} to sign", f"{len(keys)} of that name")
    modulus, exponent = _number(keys[0].get("n")), _number(keys[0].get("e"))
    if (modulus, exponent) != (int.from_bytes(key.modulus, "big"), key.exponent or 65537):  # 6
        raise _rejected(
            "the attestation key that the report binds",
            "another key",
            "the report is of another machine, or of an earlier start of this one",
        )
    settings = body.get("vm-configuration")
    vm = settings.get("vmUniqueId", "") if type(settings) is dict else ""
    return AzureGuest(vm=vm if type(vm) is str else "", report=report)


def _split(raw: bytes) -> tuple[bytes, bytes]:
    """The hardware's report, and the run-time data."""
    least = _HEADER.size + REPORT_BYTES + _RUNTIME.size
    if not least < len(raw) <= MAX_REPORT_BYTES:
        raise _malformed(f"{least} to {MAX_REPORT_BYTES} bytes", len(raw))
    magic, version, size, request = _HEADER.unpack_from(raw)
    at = _HEADER.size + REPORT_BYTES
    whole, runtime_version, kind, digest, length = _RUNTIME.unpack_from(raw, at)
    if (magic, request, runtime_version) != (MAGIC, _REQUEST, 1) or version not in _VERSIONS:
        raise _malformed("a header of version 1 or 2", f"{magic!a} {version}, request {request}")
    if kind != _SNP:
        expected = "a report of an AMD SEV-SNP guest"
        came = "one of an Intel TDX guest" if kind == _TDX else f"hardware of kind {kind}"
        raise _rejected(
            expected, came, "pin the EK by its hash: framegate backend invite --ek-hash"
        )
    end = at + _RUNTIME.size + length
    if digest != _SHA256 or whole != _RUNTIME.size + length or end > len(raw):
        raise _malformed("run-time data of the size that is said, by SHA-256", f"{whole}, {length}")
    if size != end or raw[end:].strip(b"\0"):
        raise _malformed("a report of the size that is said", f"{size}, with {len(raw)} bytes")
    return raw[_HEADER.size : at], raw[at + _RUNTIME.size : end]


def _object(data: bytes) -> dict[str, Any]:
    try:
        body = strict_json(data)
    except FramegateError as error:
        raise _malformed("run-time data in JSON", error.failures[0].actual) from error
    if type(body) is not dict:
        raise _malformed("run-time data that is an object", type(body).__name__)
    return body


def _listed(body: dict[str, Any]) -> list[dict[str, Any]]:
    keys = body.get("keys")
    if type(keys) is not list or not all(type(k) is dict for k in keys):
        raise _malformed("a list `keys` of objects", type(keys).__name__)
    return keys


def _number(text: object) -> int:
    """A number of a JWK (RFC 7518, 2, Base64urlUInt)."""
    try:
        if type(text) is not str:
            raise ValueError("no text")
        padded = text + "=" * (-len(text) % 4)
        return int.from_bytes(base64.b64decode(padded.encode("ascii"), b"-_", validate=True), "big")
    except (ValueError, binascii.Error) as error:
        raise _malformed("a number in base64url", type(text).__name__) from error


def _malformed(expected: str, actual: object) -> Malformed:
    return Malformed.of(Reason.CLOUD_EVIDENCE, f"an HCL report: {expected}", actual)


def _rejected(expected: str, actual: str, hint: str = "") -> EvidenceRejected:
    return EvidenceRejected([Failure(Reason.CLOUD_EVIDENCE, expected, actual, hint)])
