"""What real machines do that no specification says: each quirk has an id, the machines it was seen
on, and the one thing it allows.

A quirk only proposes other PCR values or events; whether they are true is decided by the quoted
digest. A profile names the quirks it grants.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Final

from framegate.eventlog.content import EXIT_BOOT_SERVICES
from framegate.eventlog.parse import BootEvent, BootLog, EventType
from framegate.tpm.constants import HASH_NAME, Alg

UNLOGGED_EXIT: Final = "exit-boot-services-unlogged"
PINNED: Final = "pcr-by-value"
PHASES: Final = "systemd-phases"
PADDED: Final = "ima-padded-sha1"
PHASE_WORDS: Final = ("enter-initrd", "leave-initrd", "sysinit", "ready", "shutdown", "final")
"""systemd-pcrphase(8): what systemd extends into PCR 11 after a unified kernel image booted, in
order.
"""
MAX_CANDIDATES: Final = 64
"""Combinations of PCR values tried against one quote; each costs one hash."""


@dataclass(frozen=True, slots=True)
class Quirk:
    """`pcr` is where it acts; `seen` which machines do it; `allows` what is tried because of it."""

    id: str
    pcr: int | None
    seen: str
    allows: str


QUIRKS: Final = {
    q.id: q
    for q in (
        Quirk(
            UNLOGGED_EXIT,
            5,
            "HP firmware of 2018 to 2020",
            "the two ExitBootServices events are measured into PCR 5 and missing in the log: they"
            " are added",
        ),
        Quirk(
            PINNED,
            None,
            "HPE ProLiant DL160 Gen10",
            "a PCR that the log cannot reproduce: its value must be one that the profile lists",
        ),
        Quirk(
            PHASES,
            11,
            "systemd 252 and later with unified kernel images",
            "PCR 11 goes on after boot with systemd's phase words, in their order",
        ),
        Quirk(
            PADDED,
            10,
            "Linux before 5.8",
            "IMA extends every bank with the SHA-1 template hash and zeros",
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """One set of PCR values that a quote may confirm, the log that goes with it, and the quirks it
    took.
    """

    values: Mapping[int, bytes]
    log: BootLog
    quirks: tuple[str, ...]


def candidates(
    log: BootLog,
    replayed: Mapping[int, bytes],
    bank: Alg,
    granted: Collection[str],
    pinned: Mapping[int, frozenset[bytes]],
) -> Iterator[Candidate]:
    """The replayed values as they are, then what the granted quirks allow in their place; at most
    `MAX_CANDIDATES`.
    """
    new = getattr(hashlib, HASH_NAME[bank])
    choices: list[list[tuple[int, bytes, BootLog | None, str]]] = []
    if UNLOGGED_EXIT in granted and 5 in replayed and not _has_exit(log, bank):
        value = replayed[5]
        for text in EXIT_BOOT_SERVICES:
            value = new(value + new(text).digest()).digest()
        choices.append([(5, replayed[5], None, ""), (5, value, _with_exit(log), UNLOGGED_EXIT)])
    if PHASES in granted:
        value = replayed.get(11, bytes(new().digest_size))
        options: list[tuple[int, bytes, BootLog | None, str]] = [(11, value, None, "")]
        for word in PHASE_WORDS:
            value = new(value + new(word.encode()).digest()).digest()
            options.append((11, value, None, PHASES))
        choices.append(options)
    if PINNED in granted:
        for pcr, allowed in sorted(pinned.items()):
            choices.append([(pcr, v, None, PINNED) for v in sorted(allowed)])
    for number, chosen in enumerate(product(*choices)):
        if number >= MAX_CANDIDATES:
            return
        values, used, said = dict(replayed), log, []
        for pcr, value, other, quirk in chosen:
            values[pcr] = value
            used = other or used
            if quirk:
                said.append(quirk)
        yield Candidate(values, used, tuple(sorted(set(said))))


def _has_exit(log: BootLog, bank: Alg) -> bool:
    digests = {hashlib.new(HASH_NAME[bank], text).digest() for text in EXIT_BOOT_SERVICES}
    column = log.column(bank)
    return any(e.pcr == 5 and e.digests[column] in digests for e in log.events)


def _with_exit(log: BootLog) -> BootLog:
    events = list(log.events)
    for text in EXIT_BOOT_SERVICES:
        digests = tuple(
            hashlib.new(HASH_NAME[b], text).digest() if b in HASH_NAME else b"" for b in log.banks
        )
        events.append(BootEvent(len(events), -1, 5, EventType.EFI_ACTION, digests, text))
    return replace(log, events=tuple(events))
