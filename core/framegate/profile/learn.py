"""Learn a firmware profile from machines that are known to be good: the reference values are what they measured.

What differs from machine to machine for no bad reason (boot entries, revocation lists that only grow, SBAT levels, commands) becomes a rule about its
meaning; everything else is claimed by digest. The outcome is for a person to read and sign.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from framegate.errors import FramegateError
from framegate.eventlog.content import IMAGE_SECURITY, SHIM_LOCK, boot_variable, bound_text, bound_variable, revoked_hashes, sbat_levels
from framegate.eventlog.parse import BootEvent, BootLog, EventType
from framegate.eventlog.words import event_words
from framegate.ima.allowlist import STRONG, allowlist_text
from framegate.ima.judge import BOOT_AGGREGATE
from framegate.ima.parse import ImaEntry
from framegate.ima.replay import IMA_PCR
from framegate.profile.posture import Posture
from framegate.tpm.constants import HASH_NAME, Alg
from framegate.wire import sha256

AGENT_FOLDER: Final = "/opt/framegate/"
"""Where the packaged agent's files lie: the IMA rule that measures them is what ties a quote to our own code."""
_SEPARATORS: Final = (b"\0\0\0\0", b"\xff\xff\xff\xff")
_BOOT_NAMES: Final = ("BootOrder", "Boot####", "BootCurrent", "BootNext")


@dataclass(frozen=True, slots=True)
class Observation:
    """What one good machine showed: its boot log, IMA entries (empty: no IMA), posture, TPM firmware, and the quirks its replay took."""

    log: BootLog
    ima: Sequence[ImaEntry] = ()
    posture: Posture | None = None
    tpm_firmware: int | None = None
    quirks: tuple[str, ...] = ()


def learn(machines: Sequence[Observation], *, name: str, version: str, revision: int, description: str, bank: Alg, base: bytes = b"") -> tuple[dict[str, Any], bytes]:
    """(profile as TOML data, allowlist bytes or nothing) that all of `machines` satisfy; `base` is an allowlist whose files stay allowed.

    An event is required where every machine has it. Machines must be of one model: a digest that only one of them has is allowed all the same.
    Raises ValueError without machines.
    """
    if not machines:
        raise ValueError("at least one machine")
    pcrs = sorted(set(range(8)) | {e.pcr for m in machines for e in m.log.events if e.extends and e.pcr < 16})
    events: dict[tuple[int, str], set[bytes]] = defaultdict(set)
    present: Counter[tuple[int, str]] = Counter()
    named: dict[tuple[int, bytes], tuple[int, str]] = {}
    texts: dict[int, set[str]] = defaultdict(set)
    with_text: Counter[int] = Counter()
    boot_names: set[str] = set()
    dbx: list[frozenset[bytes]] = []
    sbat: list[dict[str, int]] = []
    secure = []
    for machine in machines:
        ordinal: Counter[tuple[int, str]] = Counter()
        seen_text, seen = set(), set()
        column = machine.log.column(bank)
        secure.append(_secure_boot_on(machine.log, bank))
        for event in machine.log.events:
            if not event.extends or event.pcr in {IMA_PCR} or _separator(event, bank, column):
                continue
            if _meaning(event, bank, column, texts, boot_names, dbx, sbat):
                if event.pcr >= 8:
                    seen_text.add(event.pcr)
                continue
            digest = event.digests[column]
            key = named.get((event.pcr, digest))
            if key is None:  # the same thing in another order, or twice, stays the same thing
                words = event_words(event)
                ordinal[event.pcr, words] += 1
                number = ordinal[event.pcr, words]
                key = named[event.pcr, digest] = (event.pcr, words if number == 1 else f"{words} #{number}")
                events[key].add(digest)
            seen.add(key)
        present.update(seen)
        with_text.update(seen_text)
    ima = [m.ima for m in machines if m.ima]
    body: dict[str, Any] = {
        "profile": {
            "name": name, "version": version, "revision": revision, "description": description, "bank": HASH_NAME[bank],
            "pcrs": sorted({*pcrs, IMA_PCR}) if ima else [p for p in pcrs if p != IMA_PCR],
        },
        "tpm": {"firmware": _versions(machines)},
        "secure_boot": {"required": all(secure), **({"dbx_minimum": sorted(h.hex() for h in frozenset.intersection(*dbx))} if len(dbx) == len(machines) else {})},
        "posture": {"os_ids": sorted({m.posture.os_id for m in machines if m.posture}) or ["debian", "ubuntu"]},
    }  # fmt: skip
    if len(sbat) == len(machines):
        body["secure_boot"]["sbat_minimum"] = [f"{c},{min(s[c] for s in sbat)}" for c in sorted(set.intersection(*(set(s) for s in sbat)))]
    allowlist = b""
    if ima:
        allowlist = allowlist_text([*_files(e for entries in ima for e in entries), *_files_of(base)])
        measured = [AGENT_FOLDER] if any(e.path.startswith(AGENT_FOLDER.encode()) for entries in ima for e in entries) else []
        violations = max(sum(e.violation for e in entries) for entries in ima)
        body["ima"] = {"allowlists": [f"sha256:{sha256(allowlist).hex()}"], "max_violations": violations, **({"measured": measured} if measured else {})}
    quirks = sorted({q for m in machines for q in m.quirks})
    if quirks:
        body["quirks"] = quirks
    if boot_names:
        body["variable"] = [{"name": "boot order and entries", "pcr": 1, "names": sorted(boot_names)}]
    if texts:
        body["text"] = [{"name": f"boot commands in PCR {p}", "pcr": p, "allow": sorted(t), "required": with_text[p] == len(machines)} for p, t in sorted(texts.items())]
    body["event"] = [
        {"name": f"{words} (PCR {pcr})", "pcr": pcr, "digests": sorted(d.hex() for d in digests), "required": present[pcr, words] == len(machines)}
        for (pcr, words), digests in sorted(events.items())
    ]
    return body, allowlist


def _meaning(event: BootEvent, bank: Alg, column: int, texts: dict[int, set[str]], boot_names: set[str], dbx: list[frozenset[bytes]], sbat: list[dict[str, int]]) -> bool:
    """Whether the event is better told by what it means than by its digest; if so it is noted."""
    if event.pcr == 1:
        name = boot_variable(event, bank, column)
        if name is not None and (name in _BOOT_NAMES or (len(name) == 8 and name.startswith("Boot"))):
            boot_names.add(name if name in _BOOT_NAMES else "Boot####")
            return True
    if event.pcr == 7:
        variable = bound_variable(event, bank, column)
        try:
            if variable is not None and variable[:2] == (IMAGE_SECURITY, "dbx"):
                dbx.append(revoked_hashes(variable[2]))
                return True
            if variable is not None and variable[:2] == (SHIM_LOCK, "SbatLevel"):
                sbat.append(sbat_levels(variable[2]))
                return True
        except FramegateError:
            return False
    if event.pcr >= 8:
        text = bound_text(event, bank, column)
        if text is not None and "*" not in text:
            texts[event.pcr].add(text)
            return True
    return False


def _separator(event: BootEvent, bank: Alg, column: int) -> bool:
    import hashlib

    return event.pcr < 8 and event.digests[column] in {hashlib.new(HASH_NAME[bank], s).digest() for s in _SEPARATORS}


def _secure_boot_on(log: BootLog, bank: Alg) -> bool:
    column = log.column(bank)
    found = [bound_variable(e, bank, column) for e in log.events if e.pcr == 7 and e.type == EventType.EFI_VARIABLE_DRIVER_CONFIG]
    return [v[2] for v in found if v is not None and v[1] == "SecureBoot"] == [b"\x01"]


def _versions(machines: Sequence[Observation]) -> Any:
    seen = {m.tpm_firmware for m in machines if m.tpm_firmware is not None}
    return sorted(f"{v:016x}" for v in seen) or "any"


def _files(entries: Iterable[ImaEntry]) -> list[tuple[str, bytes, bytes]]:
    return [(e.algorithm, e.digest, e.path) for e in entries if e.path != BOOT_AGGREGATE and not e.violation and e.algorithm in STRONG]


def _files_of(allowlist: bytes) -> list[tuple[str, bytes, bytes]]:
    from framegate.ima.allowlist import parse_allowlist

    return list(parse_allowlist(allowlist).files()) if allowlist else []
