"""AMD's signed report of a confidential guest (SEV-SNP), and the chain that vouches for its signer.

Source: AMD SEV-SNP Firmware ABI Specification 1.55, 7.3 (ATTESTATION_REPORT), 10.10 (signature);
AMD Versioned Chip Endorsement Key Certificate and KDS Interface Specification 0.51, 3.1. Nothing is
fetched: the chip's certificate comes with the report, its root from the registry.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from framegate.cloud.revocations import RevocationList, require_not_revoked
from framegate.errors import EvidenceRejected, Failure, Malformed, Reason
from framegate.identity.certificates import UNREADABLE
from framegate.identity.endorsement import MakerCertificate
from framegate.identity.lenient import LenientCertificate, signed_by

REPORT_BYTES: Final = 1184
VERSIONS: Final = frozenset({2, 3})
"""Versions whose fields stand where they are read here; Turin's reports write the TCB otherwise."""
_SIGNED: Final = 0x2A0
_SCALAR: Final = 72
"""Bytes of r and of s, little-endian, P-384's 48 padded."""
_ECDSA_P384: Final = 1
_DEBUG: Final = 1 << 19
"""Of the guest's policy: the host may read and write its memory."""
_SIGNER: Final = 0x7 << 2
"""Of the flags at 0x48: which key signed; 0 is the chip's own (VCEK)."""
MAX_CHAIN: Final = 4
"""VCEK, ASK, ARK, and one more that a file may hold."""
_ARC: Final = "1.3.6.1.4.1.3704.1"
_CHIP_ID: Final = f"{_ARC}.4"
_FMC: Final = f"{_ARC}.3.9"
"""Written for chips whose TCB has another form."""
_TCB: Final = ((f"{_ARC}.3.1", 0), (f"{_ARC}.3.2", 1), (f"{_ARC}.3.3", 6), (f"{_ARC}.3.8", 7))
"""Security patch levels in the certificate, and the byte of the reported TCB that says the same:
boot loader, TEE, SNP firmware, microcode.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SnpReport:
    """What a chip says of a guest; made by `verify_snp_report`. `bound` is what the guest's first
    software gave for the report: 64 bytes.
    """

    version: int
    policy: int
    bound: bytes
    chip: bytes
    tcb: bytes


def verify_snp_report(
    raw: bytes,
    chain: Sequence[MakerCertificate],
    roots: Sequence[x509.Certificate],
    now: datetime,
    revocations: Sequence[RevocationList] = (),
) -> SnpReport:
    """Establish that an AMD chip made `raw` for a confidential guest; `chain[0]` is the chip's
    certificate (VCEK), the others its issuers in any order.

    1. it has the length and a version that is read here, is signed with ECDSA P-384 and SHA-384,
       and by the chip's own key;
    2. a chain of valid signatures, all alive at `now`, CAs by their constraints, leads from the
       chip's certificate to one of `roots`; the certificate is no CA and has a P-384 key; where
       there are `revocations`, none of the chain is revoked (`require_not_revoked`);
    3. the certificate is of this chip and of the reported TCB: of an older firmware it is none;
    4. the signature holds;
    5. the guest may not be debugged, and the report was asked for at VMPL 0, where the guest's own
       system cannot ask.

    What it binds, the caller MUST compare (`bound`). Raises Malformed or EvidenceRejected
    (CLOUD_EVIDENCE, EK_CHAIN).
    """
    if len(raw) != REPORT_BYTES:  # 1
        raise Malformed.of(
            Reason.CLOUD_EVIDENCE, f"an SEV-SNP report of {REPORT_BYTES} bytes", len(raw)
        )
    version, algorithm, flags = _u32(raw, 0), _u32(raw, 0x34), _u32(raw, 0x48)
    if version not in VERSIONS or algorithm != _ECDSA_P384 or flags & _SIGNER:
        expected = "a report of version 2 or 3, signed by the chip's own P-384 key"
        came = f"version {version}, algorithm {algorithm}, flags 0x{flags:x}"
        raise _rejected(expected, came)
    key = _chip_key(chain, roots, now, revocations)  # 2
    report = SnpReport(
        version=version,
        policy=int.from_bytes(raw[8:16], "little"),
        bound=raw[0x50:0x90],
        chip=raw[0x1A0:0x1E0],
        tcb=raw[0x180:0x188],
    )
    _require_same_chip(chain[0].certificate, report)  # 3
    r, s = (int.from_bytes(raw[at : at + _SCALAR], "little") for at in (_SIGNED, _SIGNED + _SCALAR))
    try:
        signature = utils.encode_dss_signature(r, s)
        key.verify(signature, raw[:_SIGNED], ec.ECDSA(hashes.SHA384()))  # 4
    except (InvalidSignature, ValueError) as error:
        raise _rejected("the chip's signature over this report", "a wrong signature") from error
    vmpl = _u32(raw, 0x30)
    if report.policy & _DEBUG or vmpl:  # 5
        raise _rejected(
            "a guest that nobody debugs, asked at VMPL 0",
            f"policy 0x{report.policy:x}, VMPL {vmpl}",
        )
    return report


def _chip_key(
    chain: Sequence[MakerCertificate],
    roots: Sequence[x509.Certificate],
    now: datetime,
    revocations: Sequence[RevocationList],
) -> ec.EllipticCurvePublicKey:
    if not 0 < len(chain) <= MAX_CHAIN:
        raise _rejected(
            f"the chip's certificate and its issuers, at most {MAX_CHAIN}",
            str(len(chain)),
            "framegate-agent join --endorsement-chain FILE",
        )
    at, others = chain[0].lenient, [c.lenient for c in chain[1:]]
    _require_alive(at.readable, now)
    path = [at.readable]
    while True:
        issuer = _issuer(at, [*roots, *(o.readable for o in others)])
        _require_alive(issuer, now)
        if not _is_ca(issuer):
            raise _rejected("issuers that are CAs", issuer.subject.rfc4514_string())
        path.append(issuer)
        if any(issuer == root for root in roots):
            break
        at = next(o for o in others if o.readable == issuer)
        others.remove(at)
    if revocations:
        require_not_revoked(path, revocations, now)
    key = chain[0].certificate.public_key()
    if (
        _is_ca(chain[0].certificate)
        or not isinstance(key, ec.EllipticCurvePublicKey)
        or not isinstance(key.curve, ec.SECP384R1)
    ):
        raise _rejected("a chip's certificate with a P-384 key", type(key).__name__)
    return key


def _issuer(at: LenientCertificate, known: Sequence[x509.Certificate]) -> x509.Certificate:
    """The first of `known` that signed `at`, the registry's own before those that came along."""
    named = [c for c in known if c.subject == at.readable.issuer]
    for each in named:
        if signed_by(at, each):
            return each
    name = at.readable.issuer.rfc4514_string()
    raise EvidenceRejected(
        [
            Failure(
                Reason.EK_CHAIN,
                "a chain to AMD's root in the registry",
                f"a wrong signature of {name}" if named else f"nobody known is {name}",
                "framegate trust add-tpm-ca FILE, with AMD's root key (ARK)",
            )
        ]
    )


def _require_alive(certificate: x509.Certificate, now: datetime) -> None:
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        life = f"{certificate.not_valid_before_utc:%F} to {certificate.not_valid_after_utc:%F}"
        raise _rejected(f"certificates alive at {now:%FT%TZ}", life)


def _is_ca(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _require_same_chip(certificate: x509.Certificate, report: SnpReport) -> None:
    try:
        said = {
            e.oid.dotted_string: e.value.value
            for e in certificate.extensions
            if isinstance(e.value, x509.UnrecognizedExtension)
        }
    except UNREADABLE as error:
        raise _rejected("a chip's certificate that can be read", type(error).__name__) from error
    if _FMC in said or not hmac.compare_digest(said.get(_CHIP_ID, b""), report.chip):
        raise _rejected(
            f"the certificate of chip {report.chip.hex()[:16]}…",
            f"that of {said.get(_CHIP_ID, b'').hex()[:16] or 'no chip'}…",
        )
    for oid, place in _TCB:
        if _small_integer(said.get(oid, b"")) != report.tcb[place]:
            raise _rejected(
                f"a certificate for the TCB {report.tcb.hex()}",
                f"another level at {oid}",
                "the chip's certificate is of another firmware: get the present one",
            )


def _small_integer(der: bytes) -> int:
    """A DER INTEGER of 0 to 255; -1 for anything else."""
    if len(der) == 3 and der[:2] == b"\x02\x01" and der[2] < 0x80:
        return der[2]
    if len(der) == 4 and der[:3] == b"\x02\x02\x00" and der[3] >= 0x80:
        return der[3]
    return -1


def _u32(raw: bytes, at: int) -> int:
    return int.from_bytes(raw[at : at + 4], "little")


def _rejected(expected: str, actual: str, hint: str = "") -> EvidenceRejected:
    return EvidenceRejected([Failure(Reason.CLOUD_EVIDENCE, expected, actual, hint)])
