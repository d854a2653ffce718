"""How much of what a machine booted a profile knows at all: whether it is the profile's model with
something changed, or another machine model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from framegate.eventlog.parse import BootLog
from framegate.profile.model import FirmwareProfile
from framegate.profile.reading import Measured, read_boot_log

PLATFORM_PCRS: Final = frozenset({0, 1, 2, 3})
"""The firmware's code, option ROMs and their settings (TCG PFP, 3.3.4). Machines of different
makers share boot loaders, kernels and Microsoft's keys; they share nothing of these.
"""


@dataclass(frozen=True, slots=True)
class Likeness:
    """Of a machine's events told by digest: how many there are, how many the profile claims by that
    digest in that PCR; the same of the firmware's own PCRs alone.
    """

    events: int
    known: int
    platform: int
    platform_known: int

    @property
    def other_model(self) -> bool:
        """Whether nothing of the machine's own firmware is the profile's."""
        return self.platform > 0 and self.platform_known == 0


def likeness(log: BootLog, profile: FirmwareProfile) -> Likeness:
    """How `log` is like `profile`; a rule that claims whatever comes counts for nothing. A log
    without the profile's bank is like nothing.
    """
    bank = profile.selection.bank
    try:
        events = tuple(read_boot_log(log, bank).every(Measured))
    except ValueError:
        return Likeness(len(log.events), 0, len(log.events), 0)
    claimed = {(rule.pcr, d) for rule in profile.rules for d in rule.digests or ()}
    platform = [e for e in events if e.pcr in PLATFORM_PCRS]
    return Likeness(
        events=len(events),
        known=sum((e.pcr, e.digest) in claimed for e in events),
        platform=len(platform),
        platform_known=sum((e.pcr, e.digest) in claimed for e in platform),
    )
