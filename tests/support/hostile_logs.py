"""Boot logs of machines that measure whatever they like."""

import random
import struct
from collections.abc import Sequence

from framegate.eventlog.content import (
    GLOBAL_VARIABLE,
    IMAGE_SECURITY,
    SHIM_LOCK,
    signature_list,
)
from framegate.eventlog.event_type import EventType
from framegate_simulators.machine.boot import Measurement, boot_log

_TYPES = [
    EventType.POST_CODE,
    EventType.NO_ACTION,
    EventType.SEPARATOR,
    EventType.ACTION,
    EventType.S_CRTM_CONTENTS,
    EventType.S_CRTM_VERSION,
    EventType.PLATFORM_CONFIG_FLAGS,
    EventType.IPL,
    EventType.EFI_VARIABLE_DRIVER_CONFIG,
    EventType.EFI_VARIABLE_BOOT,
    EventType.EFI_BOOT_SERVICES_APPLICATION,
    EventType.EFI_BOOT_SERVICES_DRIVER,
    EventType.EFI_GPT_EVENT,
    EventType.EFI_ACTION,
    EventType.EFI_PLATFORM_FIRMWARE_BLOB,
    EventType.EFI_HANDOFF_TABLES,
    EventType.EFI_HCRTM_EVENT,
    EventType.EFI_VARIABLE_AUTHORITY,
]
"""In their order: a seed makes the same log when a type gets a name."""


def variable(name: str, value: bytes, vendor: bytes = GLOBAL_VARIABLE) -> bytes:
    """UEFI_VARIABLE_DATA."""
    text = name.encode("utf-16-le")
    return vendor + struct.pack("<QQ", len(text) // 2, len(value)) + text + value


def made_log(rng: random.Random, commands: Sequence[str]) -> bytes:
    """A log of a machine that does anything: separators, variables and texts of every form, hashed
    as firmware and boot loaders do, or not quite; `commands` are those that a profile allows.
    """
    out = []
    for pcr in range(8):
        for _ in range(rng.randrange(3)):
            out.append(_event(rng, pcr, commands))
        for _ in range(rng.choice((1, 1, 1, 1, 1, 1, 0, 2))):
            content = rng.choice((bytes(4), bytes(4), bytes(4), b"\xff" * 4, b"\0\0\0\1"))
            data = content + bytes(rng.choice((0, 0, 0, 46)))
            out.append(Measurement("", pcr, EventType.SEPARATOR, content, data))
    out += [_event(rng, rng.choice((4, 7, 8, 9, 14)), commands) for _ in range(12)]
    if not rng.randrange(3):
        rng.shuffle(out)
    return boot_log(out, locality=rng.choice((None, None, 0, 3, 4)))


def _event(rng: random.Random, pcr: int, commands) -> Measurement:
    kind = rng.choice(_TYPES)
    if rng.randrange(3):
        kind = EventType.IPL if pcr > 7 else EventType.EFI_VARIABLE_DRIVER_CONFIG
    if kind in {EventType.EFI_VARIABLE_DRIVER_CONFIG, EventType.EFI_VARIABLE_BOOT} or pcr == 1:
        value = rng.choice(
            (b"\1", b"\0", b"", b"shim,4\n", bytes(9), signature_list([b"\x11" * 32]))
        )
        named = rng.choice(
            ("SecureBoot", "SbatLevel", "dbx", "db", "PK", "BootOrder", "Boot0001", "")
        )
        vendor = {"SbatLevel": SHIM_LOCK, "dbx": IMAGE_SECURITY}.get(named, GLOBAL_VARIABLE)
        content = variable(named, value, vendor)
        tail = rng.choice((b"", b"", b"", b"x", bytes(5) + b"x", bytes(6), bytes(4) + b"xy"))
        covered = rng.choice((content, content, content + tail[:5], content + tail, value))
        return Measurement("", pcr, kind, covered, content + tail)
    text = rng.choice(commands).encode() + rng.choice((b"", b"", b"x", b" init=/bin/sh"))
    if not rng.randrange(6):
        text = text.decode().encode("utf-16-le")
    prefix = rng.choice(
        (b"", b"grub_cmd: ", b"grub_cmd ", b"kernel_cmdline: ", b"grub_cmd: grub_cmd ")
    )
    tail = rng.choice((b"", b"\0", b"\0\0", b"\0\0\0", b"\0x"))
    covered = rng.choice((text, text, text, text + tail, text + tail[:1], prefix + text, b"other"))
    return Measurement("", pcr, kind, covered, prefix + text + tail)
