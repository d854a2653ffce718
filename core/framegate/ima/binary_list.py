"""The binary form of an IMA measurement list, as security/integrity/ima/ima_fs.c writes it.

Numbers are little-endian, as the kernel writes them on x86 and ARM and, with ima_canonical_fmt,
everywhere.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from framegate.errors import Malformed, Reason
from framegate.ima.earlier import plain_part
from framegate.ima.entry import CUT, MAX_IMA_ENTRIES, ImaEntries, ImaEntry, ImaList, malformed
from framegate.ima.template import (
    MAX_TEMPLATE_BYTES,
    MAX_TEMPLATE_NAME,
    OLD_NAME_BYTES,
    WIDTHS,
    TemplateHash,
    read_digest,
    read_entry,
    read_name,
    template_fields,
)

MAX_PAUSE: Final = 256
"""Entries read one by one, in a list of signed ones, before plain ones are looked for again."""
_HEADS: Final = {width: struct.Struct(f"<I{width}sI") for width in WIDTHS}
"""By the width of the template hash: PCR, template hash, size of the template's name."""
_COMMON: Final = frozenset({b"ima-ng", b"ima-sig"})


def parse_binary(data: bytes) -> ImaList:
    """The list in `data`, told by its first entry. Raises Malformed."""
    width = template_width(data)
    if width:
        return read_binary(data, width)
    raise malformed(0, "a template name behind a hash of 20, 32, 48 or 64 bytes", data[:12].hex())


def template_width(data: bytes) -> int:
    """Bytes of the template hashes of the binary list in `data`, 0 where it begins none."""
    return next((w for w in WIDTHS if _template_at(data, w)), 0)


def read_binary(data: bytes, width: int) -> ImaList:
    """The list in `data`, whose template hashes have `width` bytes. Raises Malformed."""
    reader, at, lies_end, again, pause = _Reader(data, width), 0, 0, 0, 1
    while at < len(data):
        if at >= lies_end and len(reader.entries) >= again:
            taken, end = len(reader.entries), reader.plain_from(at)
            if len(reader.entries) > taken:
                at, pause = end, 1
                continue
            # what looks plain and has a lie in it is read one by one, and refused at its place
            lies_end = end
            again, pause = taken + pause, min(2 * pause, MAX_PAUSE)
        if len(data) - at < reader.head.size:
            if not data[at:].strip(b"\n\0"):
                return ImaList(reader.entries, reader.hashed.algorithm, len(data) - at)
            raise malformed(
                at, f"an entry of at least {reader.head.size} bytes", f"{len(data) - at} left", CUT
            )
        at = reader.any_at(at)
    return ImaList(reader.entries, reader.hashed.algorithm, 0)


class _Reader:
    """Takes in the entries of `data`, whose template hashes have `width` bytes."""

    def __init__(self, data: bytes, width: int) -> None:
        self.data, self.width, self.head = data, width, _HEADS[width]
        self.entries, self.hashed = ImaEntries(), TemplateHash(width)
        self._templates = dict[bytes, _Template]()

    def plain_from(self, at: int) -> int:
        """Take in the plain entries from `at` on, for as long as they come, or none of them where
        one is not what it looks; returns where they end.
        """
        part = plain_part(self.data, at, self.hashed, MAX_IMA_ENTRIES - len(self.entries))
        if part.columns.datas:
            self.entries.extend_plain(part.columns, self.hashed.new)
            self.hashed.settle()
        return part.end

    def any_at(self, at: int) -> int:
        """Take in the entry at `at`, whatever it is; returns where the next begins."""
        data, end = self.data, len(self.data)
        if len(self.entries) >= MAX_IMA_ENTRIES:
            raise Malformed.of(
                Reason.TOO_LARGE, f"at most {MAX_IMA_ENTRIES} IMA entries", f"more at offset {at}"
            )
        pcr, template_hash, size = self.head.unpack_from(data, at)
        start = at + self.head.size + size
        if size > MAX_TEMPLATE_NAME:
            raise malformed(at, f"a template name of at most {MAX_TEMPLATE_NAME} bytes", size)
        if start > end:
            raise malformed(at, f"a template name of {size} bytes", "less", CUT)
        raw = data[at + self.head.size : start]
        template = self._template(raw, at)
        body, values, stop = (
            _old(data, start, at) if raw == b"ima" else _new(data, start, at, len(template.fields))
        )
        violation = not any(template_hash)
        if not violation and not self.hashed.matches(template_hash, body):
            raise malformed(at, f"template data that hashes to {template_hash.hex()}", "other data")
        if raw in _COMMON:  # without a dictionary for every entry
            kind, digest = read_digest(values[0], at, violation)
            signature = values[2] if len(values) == 3 else b""
            path = read_name(values[1], at)
            entry = ImaEntry(
                *(pcr, template_hash, template.name, body, kind, digest, path, signature),
                buffer=b"",
                violation=violation,
            )
        else:
            entry = read_entry(pcr, template_hash, template, body, values, violation, at)
        self.entries.append(entry)
        return stop

    def _template(self, raw: bytes, at: int) -> _Template:
        known = self._templates.get(raw)
        if known is None:
            fields = template_fields(raw)
            if fields is None:
                raise malformed(at, "a known IMA template", ascii(raw[:40]))
            known = self._templates[raw] = _Template(raw.decode(), fields)
        return known


class _Template(NamedTuple):
    name: str
    fields: tuple[str, ...]


def cut_entries(data: bytes, skip: int, take: int | None = None) -> bytes:
    """The bytes of a *binary* list from entry number `skip` on, `take` of them or all: walked by
    sizes, without hashing. Raises Malformed.
    """
    bounds, at = [0], 0
    width = template_width(data)
    last = None if take is None else skip + take
    while at < len(data) and data[at:].strip(b"\n\0") and (last is None or len(bounds) <= last):
        size = int.from_bytes(data[at + 4 + width : at + 8 + width], "little")
        start = at + 8 + width + size
        name = data[at + 8 + width : start]
        step = 20 if name == b"ima" else 0
        at = start + step + 4 + int.from_bytes(data[start + step : start + step + 4], "little")
        if not width or at > len(data):
            raise malformed(bounds[-1], "whole IMA entries", f"{len(data) - bounds[-1]} bytes")
        bounds.append(at)
    if skip >= len(bounds):
        raise Malformed.of(
            Reason.IMA_OFFSET,
            f"a list of at least {skip} entries",
            len(bounds) - 1,
            "the list was cut or belongs to another boot",
        )
    return data[bounds[skip] : bounds[-1]]


def _template_at(data: bytes, width: int) -> bool:
    size = int.from_bytes(data[4 + width : 8 + width], "little")
    name = data[8 + width : 8 + width + size]
    return 0 < size <= MAX_TEMPLATE_NAME and len(name) == size and template_fields(name) is not None


def _old(data: bytes, start: int, at: int) -> tuple[bytes, list[bytes], int]:
    """The `ima` template: a bare SHA-1 digest, a sized name; hashed with the name padded to 256
    bytes, and no size of the whole.
    """
    if len(data) - start < 24:
        raise malformed(at, "a digest and a name", f"{len(data) - start} bytes left", CUT)
    size = int.from_bytes(data[start + 20 : start + 24], "little")
    stop = start + 24 + size
    if size >= OLD_NAME_BYTES:
        raise malformed(at, f"a name of less than {OLD_NAME_BYTES} bytes", size)
    if stop > len(data):
        raise malformed(at, f"a name of {size} bytes", f"{len(data) - start - 24} left", CUT)
    digest, name = data[start : start + 20], data[start + 24 : stop]
    return digest + name.ljust(OLD_NAME_BYTES, b"\0"), [digest, name + b"\0"], stop


def _new(data: bytes, start: int, at: int, fields: int) -> tuple[bytes, list[bytes], int]:
    """Any other template: the size of the whole, and sized fields."""
    if len(data) - start < 4:
        raise malformed(at, "the template data's size", f"{len(data) - start} bytes left", CUT)
    length = int.from_bytes(data[start : start + 4], "little")
    start += 4
    if length > MAX_TEMPLATE_BYTES:
        raise malformed(at, f"template data of at most {MAX_TEMPLATE_BYTES} bytes", length)
    if length > len(data) - start:
        raise malformed(at, f"{length} bytes of template data", f"{len(data) - start} left", CUT)
    body = data[start : start + length]
    return body, _split(body, fields, at), start + length


def _split(body: bytes, count: int, at: int) -> list[bytes]:
    values, here, end = list[bytes](), 0, len(body)
    for _ in range(count):
        if end - here < 4:
            raise malformed(at, f"{count} sized fields", f"{len(values)}")
        size = int.from_bytes(body[here : here + 4], "little")
        here += 4
        if size > end - here:
            raise malformed(at, f"a field of at most {end - here} bytes", size)
        values.append(body[here : here + size])
        here += size
    if here != end:
        raise malformed(at, f"template data of {here} bytes", f"{end - here} more")
    return values
