"""What real machines do that no specification says: each quirk has an id, the machines it was seen
on, and the one thing it allows.

A quirk only proposes other PCR values or events; whether they are true is decided by the quoted
digest. A profile names the quirks it grants.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Final, NamedTuple

from framegate.eventlog.content import EXIT_BOOT_SERVICES
from framegate.eventlog.event_type import EventType
from framegate.eventlog.parse import BootEvent, BootLog
from framegate.eventlog.user_space import BOOT_PCRS, OS_SEPARATOR, SYSTEMD_PHASES, Extends
from framegate.tpm.constants import HASH_NAME, Alg

UNLOGGED_EXIT: Final = "exit-boot-services-unlogged"
PINNED: Final = "pcr-by-value"
PHASES: Final = SYSTEMD_PHASES.quirk
SEPARATOR: Final = OS_SEPARATOR.quirk
EXTENDED: Final = "user-space-extends"
PADDED: Final = "ima-padded-sha1"
BY_TABLE: Final = frozenset({PINNED, EXTENDED})
"""Quirks that a profile grants with values of its own beside them."""
MAX_CANDIDATES: Final = 1024
"""Combinations of PCR values tried against one quote; each costs one hash, with an IMA list one for
each entry that the list may be ahead. Boot phases, separator and exit together make 28, and with a
profile's own eight words, among which the separator may come anywhere, 756.
"""


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
            SEPARATOR,
            None,
            "systemd 261 and later",
            "the word os-separator is extended into all of PCR 0 to 7 at once, with 9 and 12 to 14,"
            " when the initrd is done",
        ),
        Quirk(
            EXTENDED,
            None,
            "systemd 259 and later (NvPCRs), and whatever else extends PCRs after boot",
            "PCRs go on after boot with the words that the profile lists as [[extend]], in their"
            " order",
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
class Grants:
    """What a profile lets a machine do: `quirks` by name, whole values of PCRs (`pinned`), and what
    else its user space extends.
    """

    quirks: Collection[str] = frozenset()
    pinned: Mapping[int, frozenset[bytes]] = field(default_factory=dict)
    extends: tuple[Extends, ...] = ()

    @property
    def user_space(self) -> tuple[Extends, ...]:
        """Every behaviour of user space that is granted, the separator last."""
        return (
            *((SYSTEMD_PHASES,) if PHASES in self.quirks else ()),
            *(self.extends if EXTENDED in self.quirks else ()),
            *((OS_SEPARATOR,) if SEPARATOR in self.quirks else ()),
        )

    @property
    def elsewhere(self) -> frozenset[int]:
        """PCRs whose value need not come out of the firmware's log: never those that the firmware
        itself has to measure into, but for whole values (N47).
        """
        after_boot = frozenset(p for e in self.user_space for p in e.pcrs) - BOOT_PCRS
        return frozenset(self.pinned) | after_boot


@dataclass(frozen=True, slots=True)
class Candidate:
    """One set of PCR values that a quote may confirm, the log that goes with it, and the quirks it
    took. `at_kernel` are the values before user space extended any, as the kernel saw them when it
    started; `extends` what a profile's own words are needed for.
    """

    values: Mapping[int, bytes]
    log: BootLog
    quirks: tuple[str, ...]
    at_kernel: Mapping[int, bytes]
    extends: tuple[Extends, ...] = ()


def candidates(
    log: BootLog, replayed: Mapping[int, bytes], bank: Alg, grants: Grants
) -> Iterator[Candidate]:
    """The replayed values as they are, then what the granted quirks allow in their place; at most
    `MAX_CANDIDATES`.
    """
    number = 0
    for booted in _booted(log, replayed, bank, grants.quirks):
        for reached in _reached(grants.user_space):
            values = booted.values
            for part in reached.parts:
                values = part.after(values, len(part.words), bank)
            active = reached.behaviours
            quirks = {*booted.quirks, *(e.quirk for e in active)}
            for whole in _pinned(grants):
                if number >= MAX_CANDIDATES:
                    return
                number += 1
                yield Candidate(
                    {**values, **whole},
                    booted.log,
                    tuple(sorted({*quirks, PINNED} if whole else quirks)),
                    {**booted.values, **whole},
                    tuple(e for e in active if e.quirk == EXTENDED),
                )


def _booted(
    log: BootLog, replayed: Mapping[int, bytes], bank: Alg, quirks: Collection[str]
) -> Iterator[Candidate]:
    """What the firmware may have left behind."""
    yield Candidate(replayed, log, (), replayed)
    if UNLOGGED_EXIT in quirks and 5 in replayed and not _has_exit(log, bank):
        new, value = getattr(hashlib, HASH_NAME[bank]), replayed[5]
        for text in EXIT_BOOT_SERVICES:
            value = new(value + new(text).digest()).digest()
        values = {**replayed, 5: value}
        yield Candidate(values, _with_exit(log), (UNLOGGED_EXIT,), values)


class Reached(NamedTuple):
    """How far user space came: `behaviours` of which there was a word at least, and `parts`, what
    was extended of them, in the order in which it was.
    """

    behaviours: tuple[Extends, ...]
    parts: tuple[Extends, ...]


def _reached(user_space: tuple[Extends, ...]) -> Iterator[Reached]:
    """How far user space may have come. The separator, which closes the initrd, may have come
    before, after and between the words of others that go into PCRs of its own: which service runs
    in the initrd, distributions decide (systemd-pcrnvdone.service ran behind it at first).
    """
    for counts in product(*(range(len(e.words) + 1) for e in user_space)):
        came = tuple(zip(user_space, counts, strict=True))
        parts = tuple(replace(e, words=e.words[:n]) for e, n in came)
        behaviours = tuple(e for e, n in came if n)
        yield Reached(behaviours, parts)
        if not parts or parts[-1] != OS_SEPARATOR:
            continue
        apart = tuple(p for p in parts[:-1] if not set(p.pcrs) & set(OS_SEPARATOR.pcrs))
        shared = tuple(
            replace(p, words=(word,)) for p in parts[:-1] if p not in apart for word in p.words
        )
        for place in range(len(shared)):
            among = (*shared[:place], OS_SEPARATOR, *shared[place:])
            yield Reached(behaviours, (*apart, *among))


def _pinned(grants: Grants) -> Iterator[dict[int, bytes]]:
    """Every choice of whole values that are granted; one empty choice where none is."""
    pcrs = sorted(grants.pinned) if PINNED in grants.quirks else []
    for chosen in product(*(sorted(grants.pinned[p]) for p in pcrs)):
        yield dict(zip(pcrs, chosen, strict=True))


def ungranted(
    log: BootLog,
    replayed: Mapping[int, bytes],
    bank: Alg,
    grants: Grants,
    fits: Callable[[Candidate], bool],
) -> str:
    """Which named behaviour of user space, granted, would have explained the quote: a hint for a
    person, empty where none would. It decides nothing.
    """
    for more in ({SEPARATOR}, {PHASES}, {SEPARATOR, PHASES}):
        missing = more - set(grants.quirks)
        if missing != more:
            continue
        wider = replace(grants, quirks=frozenset({*grants.quirks, *more}))
        if any(fits(c) for c in candidates(log, replayed, bank, wider) if more <= set(c.quirks)):
            told = " and ".join(f"{q} ({QUIRKS[q].seen})" for q in sorted(more))
            return (
                f"user space extended PCRs after boot: {told}. If the machine is meant to run it,"
                f" grant it in the profile: quirks = {sorted({*grants.quirks, *more})}"
            )
    return ""


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
