"""What a boot event's data says, where its digest covers that data: texts of boot loaders, UEFI
variables, signature lists, SBAT levels.

Each function gets the digest and tells what is bound to it, or None: nothing here is believed for
its type or its looks (N40, N41).
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from framegate.errors import Malformed, Reason
from framegate.eventlog.parse import BootEvent
from framegate.eventlog.structure import variable_name, variable_record, variable_value
from framegate.tpm.constants import HASH_NAME, Alg

MAX_SIGNATURES: Final = 16_384
"""Entries in one signature database; today's dbx holds under 500."""
MAX_TEXT_BYTES: Final = 64 * 1024
GLOBAL_VARIABLE: Final = bytes.fromhex("61dfe48bca93d211aa0d00e098032b8c")
IMAGE_SECURITY: Final = bytes.fromhex("cbb219d73a3d9645a3bcdad00e67656f")
SHIM_LOCK: Final = bytes.fromhex("50ab5d6046e00043abb63dd810dd8b23")
_PREFIXES: Final = (
    b"grub_cmd: ",
    b"grub_cmd ",
    b"kernel_cmdline: ",
    b"grub_kernel_cmdline ",
    b"module_cmdline: ",
    b"grub_module_cmdline ",
    b"",
)
"""What GRUB puts in front of a measured text without hashing it (grub-core/kern/verifiers, GRUB
2.02 to 2.12), and nothing last: which comes first saves a hash, and decides nothing.
"""
EXIT_BOOT_SERVICES: Final = (
    b"Exit Boot Services Invocation",
    b"Exit Boot Services Returned with Success",
)
"""PFP 9.2.5: what firmware extends into PCR 5 when the operating system takes over."""
WEAKENED: Final = {
    b"DMA Protection Disabled": "the firmware ran with DMA protection off, so that a device on the"
    " bus could write into memory",
    b"UEFI Debug Mode": "the firmware ran with a debugger, which may change whatever it likes",
}
"""PFP 3.3.4.8 and 8.2: actions that firmware measures into PCR 7 where a protection is off."""
_SHA256_GUID: Final = bytes.fromhex("2616c4c14c509240aca941f936934328")


@dataclass(frozen=True, slots=True)
class BoundVariable:
    """A UEFI variable whose whole record a digest covers: its vendor's GUID, name and value."""

    vendor: bytes
    name: str
    value: bytes


def bound_text(event: BootEvent, bank: Alg, column: int) -> str | None:
    """The text whose hash is the event's digest in `bank`: a boot loader's command or a kernel
    command line, UTF-8 or UTF-16; else None.
    """
    data, digest = event.data, event.digests[column]
    if len(data) > MAX_TEXT_BYTES or not data:
        return None
    new = getattr(hashlib, HASH_NAME[bank])
    for prefix in _PREFIXES:
        if data.startswith(prefix):
            body = data[len(prefix) :]
            text = body.rstrip(b"\0")
            for covered in (text, body) if len(body) < len(text) + 2 else (text, body[:-1], body):
                if covered and new(covered).digest() == digest:
                    return _readable(covered)
    return None


def covered_text(text: str) -> bytes:
    """What an event's digest covers whose `bound_text` is `text`, in UTF-8 and without a closing
    NUL, as boot loaders measure it; nothing where no event has such a text.
    """
    covered = text.encode("utf-8", "replace")
    return covered if covered and _readable(covered) == text else b""


def says(data: bytes, covered: bytes) -> bool:
    """Whether an event of this `data`, and the digest of `covered`, has the text `covered` bound to
    it: what `bound_text` finds by hashing, where the digest is known to be that of `covered`, which
    ends in no NUL.
    """
    told = data.rstrip(b"\0")
    return (
        told.endswith(covered)
        and told[: len(told) - len(covered)] in _PREFIXES
        and len(data) <= MAX_TEXT_BYTES
    )


def _readable(covered: bytes) -> str | None:
    for encoding in ("utf-8", "utf-16-le"):
        try:
            text = covered.decode(encoding).rstrip("\0")
        except UnicodeDecodeError:
            continue
        if text and (text.isprintable() or all(c.isprintable() or c in "\n\t" for c in text)):
            return text
    return None


def weakening(pcr: int, digest: bytes, bank: Alg) -> str:
    """What the firmware says, by measuring an action with this `digest`, that it did without, in
    words; nothing where it is no such action.
    """
    if pcr != 7:
        return ""
    new = getattr(hashlib, HASH_NAME[bank])
    told = (f"{t.decode()!r}: {w}" for t, w in WEAKENED.items() if digest in _hashes(new, t))
    return next(told, "")


def _hashes(new: Callable[[bytes], Any], text: bytes) -> set[bytes]:
    """With its closing NUL or without, as firmware has it."""
    return {new(text).digest(), new(text + b"\0").digest()}


def bound_variable(event: BootEvent, bank: Alg, column: int) -> BoundVariable | None:
    """The UEFI variable whose whole record is what the digest covers; else None."""
    data = variable_record(event.data)
    name = variable_name(data)
    value = variable_value(data)
    if (
        not name
        or value is None
        or getattr(hashlib, HASH_NAME[bank])(data).digest() != event.digests[column]
    ):
        return None
    return BoundVariable(name[:16], name[16:].decode("utf-16-le", "replace"), value)


def boot_variable(event: BootEvent, bank: Alg, column: int) -> str | None:
    """Name of a variable of which the digest covers the record, or only the value, as
    EV_EFI_VARIABLE_BOOT does in older firmware; else None.

    In the second case the name is the log's word: use it only where any value is allowed.
    """
    name, value = variable_name(event.data), variable_value(event.data)
    if not name or value is None:
        return None
    digest, new = event.digests[column], getattr(hashlib, HASH_NAME[bank])
    return (
        name[16:].decode("utf-16-le", "replace")
        if digest in {new(event.data).digest(), new(value).digest()}
        else None
    )


def signature_database(value: bytes) -> list[tuple[bytes, bytes]]:
    """(type GUID, data) of every entry of EFI_SIGNATURE_LISTs (UEFI 2.10, 32.4.1). Raises Malformed
    on sizes that do not fit (N46).
    """
    entries: list[tuple[bytes, bytes]] = []
    at = 0
    while at < len(value):
        if len(value) - at < 28:
            raise _bad("a signature list of at least 28 bytes", len(value) - at)
        kind = value[at : at + 16]
        size, header, each = struct.unpack_from("<III", value, at + 16)
        if size < 28 + header or size > len(value) - at or each < 16 or (size - 28 - header) % each:
            raise _bad("signature list sizes that fit", (size, header, each))
        if len(entries) + (size - 28 - header) // each > MAX_SIGNATURES:
            raise Malformed.of(
                Reason.TOO_LARGE,
                f"at most {MAX_SIGNATURES} signatures",
                (size - 28 - header) // each,
            )
        start = at + 28 + header
        entries += [(kind, value[p + 16 : p + each]) for p in range(start, at + size, each)]
        at += size
    return entries


def revoked_hashes(value: bytes) -> frozenset[bytes]:
    """SHA-256 hashes in a dbx value. Raises Malformed."""
    return frozenset(
        data for kind, data in signature_database(value) if kind == _SHA256_GUID and len(data) == 32
    )


def signature_list(hashes: list[bytes]) -> bytes:
    """One EFI_SIGNATURE_LIST of SHA-256 hashes, without an owner."""
    return (
        _SHA256_GUID
        + struct.pack("<III", 28 + 48 * len(hashes), 0, 48)
        + b"".join(bytes(16) + h for h in hashes)
    )


def sbat_levels(value: bytes) -> dict[str, int]:
    """Component to generation of an SBAT level (shim, SBAT.md): lines
    `component,generation[,date]`. Raises Malformed.
    """
    levels: dict[str, int] = {}
    for line in value.rstrip(b"\0").decode("ascii", "replace").split("\n"):
        if line.strip():
            name, _, rest = line.partition(",")
            number = rest.partition(",")[0]
            if not number.isdigit() or len(number) > 9:
                raise _bad("SBAT lines component,generation", ascii(line[:60]))
            levels[name] = int(number)
    return levels


def _bad(expected: str, actual: object) -> Malformed:
    return Malformed.of(Reason.BOOT_LOG_MALFORMED, expected, actual)
