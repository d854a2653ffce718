"""Boot events described, for people and for the names of learnt rules. A description comes from
unhashed data where need be: never decide on it.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from framegate.eventlog.event_type import EventType
from framegate.eventlog.parse import BootEvent, BootLog
from framegate.eventlog.structure import variable_name
from framegate.tpm.constants import HASH_NAME, Alg

_PLAIN: Final = {
    EventType.S_CRTM_VERSION: "CRTM version",
    EventType.S_CRTM_CONTENTS: "CRTM contents",
    EventType.POST_CODE: "firmware code",
    EventType.SEPARATOR: "separator",
    EventType.EFI_PLATFORM_FIRMWARE_BLOB: "firmware blob",
    EventType.EFI_PLATFORM_FIRMWARE_BLOB2: "firmware blob",
    EventType.EFI_HANDOFF_TABLES: "handoff tables",
    EventType.EFI_HANDOFF_TABLES2: "handoff tables",
    EventType.EFI_GPT_EVENT: "partition table",
    EventType.EFI_GPT_EVENT2: "partition table",
    EventType.CPU_MICROCODE: "CPU microcode",
    EventType.PLATFORM_CONFIG_FLAGS: "platform configuration",
    EventType.EFI_HCRTM_EVENT: "H-CRTM",
    EventType.EFI_BOOT_SERVICES_DRIVER: "driver",
    EventType.EFI_RUNTIME_SERVICES_DRIVER: "driver",
}
_TEXTS: Final = frozenset(
    {EventType.EFI_ACTION, EventType.ACTION, EventType.IPL, EventType.EVENT_TAG}
)
_TAG_BYTES: Final = 8
"""ID and size in front of what a tagged event says (PFP 10.4.2.7)."""
_UTF16_PATH: Final = re.compile(rb"(?:[\x20-\x7e]\x00){4,}")
MAX_DESCRIPTION: Final = 80


class EventRow(NamedTuple):
    """One event, as people read it: `digest` in hex, `description` what it seems to be."""

    number: int
    pcr: int
    type_name: str
    digest: str
    description: str


def describe_event(event: BootEvent) -> str:
    """What `event` seems to be, in a few words."""
    name = variable_name(event.data) if event.type >= EventType.EFI_VARIABLE_DRIVER_CONFIG else b""
    if name and event.type in {
        EventType.EFI_VARIABLE_DRIVER_CONFIG,
        EventType.EFI_VARIABLE_BOOT,
        EventType.EFI_VARIABLE_AUTHORITY,
        EventType.EFI_VARIABLE_BOOT2,
    }:
        called = ascii(name[16:].decode("utf-16-le", "replace"))[1:-1]
        return (
            f"signer checked against {called}"
            if event.type == EventType.EFI_VARIABLE_AUTHORITY
            else f"variable {called}"
        )[:MAX_DESCRIPTION]
    if event.type == EventType.EFI_BOOT_SERVICES_APPLICATION:
        paths = _UTF16_PATH.findall(event.data)
        path = max(paths, key=len).decode("utf-16-le") if paths else ""
        return f"boot application {path}".strip()[:MAX_DESCRIPTION]
    if event.type in _TEXTS and (text := _text(event)):
        return text[:MAX_DESCRIPTION]
    return (
        _PLAIN.get(EventType(event.type), event.type_name)
        if event.type in set(EventType)
        else event.type_name
    )


def _text(event: BootEvent) -> str:
    """What the event says in a text, which systemd's boot loader and stub write in UTF-16, and
    Linux's with a tag in front; nothing where it says none.
    """
    data = event.data[_TAG_BYTES if event.type == EventType.EVENT_TAG else 0 :]
    wide = data[1::2].count(0) * 2 > len(data[1::2])
    text = data.decode("utf-16-le" if wide else "utf-8", "replace").rstrip("\0")
    return text if text.isprintable() and any(c.isascii() for c in text) else ""


def event_rows(log: BootLog, bank: Alg) -> list[EventRow]:
    """A row of every event, with its digest in `bank`."""
    column = log.column(bank)
    return [
        EventRow(e.number, e.pcr, e.type_name, e.digests[column].hex(), describe_event(e))
        for e in log.events
    ]


def bank_names(log: BootLog) -> list[str]:
    """The log's banks by name."""
    return [HASH_NAME.get(b, b.name.lower()) for b in log.banks]
