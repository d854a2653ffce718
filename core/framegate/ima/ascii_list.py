"""The ASCII form of an IMA measurement list, as security/integrity/ima/ima_fs.c prints it."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import Final

from framegate.errors import Malformed, Reason
from framegate.ima.entry import CUT, MAX_IMA_ENTRIES, ImaEntries, ImaEntry, ImaList, malformed
from framegate.ima.template import (
    MAX_TEMPLATE_BYTES,
    NAMES,
    OLD_NAME_BYTES,
    WIDTHS,
    TemplateHash,
    read_entry,
    template_fields,
)

_BEGINNING: Final = re.compile(rb" {0,2}(\d{1,2}) ((?:[0-9a-fA-F]{2}){20,64}) (\S{1,256})(?: |\Z)")
"""PCR, template hash, template: what a line that begins an entry begins with."""
_BLANK: Final = b"\0 \r"
"""What a line holds that holds nothing."""
_NUMBERS: Final = {"iuid": 4, "igid": 4, "imode": 2}
"""Fields printed as decimal numbers, and their bytes in the entry."""


def begins_entry(line: bytes) -> bool:
    """Whether `line` begins like an entry, with a template that is known."""
    beginning = _BEGINNING.match(line)
    return beginning is not None and template_fields(beginning[3]) is not None


def parse_ascii(data: bytes) -> ImaList:
    """The list in `data`, an entry a line; a name with line breaks goes on in the next. Raises
    Malformed.
    """
    entries, hashed, width = ImaEntries(), TemplateHash(20), 0
    for at, line in _lines(data):
        if len(entries) >= MAX_IMA_ENTRIES:
            raise Malformed.of(
                Reason.TOO_LARGE,
                f"at most {MAX_IMA_ENTRIES} IMA entries",
                f"more at offset {at}",
            )
        beginning = _BEGINNING.match(line)
        if beginning is None:
            raise malformed(at, "PCR, template hash, template, fields", ascii(line[:60]))
        if not entries:
            width = len(beginning[2]) // 2
            if width not in WIDTHS:
                raise malformed(at, "a template hash of 20, 32, 48 or 64 bytes", ascii(line[:60]))
            hashed = TemplateHash(width)
        try:
            entries.append(_ascii_entry(beginning, line[beginning.end() :], at, hashed, width))
        except Malformed as error:
            if at + len(line) < len(data):
                raise
            first = error.failures[0]  # the last line, and nothing ends it
            raise Malformed.of(first.reason, first.expected, first.actual, CUT) from error
    return ImaList(entries, hashed.algorithm, 0)


def _lines(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Where each entry begins, and its text: the kernel prints names as they are, line breaks and
    all.
    """
    start, text, at = 0, b"", 0
    for line in data.split(b"\n"):
        goes_on = text and _BEGINNING.match(line) is None
        if goes_on and line.strip(_BLANK) and len(text) < 2 * MAX_TEMPLATE_BYTES:
            text += b"\n" + line
        elif line.strip(_BLANK):
            if text:
                yield start, text
            start, text = at, line
        at += len(line) + 1
    if text:
        yield start, text


def _ascii_entry(
    beginning: re.Match[bytes], shown: bytes, at: int, hashed: TemplateHash, width: int
) -> ImaEntry:
    """An ASCII line holds less than its hash covers (where a name ends, whether a signature
    follows): of the readings, the one that hashes right is taken.
    """
    pcr, template_hash = int(beginning[1]), bytes.fromhex(beginning[2].decode())
    fields, template = template_fields(beginning[3]), beginning[3].decode("ascii", "replace")
    if fields is None or len(template_hash) != width or pcr >= 24:
        raise malformed(
            at, f"a known template, a hash of {width} bytes, a PCR below 24", ascii(shown[:60])
        )
    violation, read = not any(template_hash), False
    for values in _readings(shown, fields):
        read = True
        body = b"".join(struct.pack("<I", len(v)) + v for v in values)
        if template == "ima":
            body = values[0] + values[1][: OLD_NAME_BYTES - 1].rstrip(b"\0").ljust(
                OLD_NAME_BYTES, b"\0"
            )
        if violation or hashed.matches(template_hash, body):
            return read_entry(pcr, template_hash, (template, fields), body, values, violation, at)
    wanted = f"fields that hash to {template_hash.hex()}" if read else f"the fields of {template}"
    others = "another line behind it that begins no entry" if b"\n" in shown else "other fields"
    raise malformed(at, wanted, f"{others}, or a name with escapes: read the binary list")


def _readings(shown: bytes, fields: tuple[str, ...]) -> Iterator[list[bytes]]:
    """Ways to split what is shown into the fields' values, the likeliest first.

    A space stands between two fields and nothing for an empty one; tools take spaces off the end of
    a line, Windows tools put a carriage return there, and kernels before 3.13 left them in names.
    """
    named = next((n for n, f in enumerate(fields) if f in NAMES), len(fields))
    for text in dict.fromkeys((shown, shown.rstrip(b" "), shown.rstrip(b" \r"))):
        pieces = text.split(b" ")
        for missing in range(len(fields)):
            shown_fields = len(fields) - missing
            more = len(pieces) - shown_fields
            if more < 0 or (more and named >= shown_fields):
                continue
            name = [b" ".join(pieces[named : named + more + 1])] if named < shown_fields else []
            split = [*pieces[:named], *name, *pieces[named + more + 1 :], *[b""] * missing]
            try:
                yield [_value(f, p) for f, p in zip(fields, split, strict=True)]
            except (ValueError, OverflowError):
                continue


def _value(field: str, shown: bytes) -> bytes:
    """The bytes of a field that the kernel prints so. Raises ValueError."""
    if field in NAMES:
        return shown + b"\0"
    if not shown:
        return b""
    if field == "xattrnames":
        return shown + b"\0"
    if field in _NUMBERS:
        return int(shown).to_bytes(_NUMBERS[field], "little")
    algorithm, mark, value = shown.rpartition(b":")
    return (algorithm + b":\0" if mark else b"") + bytes.fromhex(value.decode("ascii"))
