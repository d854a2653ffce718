"""The binary form of an IMA measurement list, as security/integrity/ima/ima_fs.c writes it.

Numbers are little-endian, as the kernel writes them on x86 and ARM and, with ima_canonical_fmt,
everywhere.
"""

from __future__ import annotations

import struct
from typing import Final

from framegate.errors import Malformed, Reason
from framegate.ima.entry import MAX_IMA_ENTRIES, ImaEntry, ImaList, malformed
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

_NG_SHA256: Final = struct.pack("<I", 40) + b"sha256:\0"
_NG_HEAD: Final = 48
"""Where the name begins in the data of an ima-ng entry with a SHA-256 digest."""


def parse_binary(data: bytes) -> ImaList:
    """The list in `data`, told by its first entry. Raises Malformed."""
    width = template_width(data)
    if width:
        return _binary_list(data, width)
    raise malformed(0, "a template name behind a hash of 20, 32, 48 or 64 bytes", data[:12].hex())


def template_width(data: bytes) -> int:
    """Bytes of the template hashes of the binary list in `data`, 0 where it begins none."""
    return next((w for w in WIDTHS if _template_at(data, w)), 0)


def _binary_list(data: bytes, width: int) -> ImaList:  # noqa: C901 - ordered steps
    at, end, entries = 0, len(data), list[ImaEntry]()
    head, u32 = struct.Struct(f"<I{width}sI"), struct.Struct("<I").unpack_from
    hashed, zero, names = (
        TemplateHash(width),
        bytes(width),
        dict[bytes, tuple[str, tuple[str, ...]]](),
    )
    append, plain = entries.append, (b"ima-ng", b"ima-sig")
    while at < end:
        at = _usual(data, at, width, hashed, entries)
        if at >= end:
            break
        if end - at < head.size:
            if not data[at:].strip(b"\n\0"):
                return ImaList(tuple(entries), hashed.algorithm, end - at)
            raise malformed(at, f"an entry of at least {head.size} bytes", f"{end - at} left")
        if len(entries) >= MAX_IMA_ENTRIES:
            raise Malformed.of(
                Reason.TOO_LARGE, f"at most {MAX_IMA_ENTRIES} IMA entries", f"more at offset {at}"
            )
        pcr, template_hash, size = head.unpack_from(data, at)
        start = at + head.size + size
        if size > MAX_TEMPLATE_NAME or start > end:
            raise malformed(at, f"a template name of at most {MAX_TEMPLATE_NAME} bytes", size)
        raw = data[at + head.size : start]
        known = names.get(raw)
        if known is None:
            fields = template_fields(raw)
            if fields is None:
                raise malformed(at, "a known IMA template", ascii(raw[:40]))
            known = names[raw] = (raw.decode(), fields)
        if raw == b"ima":
            body, values, start = _old(data, start, at)
        else:
            if end - start < 4:
                raise malformed(at, "the template data's size", f"{end - start} bytes left")
            (length,) = u32(data, start)
            start += 4
            if length > MAX_TEMPLATE_BYTES or length > end - start:
                raise malformed(
                    at,
                    f"template data of at most {min(MAX_TEMPLATE_BYTES, end - start)} bytes",
                    length,
                )
            stop = start + length
            body = data[start:stop]
            values = _split(body, len(known[1]), at)
            start = stop
        violation = template_hash == zero
        if not violation and not hashed.matches(template_hash, body):
            raise malformed(at, f"template data that hashes to {template_hash.hex()}", "other data")
        if raw in plain:  # the usual case, without a dictionary for every entry
            kind, digest = read_digest(values[0], at, violation)
            append(
                ImaEntry(
                    pcr,
                    template_hash,
                    known[0],
                    body,
                    kind,
                    digest,
                    read_name(values[1], at),
                    values[2] if len(values) == 3 else b"",
                    b"",
                    violation,
                )
            )
        else:
            append(read_entry(pcr, template_hash, known, body, values, violation, at))
        at = start
    return ImaList(tuple(entries), hashed.algorithm, 0)


def _usual(data: bytes, at: int, width: int, hashed: TemplateHash, entries: list[ImaEntry]) -> int:
    """Take in entries as nearly all are (ima-ng, a SHA-256 digest, no violation) for as long as
    they come; returns where the first other one begins.

    It changes nothing for that one, which is read, or refused, with care: this loop only saves
    time.
    """
    layout = struct.Struct(
        f"<I{width}sI6sI12s32sI"
    )  # the entry's head, and the head of its data up to the name
    unpack, head = layout.unpack_from, layout.size - _NG_HEAD
    append, make, new = entries.append, tuple.__new__, hashed.new
    end, room = len(data), MAX_IMA_ENTRIES - len(entries)
    last = end - layout.size
    while at < last and room > 0:
        pcr, template_hash, name_size, name, length, prefix, digest, path_size = unpack(data, at)
        start = at + head
        stop = start + length
        if (
            name_size != 6
            or name != b"ima-ng"
            or prefix != _NG_SHA256
            or _NG_HEAD + path_size != length
            or length > MAX_TEMPLATE_BYTES
            or stop > end
        ):
            break
        body = data[start:stop]
        if new(body).digest() != template_hash or body.find(0, _NG_HEAD) != length - 1:
            break
        append(
            make(
                ImaEntry,
                (
                    pcr,
                    template_hash,
                    "ima-ng",
                    body,
                    "sha256",
                    digest,
                    body[_NG_HEAD:-1],
                    b"",
                    b"",
                    False,
                ),
            )
        )
        at, room = stop, room - 1
    return at


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
        raise malformed(at, "a digest and a name", f"{len(data) - start} bytes left")
    size = int.from_bytes(data[start + 20 : start + 24], "little")
    stop = start + 24 + size
    if size >= OLD_NAME_BYTES or stop > len(data):
        raise malformed(at, f"a name of less than {OLD_NAME_BYTES} bytes", size)
    digest, name = data[start : start + 20], data[start + 24 : stop]
    return digest + name.ljust(OLD_NAME_BYTES, b"\0"), [digest, name + b"\0"], stop


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
