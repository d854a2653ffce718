"""From unverified to verified evidence: the ordered checks of a quote, its log and the certified
TLS key.

`UnverifiedEvidence` is what came; `VerifiedEvidence` can only be made by `verify_evidence`;
appraisal and issuance take the latter.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import InitVar, dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Final, final

from framegate.errors import EvidenceRejected, Failure, Malformed, Reason
from framegate.eventlog import BootLog, parse_boot_log, replay
from framegate.eventlog.quirks import PADDED, Candidate, Grants, candidates, ungranted
from framegate.eventlog.user_space import Extends
from framegate.identity.certificates import request_key, spki_of
from framegate.ima import ImaPrefix, cut_entries, find_prefix, parse_ima, running_values
from framegate.ima.entry import IMA_PCR, ImaEntries, ImaList
from framegate.ima.replay import MAX_AHEAD, require_one_pcr
from framegate.tpm.attest import Attest, ClockInfo, PcrSelection, parse_attest, verify_signature
from framegate.tpm.constants import DIGEST_SIZE, TPM_GENERATED, TPM_RH_NULL, Alg, St
from framegate.tpm.policy import TLS_KEY_PCRS, pcr_digest, policy_pcr
from framegate.tpm.public import Public, require_ak, require_tls_key
from framegate.wire import Evidence, certify_data, quote_data, sha256

REMEMBERED: Final = 256
"""Boot logs kept parsed: some 100 KiB each, one for each machine, or for a whole model where its
machines log alike.
"""
REMEMBERED_BYTES: Final = 128 * 1024
"""Real logs are smaller; a machine that sends a different 2 MiB each time must not fill the
controller's memory.
"""

HINT_AHEAD: Final = 64
"""Entries that a list may be ahead for a refusal to name the quirk that would have explained it: a
machine that is refused again and again must not cost more than one that passes.
"""


class _Witness:
    """Held by this module alone; without it no VerifiedEvidence can be made, not even by
    dataclasses.replace().
    """


_WITNESS: Final = _Witness()


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What the controller knows and asked for. `join` is True where the TLS key must be certified
    and requested (join port).

    `grants` are the profile's. `ima_prefix` is what is known of the machine's IMA list
    and was asked to go on from; without it the whole list is due. Where stored evidence is
    appraised again, `stored_ima` is the whole list of that boot and stands in for the evidence's
    part.
    """

    transcript: bytes
    ak: Public
    tls: Public
    selection: PcrSelection
    join: bool
    stored_boot_log: bytes = b""
    grants: Grants = field(default_factory=Grants)
    ima_prefix: ImaPrefix | None = None
    stored_ima: bytes = b""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedEvidence:
    """Evidence whose signatures, nonce, selection, replay and key bindings hold together; made by
    `verify_evidence` only.

    `pcrs`: the *replayed* values of the quoted bank, equal to the quoted digest; `kernel_pcrs` the
    same before user space extended any, over which boot_aggregate is. `posture` is the device's own
    word, bound to the quote. `quirks`: what it took for the replay to come out; `extends`: which of
    a profile's own words. `ima`: the entries this quote covers, in `ima_bytes`, after `ima_from`
    (None: from the first); `ima_prefix` is where the list stands now, None where PCR 10 is not
    quoted.
    """

    selection: PcrSelection
    pcrs: Mapping[int, bytes]
    kernel_pcrs: Mapping[int, bytes]
    boot_log: BootLog
    boot_log_bytes: bytes
    clock: ClockInfo
    firmware_version: int
    posture: bytes
    gateway_publics: tuple[bytes, ...]
    tls_spki: bytes
    digest: bytes
    quirks: tuple[str, ...]
    extends: tuple[Extends, ...]
    ima: ImaEntries
    ima_bytes: bytes
    ima_from: ImaPrefix | None
    ima_prefix: ImaPrefix | None
    witness: InitVar[_Witness]

    def __post_init__(self, witness: _Witness) -> None:
        if witness is not _WITNESS:
            raise TypeError("VerifiedEvidence is made by verify_evidence() alone")


def verify_evidence(raw: bytes, expected: Expectation) -> VerifiedEvidence:
    """Verify evidence against what was asked, in this order; the first failure ends it.

    The caller MUST have consumed the session's nonce and, on the join port, verified the activation
    MAC over exactly these bytes.

    1. the evidence decodes, within its limits (docs/reference/protocol.md, `evidence`);
    2. the AK is Framegate's restricted key (Part 2, 8.3);
    3. quote: signature over the raw bytes with the scheme pinned in the AK (Part 1, 31);
    4. quote: magic is TPM_GENERATED (Part 2, 10.12.8);
    5. quote: type is ATTEST_QUOTE (Part 2, 6.9);
    6. quote: qualifiedSigner is the AK's name under the endorsement hierarchy, recomputed (Part 1,
       16.2);
    7. quote: extraData is H(label, T, TLS key, boot log, posture, publics), 32 bytes, constant
       time;
    8. quote: signed PCR selection equals the requested one, one bank, not empty (Part 2, 10.6.2);
    9. a boot log is there, is the one whose digest was quoted, and parses;
    10. replay covers every selected PCR, and the quote's pcrDigest is the hash of the *replayed*
        values, as they are or by a quirk the profile
        grants; PCR 10 is replayed from the IMA list, which goes on from the known prefix of the
        same boot or is whole, and of which the quote
        covers one prefix, found within a bound;
    11. TLS key: exact attributes, and its authPolicy is PolicyPCR over the replayed PCR 0 to 7
        (Part 3, 23.7);
    12. on the join port, certify: signature, magic, type, qualifiedSigner, extraData as in 3 to 7;
        certified name is the TLS key's;
        its qualified name puts it under the NULL hierarchy; the CSR's own signature holds and its
        key is the TLS key.
    13. no IMA log where none was asked for.

    From check 7 on the device's TPM vouches for what was sent: failures of 9 to 13 carry
    `authenticated`, and may lower its state. Raises Malformed or EvidenceRejected.
    """
    evidence = Evidence.parse(raw)  # 1
    require_ak(expected.ak)  # 2
    spki = expected.tls.spki()
    quote = _signed(
        expected.ak, evidence.quote_attest, evidence.quote_signature, St.ATTEST_QUOTE
    )  # 3-6
    nonce = quote_data(
        expected.transcript,
        spki,
        evidence.boot_log_sha256,
        evidence.posture,
        evidence.gateway_publics,
    )
    _extra_data(quote, nonce)  # 7
    try:
        if quote.selections != (expected.selection,) or not expected.selection.pcrs:  # 8
            raise _rejected(
                Reason.PCR_SELECTION, _words((expected.selection,)), _words(quote.selections)
            )
        raw_log, log = _boot_log(evidence, expected)  # 9
        replayed = _replayed(raw_log, log, evidence, expected, quote)  # 10
        pcrs, log = replayed.pcrs, replayed.took.log
        require_tls_key(
            expected.tls, policy_pcr(PcrSelection(expected.selection.bank, TLS_KEY_PCRS), pcrs)
        )  # 11
        if expected.join:
            _certified(evidence, expected, spki)  # 12
        if evidence.ima_log and IMA_PCR not in expected.selection.pcrs:  # 13
            raise _rejected(
                Reason.IMA_UNEXPECTED,
                "no IMA log, as the firmware profile has no rule for it",
                f"{len(evidence.ima_log)} bytes",
            )
    except EvidenceRejected as error:
        raise EvidenceRejected(error.failures, authenticated=True) from error
    except Malformed as error:
        raise EvidenceRejected(error.failures, authenticated=True) from error
    return VerifiedEvidence(
        selection=expected.selection,
        pcrs=pcrs,
        kernel_pcrs=_at_kernel(replayed.took, expected.selection),
        boot_log=log,
        boot_log_bytes=raw_log,
        clock=quote.clock_info,
        firmware_version=quote.firmware_version,
        posture=evidence.posture,
        gateway_publics=evidence.gateway_publics,
        tls_spki=spki,
        digest=sha256(raw),
        quirks=replayed.took.quirks,
        extends=replayed.took.extends,
        ima=replayed.entries,
        ima_bytes=replayed.ima_bytes,
        ima_from=None if expected.stored_ima else expected.ima_prefix,
        ima_prefix=replayed.prefix,
        witness=_WITNESS,
    )


def _rejected(reason: Reason, expected: str, actual: str, hint: str = "") -> EvidenceRejected:
    return EvidenceRejected([Failure(reason, expected, actual, hint)])


def _words(selections: tuple[PcrSelection, ...]) -> str:
    return (
        " + ".join(f"{s.bank.name.lower()}:{','.join(map(str, s.pcrs))}" for s in selections)
        or "nothing"
    )


def _signed(ak: Public, attest_bytes: bytes, signature: bytes, kind: St) -> Attest:
    """Checks 3 to 6 for one structure. The caller MUST still check extraData."""
    verify_signature(ak, attest_bytes, signature)  # 3
    attest = parse_attest(attest_bytes)
    if attest.magic != TPM_GENERATED:  # 4
        raise _rejected(
            Reason.MAGIC,
            f"0x{TPM_GENERATED:08x}",
            f"0x{attest.magic:08x}",
            "this was not made by a TPM",
        )
    if attest.type != kind:  # 5
        raise _rejected(Reason.ATTEST_TYPE, kind.name, f"0x{attest.type:04x}")
    if attest.qualified_signer != ak.qualified_name():  # 6
        raise _rejected(
            Reason.QUALIFIED_SIGNER,
            ak.qualified_name().hex(),
            attest.qualified_signer.hex(),
            "the AK must be a primary of the endorsement hierarchy",
        )
    return attest


def _extra_data(attest: Attest, nonce: bytes) -> None:
    if not hmac.compare_digest(attest.extra_data, nonce):
        raise _rejected(
            Reason.EXTRA_DATA,
            "the nonce of this session",
            "another",
            "evidence of another session, or altered on its way",
        )


def _boot_log(evidence: Evidence, expected: Expectation) -> tuple[bytes, BootLog]:
    raw = evidence.boot_log or expected.stored_boot_log
    if not raw:
        reason = Reason.BOOT_LOG_MISSING if expected.join else Reason.BOOT_LOG_REQUIRED
        raise _rejected(
            reason,
            "the boot log",
            "none",
            "the kernel exposes it at /sys/kernel/security/tpm0/binary_bios_measurements",
        )
    if sha256(raw) != evidence.boot_log_sha256:
        reason = Reason.BOOT_LOG_REPLAY if evidence.boot_log else Reason.BOOT_LOG_REQUIRED
        raise _rejected(reason, "the log whose digest was quoted", "another", "send the whole log")
    return raw, replayed_log(raw, expected.selection.bank)[0]


def replayed_log(raw: bytes, bank: Alg) -> tuple[BootLog, Mapping[int, bytes]]:
    """The parsed log and its replay, remembered by its very bytes: a machine shows the same log
    once a minute until it restarts.
    """
    return (
        remembered_log(raw, bank)
        if len(raw) <= REMEMBERED_BYTES
        else _parsed_and_replayed(raw, bank)
    )


@lru_cache(maxsize=REMEMBERED)
def remembered_log(raw: bytes, bank: Alg) -> tuple[BootLog, Mapping[int, bytes]]:
    """As `replayed_log`, for logs of a usual size."""
    return _parsed_and_replayed(raw, bank)


def _parsed_and_replayed(raw: bytes, bank: Alg) -> tuple[BootLog, Mapping[int, bytes]]:
    log = parse_boot_log(raw)
    return log, replay(log, bank)


@dataclass(frozen=True, slots=True)
class _Replayed:
    pcrs: Mapping[int, bytes]
    took: Candidate
    entries: ImaEntries = field(default_factory=ImaEntries)
    ima_bytes: bytes = b""
    prefix: ImaPrefix | None = None


def _replayed(
    raw_log: bytes, log: BootLog, evidence: Evidence, expected: Expectation, quote: Attest
) -> _Replayed:
    selection, values = expected.selection, replayed_log(raw_log, expected.selection.bank)[1]
    ima = IMA_PCR in selection.pcrs
    elsewhere = {*expected.grants.elsewhere, *((IMA_PCR,) if ima else ())}
    absent = [p for p in selection.pcrs if p not in values and p not in elsewhere]
    if absent:
        raise _rejected(
            Reason.BANK_UNUSED,
            f"measurements in PCR {','.join(map(str, absent))}",
            "none in the log",
        )
    if ima:
        return _with_ima(log, values, evidence, expected, quote)
    first = None
    for candidate in candidates(log, values, selection.bank, expected.grants):
        digest = pcr_digest(selection, candidate.values)
        if hmac.compare_digest(digest, quote.pcr_digest):
            return _Replayed(
                MappingProxyType({p: candidate.values[p] for p in selection.pcrs}), candidate
            )
        first = first or digest

    def fits(candidate: Candidate) -> bool:
        return pcr_digest(selection, candidate.values) == quote.pcr_digest

    raise _rejected(
        Reason.PCR_DIGEST,
        f"pcrDigest {(first or b'').hex()} of the replayed log",
        quote.pcr_digest.hex(),
        ungranted(log, values, selection.bank, expected.grants, fits)
        or "the log is not the whole story of this boot: longer, shorter or altered",
    )


def _at_kernel(candidate: Candidate, selection: PcrSelection) -> Mapping[int, bytes]:
    """The selected values before user space extended any: of PCRs that the log does not measure
    into, as they are after a reset.
    """
    known, reset = candidate.at_kernel, bytes(DIGEST_SIZE[selection.bank])
    return MappingProxyType({p: known.get(p, reset) for p in selection.pcrs if p != IMA_PCR})


def _with_ima(
    log: BootLog,
    values: Mapping[int, bytes],
    evidence: Evidence,
    expected: Expectation,
    quote: Attest,
) -> _Replayed:
    """As without, for a list whose PCR stands among the others in one digest: every candidate is
    tried with every prefix within the bound.
    """
    known, raw = (
        (None, expected.stored_ima)
        if expected.stored_ima
        else (expected.ima_prefix, evidence.ima_log)
    )
    clock, bank = quote.clock_info, expected.selection.bank
    if known is not None and (known.reset_count, known.restart_count) != (
        clock.reset_count,
        clock.restart_count,
    ):
        raise _rejected(
            Reason.IMA_REQUIRED,
            "the whole IMA list after a reset",
            "a part of it",
            "send it from the first entry",
        )
    if known is None and not raw:
        raise _rejected(
            Reason.IMA_MISSING,
            "the IMA measurement list",
            "none",
            "boot with an IMA policy; the kernel exposes the list at /sys/kernel/security/ima",
        )
    if raw[:1].isdigit():
        raise _rejected(
            Reason.IMA_MALFORMED,
            "the kernel's binary list",
            "its ASCII form",
            "binary_runtime_measurements, not ascii_runtime_measurements",
        )
    measured = parse_ima(raw) if raw else ImaList(ImaEntries(), bank, 0)
    require_one_pcr(measured.entries, known.entries if known else 0)
    start = known.value if known is not None else values.get(IMA_PCR, bytes(DIGEST_SIZE[bank]))
    padded = PADDED in expected.grants.quirks
    running = running_values(measured, bank, start, padded_sha1=padded)
    for candidate in candidates(log, values, bank, expected.grants):
        try:
            count = find_prefix(running, _covering(candidate, expected.selection, quote.pcr_digest))
        except EvidenceRejected:
            continue
        entries = measured.entries[:count]
        prefix = ImaPrefix(
            (known.entries if known else 0) + count,
            (known.violations if known else 0) + entries.violations,
            running[count],
            clock.reset_count,
            clock.restart_count,
        )
        pcrs = {
            p: running[count] if p == IMA_PCR else candidate.values[p]
            for p in expected.selection.pcrs
        }
        covered = raw if count == len(measured.entries) else cut_entries(raw, 0, count)
        return _Replayed(
            MappingProxyType(pcrs),
            candidate,
            entries,
            covered,
            prefix,
        )
    if known is not None:  # whatever went wrong with the part, the whole list decides
        raise _rejected(
            Reason.IMA_REQUIRED,
            "the whole IMA list, as its part does not replay",
            "a part of it",
            "send it from the first entry",
        )

    def fits(candidate: Candidate) -> bool:
        covers = _covering(candidate, expected.selection, quote.pcr_digest)
        return any(covers(value) for value in running[-1 - HINT_AHEAD :])

    raise _rejected(
        Reason.PCR_DIGEST,
        f"pcrDigest of the replayed boot log and of a prefix of the IMA list, at most {MAX_AHEAD}"
        " entries short",
        quote.pcr_digest.hex(),
        ungranted(log, values, bank, expected.grants, fits)
        or "the log or the list is not the whole story of this boot: longer, shorter, altered, or"
        " of another boot",
    )


def _covering(
    candidate: Candidate, selection: PcrSelection, quoted: bytes
) -> Callable[[bytes], bool]:
    before = b"".join(candidate.values[p] for p in selection.pcrs if p < IMA_PCR)
    after = b"".join(candidate.values[p] for p in selection.pcrs if p > IMA_PCR)
    head = hashlib.sha256(
        before
    )  # a quote's pcrDigest is of the signing scheme's hash, whatever the bank

    def covers(value: bytes) -> bool:
        hasher = head.copy()
        hasher.update(value + after)
        return hmac.compare_digest(hasher.digest(), quoted)

    return covers


def _certified(evidence: Evidence, expected: Expectation, spki: bytes) -> None:
    certify = _signed(
        expected.ak, evidence.certify_attest, evidence.certify_signature, St.ATTEST_CERTIFY
    )
    _extra_data(certify, certify_data(expected.transcript, spki))
    if certify.name != expected.tls.name:
        raise _rejected(
            Reason.CERTIFIED_NAME,
            expected.tls.name.hex(),
            certify.name.hex(),
            "the certified key is not the TLS key of the Hello",
        )
    if certify.certified_qualified_name != expected.tls.qualified_name(TPM_RH_NULL):
        raise _rejected(
            Reason.TLS_TEMPLATE,
            "a primary key of the NULL hierarchy",
            "a key elsewhere",
            "the TLS key must die with the boot",
        )
    if spki_of(request_key(evidence.csr)) != spki:
        raise _rejected(Reason.CSR_KEY, "a request signed by the certified TLS key", "another key")
