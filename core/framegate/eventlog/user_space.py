"""What programs extend into PCRs after the firmware's log has ended: words of systemd, and of
whatever comes after it.

No firmware log has them. A behaviour says which words go into which PCRs, in their order; each word
is extended by its hash in the bank, into all of the behaviour's PCRs before the next one comes.

Source: systemd-pcrphase.service(8), systemd-pcrosseparator.service(8), systemd's TPM2 PCR
measurements.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from framegate.tpm.constants import HASH_NAME, Alg

BOOT_PCRS: Final = frozenset(range(8))
"""PCRs of the firmware: one behaviour goes into all of them or into none, so that no word can stand
in for what the firmware measured into one.
"""
PHASE_WORDS: Final = ("enter-initrd", "leave-initrd", "sysinit", "ready", "shutdown", "final")
"""What systemd extends into PCR 11 after a unified kernel image booted, in order."""
SEPARATOR_WORD: Final = "os-separator"


@dataclass(frozen=True, slots=True)
class Extends:
    """One behaviour of user space: `words`, in their order, into each of `pcrs`. `quirk` is the
    name under which a profile grants it.
    """

    quirk: str
    name: str
    pcrs: tuple[int, ...]
    words: tuple[str, ...]

    def after(self, values: Mapping[int, bytes], count: int, bank: Alg) -> dict[int, bytes]:
        """`values` when `count` of the words were extended; a PCR without a value is taken for one
        that nothing was measured into.
        """
        new = hashlib.new(HASH_NAME[bank])
        extended = dict(values)
        for pcr in self.pcrs:
            value = values.get(pcr, bytes(new.digest_size))
            for word in self.words[:count]:
                digest = hashlib.new(HASH_NAME[bank], word.encode()).digest()
                value = hashlib.new(HASH_NAME[bank], value + digest).digest()
            extended[pcr] = value
        return extended


SYSTEMD_PHASES: Final = Extends("systemd-phases", "systemd's boot phases", (11,), PHASE_WORDS)
OS_SEPARATOR: Final = Extends(
    "systemd-os-separator",
    "systemd's os-separator",
    (0, 1, 2, 3, 4, 5, 6, 7, 9, 12, 13, 14),
    (SEPARATOR_WORD,),
)


def separated(
    replayed: Mapping[int, bytes], quoted: Mapping[int, bytes], bank: Alg
) -> frozenset[int]:
    """PCRs whose quoted value is the replayed one with one os-separator behind it."""
    extended = OS_SEPARATOR.after(replayed, 1, bank)
    return frozenset(p for p in OS_SEPARATOR.pcrs if p in quoted and quoted[p] == extended[p])


def in_words(pcrs: Iterable[int]) -> str:
    """PCR indices as people write them: `0 to 7, 9`."""
    runs: list[list[int]] = []
    for pcr in sorted(pcrs):
        if runs and runs[-1][-1] == pcr - 1:
            runs[-1].append(pcr)
        else:
            runs.append([pcr])
    return ", ".join(f"{r[0]} to {r[-1]}" if len(r) > 1 else str(r[0]) for r in runs)
