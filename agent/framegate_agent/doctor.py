"""What can be wrong with a machine, looked at one by one, each with its fix."""

from __future__ import annotations

import hashlib
import json
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from framegate.errors import FramegateError
from framegate.eventlog import parse_boot_log, replay
from framegate.eventlog.user_space import BOOT_PCRS, OS_SEPARATOR, SEPARATOR_WORD, separated
from framegate.identity.endorsement import load_maker_certificate
from framegate.identity.tpm_name import tpm_name
from framegate.ima import parse_ima
from framegate.ima.entry import IMA_PCR
from framegate.profile.learn import AGENT_FOLDER, IMA_POLICY
from framegate.record.following import RESTORE
from framegate.tpm.attest import PcrSelection
from framegate.tpm.constants import Alg
from framegate_agent.camera.frame_queue import QUEUE
from framegate_agent.camera.stream import MAX_LINK_S
from framegate_agent.controller_watch import FILE as HEAD_FILE
from framegate_agent.settings import IMA_PATH
from framegate_agent.state import StateFile
from framegate_agent.tpm.chip import AK_HANDLE, Tpm
from framegate_agent.trusted_clock import BUILD_MS
from framegate_host.seen_log import SeenLog
from framegate_proto.targets import addresses_of

REACH_TIMEOUT_S: Final = 3.0
MAX_CLOCK_LAG_S: Final = 300
SLOW_S: Final = 0.2
"""A quote, from which on frames notice that their TPM is a slow one."""
TOO_SLOW_S: Final = 3.0
"""A quote, from which on a handshake may not be signed within the ten seconds that servers give it:
a third more than a quote, behind an attestation.
"""
SIGNATURES: Final = 3
"""Of a change to another connection: the last head, the handshake, the opening. Each is four of
the TPM's commands, where a quote is three.
"""
SECURITYFS: Final = Path("/sys/kernel/security")


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's result; `fix` is empty where it is good."""

    check: str
    good: bool
    seen: str
    fix: str = ""


def examine(file: StateFile, tcti: str, boot_log: Path, ima: Path = IMA_PATH) -> list[Finding]:
    """All findings, from the TPM outwards. Never raises: what cannot be examined is a finding."""
    findings = [_device(tcti)]
    try:
        tpm = Tpm(tcti)
    except FramegateError as error:
        findings.append(
            Finding(
                "TPM answers",
                False,
                error.failures[0].actual,
                "is another program holding the simulated TPM? is the user in group tss? is the TPM"
                " enabled in the firmware?",
            )
        )
    else:
        try:
            findings += [
                _guard(check, lambda c=check: _CHECKS[c](tpm, boot_log))  # type: ignore[misc]
                for check in _CHECKS
            ]
        finally:
            tpm.close()
    findings.append(_guard("IMA list", lambda: _ima(ima)))
    findings.append(_guard("clock", lambda: _clock(file)))
    return [*findings, _guard("controller", lambda: _controller(file)), *_reach(file)]


def _guard(check: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except Exception as error:  # noqa: BLE001 - a doctor that dies of what it finds helps nobody
        return Finding(
            check,
            False,
            f"{type(error).__name__}: {error}",
            "see the message; the TPM or file could not be examined",
        )


def _device(tcti: str) -> Finding:
    kind, _, rest = tcti.partition(":")
    if kind != "device":
        return Finding("TPM device", True, f"{tcti} (not a hardware device)")
    path = Path(rest or "/dev/tpmrm0")
    if not path.exists():
        return Finding(
            "TPM device",
            False,
            f"{path} does not exist",
            "enable the TPM in the firmware; check: ls /dev/tpm*",
        )
    try:
        path.open("r+b", buffering=0).close()
    except OSError as error:
        return Finding(
            "TPM device", False, str(error), f"add the agent's user to the group of {path} (tss)"
        )
    note = (
        ""
        if path.name.startswith("tpmrm")
        else "use /dev/tpmrm0: without the resource manager other programs lock us out"
    )
    return Finding("TPM device", not note, str(path), note)


def _lockout(tpm: Tpm, _log: Path) -> Finding:
    f = tpm.facts()
    fix = (
        "wait for lockout recovery or: tpm2_dictionarylockout --clear-lockout; find what uses wrong"
        " passwords"
        if f.in_lockout
        else ""
    )
    return Finding(
        "lockout",
        not f.in_lockout,
        f"{f.lockout_counter} of {f.max_auth_fail} failures{', LOCKED' if f.in_lockout else ''}",
        fix,
    )


def _handles(tpm: Tpm, _log: Path) -> Finding:
    stale = tpm.transient_handles()
    fix = (
        "another program left objects in the TPM: tpm2_flushcontext --transient-object, or use"
        " /dev/tpmrm0"
        if stale
        else ""
    )
    return Finding(
        "stale handles", not stale, ", ".join(f"0x{h:08x}" for h in stale) or "none", fix
    )


def _endorsement(tpm: Tpm, _log: Path) -> Finding:
    endorsement = tpm.endorsement()
    if not endorsement.certificates:
        return Finding(
            "endorsement key",
            False,
            f"{endorsement.label}",
            "ask the operator to pin it: framegate-agent ek; framegate camera invite NAME --ek-hash"
            " HASH",
        )
    read = load_maker_certificate(endorsement.certificates[0])
    certificate, notes = read.certificate, read.notes
    same = (
        certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        == endorsement.public.spki()
    )
    fits = "matches" if same else "is of ANOTHER key"
    put_right = f", {' and '.join(notes)} put right" if notes else ""
    named = tpm_name(certificate)
    of = f" of {named}" if named else ""
    seen = f"{endorsement.label}{of}, certificate {fits}{put_right}"
    return Finding(
        "endorsement key",
        same,
        seen,
        (
            ""
            if same
            else (
                "the TPM was replaced or its endorsement seed changed (TPM2_ChangeEPS): pin the new"
                " EK by hash"
            )
        ),
    )


def _ak(tpm: Tpm, _log: Path) -> Finding:
    key = tpm.attestation_key()
    return Finding("attestation key", True, f"0x{AK_HANDLE:08x} {key.name.hex()[:20]}…")


def _speed(tpm: Tpm, _log: Path) -> Finding:
    """What the time of a quote says: three commands, one of which signs. Nobody takes it for an
    answer to a challenge: its nonce is of nobody's transcript.
    """
    begun = time.monotonic()
    tpm.quote(PcrSelection(Alg.SHA256, tuple(range(8))), hashlib.sha256(b"doctor").digest())
    return speed_of(time.monotonic() - begun)


def speed_of(quote_s: float) -> Finding:
    """The finding on a TPM that takes `quote_s` seconds for a quote."""
    if quote_s < SLOW_S:
        return Finding("TPM speed", True, f"a quote takes {1e3 * quote_s:.0f} ms")
    pause_s = SIGNATURES * quote_s * 4 / 3
    seen = (
        f"slow: a quote takes {quote_s:.1f} s. Frames do not wait for the TPM, but for a change to"
        f" another connection, at the latest after {MAX_LINK_S:.0f} s: some {pause_s:.0f} s. Up to"
        f" {QUEUE} frames wait so long; a source of more than {QUEUE / pause_s:.0f} a second loses"
        " some"
    )
    if quote_s < TOO_SLOW_S:
        return Finding("TPM speed", True, seen)
    fix = (
        "connections fail that are not signed for within 10 s: does another program use the TPM all"
        " the time? If not, it is too slow for this"
    )
    return Finding("TPM speed", False, seen, fix)


def _no_log(securityfs: Path) -> str:
    """What to do where there is no boot log."""
    if not securityfs.is_dir() or not any(securityfs.iterdir()):
        return (
            "mount securityfs (mount -t securityfs none /sys/kernel/security) and give the agent"
            " read access"
        )
    return (
        "the kernel got none from the firmware: GRUB without Secure Boot starts it past the EFI"
        " stub that fetches it; turn Secure Boot on, or have grub.cfg say linuxefi and initrdefi"
    )


def _boot(tpm: Tpm, log: Path) -> Finding:
    if not log.exists():
        return Finding("boot log", False, f"no {log}", _no_log(SECURITYFS))
    values = replay(parse_boot_log(log.read_bytes()), Alg.SHA256)
    now = tpm.pcrs(PcrSelection(Alg.SHA256, tuple(range(8))))
    differ = [p for p in now if values.get(p) != now[p]]
    if differ and separated(values, now, Alg.SHA256) >= BOOT_PCRS:
        return Finding(
            "boot log",
            True,
            f"replays to PCR 0-7 with systemd's {SEPARATOR_WORD} behind it: the profile has to"
            f" grant {OS_SEPARATOR.quirk}",
        )
    fix = (
        "the log is not of this boot, or the firmware leaves events out: it will be refused"
        if differ
        else ""
    )
    return Finding(
        "boot log",
        not differ,
        f"replays to PCR 0-7{' except ' + ', '.join(map(str, differ)) if differ else ''}",
        fix,
    )


def _ima(path: Path) -> Finding:
    if not path.exists():
        return Finding(
            "IMA list",
            False,
            f"no {path}",
            "boot with an IMA policy (docs/guides/operators/ima-policy.md); without it nothing that"
            " runs after boot is measured",
        )
    measured = parse_ima(path.read_bytes())
    elsewhere = next((e.pcr for e in measured.entries if e.pcr != IMA_PCR), None)
    if elsewhere is not None:
        return Finding(
            "IMA list",
            False,
            f"entries of PCR {elsewhere}, which no profile judges",
            f"take pcr={elsewhere} out of the IMA policy",
        )
    own = sum(e.path.startswith(AGENT_FOLDER.encode()) for e in measured.entries)
    policy = any(e.path == IMA_POLICY.encode() for e in measured.entries)
    said = f"{len(measured.entries)} entries, {own} of Framegate's own files"
    page = "docs/guides/operators/ima-policy.md"
    if not own:
        fix = f"load the IMA rule that measures {AGENT_FOLDER}: {page}"
        return Finding("IMA list", False, said, fix)
    if not policy:
        fix = f"boot with ima_policy=tcb, and load the policy by its path: {page}"
        return Finding("IMA list", False, f"{said}, {IMA_POLICY} not among them", fix)
    return Finding("IMA list", True, said, "")


_CHECKS: Final[dict[str, Callable[[Tpm, Path], Finding]]] = {
    "stale handles": _handles,
    "lockout": _lockout,
    "endorsement key": _endorsement,
    "attestation key": _ak,
    "TPM speed": _speed,
    "boot log": _boot,
}


def _clock(file: StateFile) -> Finding:
    try:
        floor = max(file.load().seen_ms, BUILD_MS)
    except FramegateError:
        floor = BUILD_MS
    lag = floor / 1000 - time.time()
    if lag > MAX_CLOCK_LAG_S:
        return Finding(
            "clock",
            False,
            f"{lag:.0f} s behind what signed messages said",
            "timedatectl set-ntp true sets it; where it is right, the controller's is ahead",
        )
    now = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    if floor == BUILD_MS:  # nothing of a fleet was seen, so a later time cannot be told from now
        now += ", later than this program; the fleet's time is not known here yet"
    return Finding("clock", True, now)


def _controller(file: StateFile) -> Finding:
    """What the daemon last found of the controller, and the head it holds it against."""
    head = SeenLog(file.folder / HEAD_FILE).head
    seen = "no head of its record seen yet"
    if head is not None:
        seen = f"record of {head.size} entries, restored {head.restorations} times"
    status = json.loads(file.status_path.read_text()) if file.status_path.exists() else {}
    if status.get("controller"):
        return Finding("controller", False, f"older than what was seen of it: {seen}", RESTORE)
    return Finding("controller", True, seen)


def _reach(file: StateFile) -> list[Finding]:
    try:
        state = file.load()
    except FramegateError as error:
        return [Finding("joined", False, error.failures[0].actual, error.failures[0].hint)]
    findings = [Finding("joined", True, f"{state.device or 'not finished'} ({state.state})")]
    ports = {"join port": state.join_address, "fleet port": state.fleet_address}
    for label, address in [(n, a) for n, known in ports.items() for a in addresses_of(known)]:
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), REACH_TIMEOUT_S).close()
            findings.append(Finding(label, True, f"{address} answers"))
        except (OSError, ValueError) as error:
            findings.append(
                Finding(
                    label,
                    False,
                    f"{address}: {error}",
                    "is the controller running? does a firewall stand between?",
                )
            )
    return findings
