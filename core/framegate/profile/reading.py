"""What a good machine's boot log shows: each event's meaning, where its digest covers that.

Boot entries, revocation lists, SBAT levels and commands differ from machine to machine for no bad
reason, and are told by their meaning; everything else by digest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias, TypeVar

from framegate.errors import FramegateError
from framegate.eventlog.content import (
    IMAGE_SECURITY,
    SHIM_LOCK,
    boot_variable,
    bound_text,
    bound_variable,
    revoked_hashes,
    sbat_levels,
)
from framegate.eventlog.describe import describe_event
from framegate.eventlog.event_type import EventType
from framegate.eventlog.parse import BootEvent, BootLog
from framegate.ima.entry import IMA_PCR
from framegate.tpm.constants import HASH_NAME, Alg

FIRMWARE_PCRS: Final = range(8)
"""The firmware's own: each is closed by a separator, and every profile quotes them."""
_SEPARATORS: Final = (b"\0\0\0\0", b"\xff\xff\xff\xff")
_BOOT_NAMES: Final = ("BootOrder", "Boot####", "BootCurrent", "BootNext")


@dataclass(frozen=True, slots=True)
class Measured:
    """Told by its digest alone. `description` is for people, and tells like from like."""

    pcr: int
    description: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class BootSetting:
    """A boot variable of this name, with whatever value."""

    name: str


@dataclass(frozen=True, slots=True)
class Command:
    """A boot loader's command or a kernel command line, which the digest covers."""

    pcr: int
    text: str


@dataclass(frozen=True, slots=True)
class Revoked:
    """The hashes in a dbx."""

    hashes: frozenset[bytes]


@dataclass(frozen=True, slots=True)
class Generations:
    """SBAT levels: component to generation."""

    of: Mapping[str, int]


Told: TypeAlias = Measured | BootSetting | Command | Revoked | Generations
_R = TypeVar("_R", Measured, BootSetting, Command, Revoked, Generations)


@dataclass(frozen=True, slots=True)
class BootReading:
    """One machine's boot log, read in one bank, in the log's order."""

    secure_boot: bool
    events: tuple[Told, ...]

    def every(self, kind: type[_R]) -> Iterator[_R]:
        """What was read so."""
        return (r for r in self.events if isinstance(r, kind))


def read_boot_log(log: BootLog, bank: Alg) -> BootReading:
    """What `log` shows in `bank`, without the firmware's separators, which say nothing.

    Raises ValueError for a bank that the log does not declare.
    """
    column = log.column(bank)
    separators = {hashlib.new(HASH_NAME[bank], s).digest() for s in _SEPARATORS}
    told = tuple(
        _told(e, bank, column)
        for e in log.events
        if e.extends
        and e.pcr != IMA_PCR
        and not (e.pcr in FIRMWARE_PCRS and e.digests[column] in separators)
    )
    return BootReading(_secure_boot_on(log, bank), told)


def _told(event: BootEvent, bank: Alg, column: int) -> Told:
    """What the event means where its digest covers that, else its digest."""
    told: Told | None = None
    if event.pcr == 1:
        told = _boot_setting(event, bank, column)
    elif event.pcr == 7:
        told = _revocation(event, bank, column)
    elif event.pcr not in FIRMWARE_PCRS:
        text = bound_text(event, bank, column)
        told = Command(event.pcr, text) if text is not None and "*" not in text else None
    return told or Measured(event.pcr, describe_event(event), event.digests[column])


def _boot_setting(event: BootEvent, bank: Alg, column: int) -> BootSetting | None:
    name = boot_variable(event, bank, column)
    if name is None:
        return None
    if name in _BOOT_NAMES:
        return BootSetting(name)
    return BootSetting("Boot####") if len(name) == 8 and name.startswith("Boot") else None


def _revocation(event: BootEvent, bank: Alg, column: int) -> Revoked | Generations | None:
    variable = bound_variable(event, bank, column)
    if variable is None:
        return None
    called = variable.vendor, variable.name
    try:
        if called == (IMAGE_SECURITY, "dbx"):
            return Revoked(revoked_hashes(variable.value))
        if called == (SHIM_LOCK, "SbatLevel"):
            return Generations(sbat_levels(variable.value))
    except FramegateError:  # not what it should be: then its digest says it
        return None
    return None


def _secure_boot_on(log: BootLog, bank: Alg) -> bool:
    column = log.column(bank)
    variables = [
        bound_variable(e, bank, column)
        for e in log.events
        if e.pcr == 7 and e.type == EventType.EFI_VARIABLE_DRIVER_CONFIG
    ]
    return [v.value for v in variables if v is not None and v.name == "SecureBoot"] == [b"\x01"]
