"""From unverified to verified evidence: the ordered checks of a quote, its log and the certified TLS key.

`UnverifiedEvidence` is what came; `VerifiedEvidence` can only be made by `verify_evidence`; appraisal and issuance take the latter.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import InitVar, dataclass
from types import MappingProxyType
from typing import Final, final

from framegate.certificates import request_key, spki_of
from framegate.errors import EvidenceRejected, Failure, Malformed, Reason
from framegate.eventlog import BootLog, parse_boot_log, replay
from framegate.tpm.attest import Attest, ClockInfo, PcrSelection, parse_attest, verify_signature
from framegate.tpm.constants import TPM_GENERATED, TPM_RH_NULL, St
from framegate.tpm.policy import pcr_digest, policy_pcr
from framegate.tpm.public import Public, require_ak, require_tls_key
from framegate.wire import Proof, certify_data, quote_data, sha256

TLS_KEY_PCRS: Final = tuple(range(8))
"""The TLS key signs only while PCR 0 to 7 have the values of the attested boot."""


class _Witness:
    """Held by this module alone; without it no VerifiedEvidence can be made, not even by dataclasses.replace()."""


_WITNESS: Final = _Witness()


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What the controller knows and asked for. `csr_expected` is True where the TLS key must be certified and requested (join port)."""

    transcript: bytes
    ak: Public
    tls: Public
    selection: PcrSelection
    join: bool
    stored_boot_log: bytes = b""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedEvidence:
    """Evidence whose signatures, nonce, selection, replay and key bindings hold together; made by `verify_evidence` only.

    `pcrs`: the *replayed* values of the quoted bank, equal to the quoted digest. `posture` is the device's own word, bound to the quote.
    """

    selection: PcrSelection
    pcrs: Mapping[int, bytes]
    boot_log: BootLog
    boot_log_bytes: bytes
    clock: ClockInfo
    firmware_version: int
    posture: bytes
    gateway_publics: tuple[bytes, ...]
    tls_spki: bytes
    digest: bytes
    witness: InitVar[_Witness]

    def __post_init__(self, witness: _Witness) -> None:
        if witness is not _WITNESS:
            raise TypeError("VerifiedEvidence is made by verify_evidence() alone")


def verify_evidence(proof_bytes: bytes, expected: Expectation) -> VerifiedEvidence:
    """Verify a proof against what was asked, in this order; the first failure ends it.

    The caller MUST have consumed the session's nonce and, on the join port, verified the activation MAC over exactly these bytes.

     1. the proof decodes, within its limits (docs/protocol.md, Proof);
     2. the AK is Framegate's restricted key (Part 2, 8.3);
     3. quote: signature over the raw bytes with the scheme pinned in the AK (Part 1, 31);
     4. quote: magic is TPM_GENERATED (Part 2, 10.12.8);
     5. quote: type is ATTEST_QUOTE (Part 2, 6.9);
     6. quote: qualifiedSigner is the AK's name under the endorsement hierarchy, recomputed (Part 1, 16.2);
     7. quote: extraData is H(label, T, TLS key, boot log, posture, publics), 32 bytes, constant time;
     8. quote: signed PCR selection equals the requested one, one bank, not empty (Part 2, 10.6.2);
     9. a boot log is there, is the one whose digest was quoted, and parses;
    10. replay covers every selected PCR, and the quote's pcrDigest is the hash of the *replayed* values;
    11. TLS key: exact attributes, and its authPolicy is PolicyPCR over the replayed PCR 0 to 7 (Part 3, 23.7);
    12. on the join port, certify: signature, magic, type, qualifiedSigner, extraData as in 3 to 7; certified name is the TLS key's;
        its qualified name puts it under the NULL hierarchy; the CSR's own signature holds and its key is the TLS key.
    13. no IMA log where none was asked for.

    From check 7 on the device's TPM vouches for what was sent: failures of 9 to 13 carry `authenticated`, and may lower its state.
    Raises Malformed or EvidenceRejected.
    """
    proof = Proof.parse(proof_bytes)  # 1
    require_ak(expected.ak)  # 2
    spki = expected.tls.spki()
    quote = _signed(expected.ak, proof.quote_attest, proof.quote_signature, St.ATTEST_QUOTE)  # 3-6
    nonce = quote_data(expected.transcript, spki, proof.boot_log_sha256, proof.posture, proof.gateway_publics)
    _extra_data(quote, nonce)  # 7
    try:
        if quote.selections != (expected.selection,) or not expected.selection.pcrs:  # 8
            raise _rejected(Reason.PCR_SELECTION, _words((expected.selection,)), _words(quote.selections))
        raw_log, log = _boot_log(proof, expected)  # 9
        pcrs = _replayed(log, expected.selection, quote.pcr_digest)  # 10
        require_tls_key(expected.tls, policy_pcr(PcrSelection(expected.selection.bank, TLS_KEY_PCRS), pcrs))  # 11
        if expected.join:
            _certified(proof, expected, spki)  # 12
        if proof.ima_log:  # 13
            raise _rejected(Reason.IMA_UNEXPECTED, "no IMA log, as the firmware profile has no rule for it", f"{len(proof.ima_log)} bytes")
    except EvidenceRejected as error:
        raise EvidenceRejected(error.failures, authenticated=True) from error
    except Malformed as error:
        raise EvidenceRejected(error.failures, authenticated=True) from error
    return VerifiedEvidence(
        selection=expected.selection, pcrs=pcrs, boot_log=log, boot_log_bytes=raw_log, clock=quote.clock_info,
        firmware_version=quote.firmware_version, posture=proof.posture, gateway_publics=proof.gateway_publics, tls_spki=spki,
        digest=sha256(proof_bytes), witness=_WITNESS,
    )  # fmt: skip


def _rejected(reason: Reason, expected: str, actual: str, hint: str = "") -> EvidenceRejected:
    return EvidenceRejected([Failure(reason, expected, actual, hint)])


def _words(selections: tuple[PcrSelection, ...]) -> str:
    return " + ".join(f"{s.bank.name.lower()}:{','.join(map(str, s.pcrs))}" for s in selections) or "nothing"


def _signed(ak: Public, attest_bytes: bytes, signature: bytes, kind: St) -> Attest:
    """Checks 3 to 6 for one structure. The caller MUST still check extraData."""
    verify_signature(ak, attest_bytes, signature)  # 3
    attest = parse_attest(attest_bytes)
    if attest.magic != TPM_GENERATED:  # 4
        raise _rejected(Reason.MAGIC, f"0x{TPM_GENERATED:08x}", f"0x{attest.magic:08x}", "this was not made by a TPM")
    if attest.type != kind:  # 5
        raise _rejected(Reason.ATTEST_TYPE, kind.name, f"0x{attest.type:04x}")
    if attest.qualified_signer != ak.qualified_name():  # 6
        raise _rejected(Reason.QUALIFIED_SIGNER, ak.qualified_name().hex(), attest.qualified_signer.hex(), "the AK must be a primary of the endorsement hierarchy")
    return attest


def _extra_data(attest: Attest, nonce: bytes) -> None:
    if not hmac.compare_digest(attest.extra_data, nonce):
        raise _rejected(Reason.EXTRA_DATA, "the nonce of this session", "another", "evidence of another session, or altered on its way")


def _boot_log(proof: Proof, expected: Expectation) -> tuple[bytes, BootLog]:
    raw = proof.boot_log or expected.stored_boot_log
    if not raw:
        reason = Reason.BOOT_LOG_MISSING if expected.join else Reason.BOOT_LOG_REQUIRED
        raise _rejected(reason, "the boot log", "none", "the kernel exposes it at /sys/kernel/security/tpm0/binary_bios_measurements")
    if sha256(raw) != proof.boot_log_sha256:
        reason = Reason.BOOT_LOG_REPLAY if proof.boot_log else Reason.BOOT_LOG_REQUIRED
        raise _rejected(reason, "the log whose digest was quoted", "another", "send the whole log")
    return raw, parse_boot_log(raw)


def _replayed(log: BootLog, selection: PcrSelection, quoted: bytes) -> Mapping[int, bytes]:
    values = dict(replay(log, selection.bank))
    absent = [p for p in selection.pcrs if p not in values]
    if absent:
        raise _rejected(Reason.BANK_UNUSED, f"measurements in PCR {','.join(map(str, absent))}", "none in the log")
    chosen = {p: values[p] for p in selection.pcrs}
    if not hmac.compare_digest(pcr_digest(selection, chosen), quoted):
        raise _rejected(
            Reason.PCR_DIGEST, f"pcrDigest {pcr_digest(selection, chosen).hex()} of the replayed log", quoted.hex(),
            "the log is not the whole story of this boot: longer, shorter or altered",
        )  # fmt: skip
    return MappingProxyType(chosen)


def _certified(proof: Proof, expected: Expectation, spki: bytes) -> None:
    certify = _signed(expected.ak, proof.certify_attest, proof.certify_signature, St.ATTEST_CERTIFY)
    _extra_data(certify, certify_data(expected.transcript, spki))
    if certify.name != expected.tls.name:
        raise _rejected(Reason.CERTIFIED_NAME, expected.tls.name.hex(), certify.name.hex(), "the certified key is not the TLS key of the Hello")
    if certify.certified_qualified_name != expected.tls.qualified_name(TPM_RH_NULL):
        raise _rejected(Reason.TLS_TEMPLATE, "a primary key of the NULL hierarchy", "a key elsewhere", "the TLS key must die with the boot")
    if spki_of(request_key(proof.csr)) != spki:
        raise _rejected(Reason.CSR_KEY, "a request signed by the certified TLS key", "another key")
