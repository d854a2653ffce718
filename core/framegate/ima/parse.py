"""Parse an IMA measurement list, binary or ASCII, of any template, with template hashes of any
bank's width.

Source: Linux Documentation/security/IMA-templates.rst, security/integrity/ima/ima_fs.c and
ima_template_lib.c. Numbers are little-endian, as the kernel writes them on x86 and ARM and, with
ima_canonical_fmt, everywhere.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from framegate.errors import Malformed, Reason
from framegate.tpm.constants import Alg

MAX_IMA_ENTRIES: Final = 200_000
"""A full desktop measured with the kernel's tcb policy reaches some 50,000; with the 4 MiB of a
chunk this bounds time and memory.
"""
MAX_TEMPLATE_BYTES: Final = 64 * 1024
"""A path of 4 KiB, a signature of 1 KiB, a measured buffer (kexec command line, keys) of some KiB.
"""
MAX_TEMPLATE_NAME: Final = 128
_OLD_NAME_BYTES: Final = 256
_NG_SHA256: Final = struct.pack("<I", 40) + b"sha256:\0"
_NG_HEAD: Final = 48
"""Where the name begins in the data of an ima-ng entry with a SHA-256 digest."""
_WIDTHS: Final = {20: Alg.SHA1, 32: Alg.SHA256, 48: Alg.SHA384, 64: Alg.SHA512}
_HASHES: Final = {
    "sha1": 20,
    "sha256": 32,
    "sha384": 48,
    "sha512": 64,
    "sha224": 28,
    "md5": 16,
    "sm3_256": 32,
    "sm3": 32,
    "sm3-256": 32,
    "rmd160": 20,
    "wp512": 64,
    "streebog256": 32,
    "streebog512": 64,
    "sha3-256": 32,
    "sha3-384": 48,
    "sha3-512": 64,
}
TEMPLATES: Final = {
    "ima": ("d", "n"),
    "ima-ng": ("d-ng", "n-ng"),
    "ima-sig": ("d-ng", "n-ng", "sig"),
    "ima-buf": ("d-ng", "n-ng", "buf"),
    "ima-modsig": ("d-ng", "n-ng", "sig", "d-modsig", "modsig"),
    "ima-ngv2": ("d-ngv2", "n-ng"),
    "ima-sigv2": ("d-ngv2", "n-ng", "sig"),
    "evm-sig": (
        "d-ng",
        "n-ng",
        "evmsig",
        "xattrnames",
        "xattrlengths",
        "xattrvalues",
        "iuid",
        "igid",
        "imode",
    ),
}
"""Template name to its fields. Any other name is read as a list of fields joined by `|`, as
ima_template_fmt= makes them.
"""
_FIELDS: Final = frozenset(f for fields in TEMPLATES.values() for f in fields)


class ImaEntry(NamedTuple):
    """One entry. `data` is what the template hash covers; `path` the raw bytes of the name;
    `digest` of the file's content under `algorithm`.

    `violation`: the kernel saw the file open for writing while measured; such an entry has a zero
    template hash and says nothing of content. A tuple, because lists have tens of thousands.
    """

    pcr: int
    template_hash: bytes
    template: str
    data: bytes
    algorithm: str
    digest: bytes
    path: bytes
    signature: bytes
    buffer: bytes
    violation: bool


class _TemplateHash:
    """The hash that made the list's template hashes: told by their width, except that SM3 is as
    wide as SHA-256 and shows at the first entry.
    """

    def __init__(self, width: int) -> None:
        self.algorithm, self._sure = _WIDTHS[width], False
        self.new: Callable[[bytes], Any] = getattr(hashlib, self.algorithm.name.lower())

    def made(self, template_hash: bytes, body: bytes) -> bool:
        """Whether `template_hash` is that of `body`."""
        if self.new(body).digest() == template_hash:
            self._sure = True
            return True
        if (
            not self._sure
            and self.algorithm == Alg.SHA256
            and "sm3" in hashlib.algorithms_available
            and hashlib.new("sm3", body).digest() == template_hash
        ):
            self.algorithm, self.new, self._sure = (
                Alg.SM3_256,
                lambda data: hashlib.new("sm3", data),
                True,
            )
            return True
        return False


class ImaList(NamedTuple):
    """A parsed list: `width` is the algorithm of its template hashes; `padding` bytes after the
    last entry (a newline some tools leave).
    """

    entries: tuple[ImaEntry, ...]
    width: Alg
    padding: int


def parse_ima(data: bytes) -> ImaList:
    """The list in `data`, binary or ASCII; the width of its template hashes is found out, not told.

    Every template hash is recomputed in its own algorithm. Raises Malformed (IMA_MALFORMED): a hash
    that does not match (N60), unknown templates or algorithms, sizes past the end, digests of the
    wrong width, more than `MAX_IMA_ENTRIES`. An empty list is malformed too.
    """
    if not data.strip(b"\n\0"):
        raise _bad(0, "an IMA measurement list", "padding only" if data else "nothing")
    ascii_like = data[:1].isdigit() or data[:1] == b" "
    return _ascii(data) if ascii_like else _binary(data)


def cut_entries(data: bytes, skip: int, take: int | None = None) -> bytes:
    """The bytes of a *binary* list from entry number `skip` on, `take` of them or all: walked by
    sizes, without hashing. Raises Malformed.
    """
    bounds, at = [0], 0
    width = next((w for w in _WIDTHS if _template_at(data, w)), 0)
    last = None if take is None else skip + take
    while at < len(data) and data[at:].strip(b"\n\0") and (last is None or len(bounds) <= last):
        size = int.from_bytes(data[at + 4 + width : at + 8 + width], "little")
        start = at + 8 + width + size
        name = data[at + 8 + width : start]
        step = 20 if name == b"ima" else 0
        at = start + step + 4 + int.from_bytes(data[start + step : start + step + 4], "little")
        if not width or at > len(data):
            raise _bad(bounds[-1], "whole IMA entries", f"{len(data) - bounds[-1]} bytes")
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
    return 0 < size <= MAX_TEMPLATE_NAME and len(name) == size and _fields(name) is not None


def _bad(at: int, expected: str, actual: object) -> Malformed:
    return Malformed.of(
        Reason.IMA_MALFORMED,
        expected,
        f"{actual} at offset {at}",
        "read the list again from /sys/kernel/security/ima",
    )


def _binary(data: bytes) -> ImaList:
    for width in _WIDTHS:
        if _template_at(data, width):
            return _binary_of(data, width)
    raise _bad(0, "a template name behind a hash of 20, 32, 48 or 64 bytes", data[:12].hex())


def _binary_of(data: bytes, width: int) -> ImaList:  # noqa: C901 - ordered steps, read best in one piece
    at, end, entries = 0, len(data), list[ImaEntry]()
    head, u32 = struct.Struct(f"<I{width}sI"), struct.Struct("<I").unpack_from
    hashed, zero, names = (
        _TemplateHash(width),
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
            raise _bad(at, f"an entry of at least {head.size} bytes", f"{end - at} left")
        if len(entries) >= MAX_IMA_ENTRIES:
            raise Malformed.of(
                Reason.TOO_LARGE, f"at most {MAX_IMA_ENTRIES} IMA entries", f"more at offset {at}"
            )
        pcr, template_hash, size = head.unpack_from(data, at)
        start = at + head.size + size
        if size > MAX_TEMPLATE_NAME or start > end:
            raise _bad(at, f"a template name of at most {MAX_TEMPLATE_NAME} bytes", size)
        raw = data[at + head.size : start]
        known = names.get(raw)
        if known is None:
            fields = _fields(raw)
            if fields is None:
                raise _bad(at, "a known IMA template", ascii(raw[:40]))
            known = names[raw] = (raw.decode(), fields)
        if raw == b"ima":
            body, values, start = _old(data, start, at)
        else:
            if end - start < 4:
                raise _bad(at, "the template data's size", f"{end - start} bytes left")
            (length,) = u32(data, start)
            start += 4
            if length > MAX_TEMPLATE_BYTES or length > end - start:
                raise _bad(
                    at,
                    f"template data of at most {min(MAX_TEMPLATE_BYTES, end - start)} bytes",
                    length,
                )
            stop = start + length
            body = data[start:stop]
            values = _split(body, len(known[1]), at)
            start = stop
        violation = template_hash == zero
        if not violation and not hashed.made(template_hash, body):
            raise _bad(at, f"template data that hashes to {template_hash.hex()}", "other data")
        if raw in plain:  # the usual case, without a dictionary for every entry
            kind, digest = _digest(values[0], at, violation)
            append(
                ImaEntry(
                    pcr,
                    template_hash,
                    known[0],
                    body,
                    kind,
                    digest,
                    _name(values[1], at),
                    values[2] if len(values) == 3 else b"",
                    b"",
                    violation,
                )
            )
        else:
            append(_entry(pcr, template_hash, known, body, values, violation, at))
        at = start
    return ImaList(tuple(entries), hashed.algorithm, 0)


def _usual(data: bytes, at: int, width: int, hashed: _TemplateHash, entries: list[ImaEntry]) -> int:
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


def _old(data: bytes, start: int, at: int) -> tuple[bytes, list[bytes], int]:
    """The `ima` template: a bare SHA-1 digest, a sized name; hashed with the name padded to 256
    bytes, and no size of the whole.
    """
    if len(data) - start < 24:
        raise _bad(at, "a digest and a name", f"{len(data) - start} bytes left")
    size = int.from_bytes(data[start + 20 : start + 24], "little")
    stop = start + 24 + size
    if size >= _OLD_NAME_BYTES or stop > len(data):
        raise _bad(at, f"a name of less than {_OLD_NAME_BYTES} bytes", size)
    digest, name = data[start : start + 20], data[start + 24 : stop]
    return digest + name.ljust(_OLD_NAME_BYTES, b"\0"), [digest, name + b"\0"], stop


def _split(body: bytes, count: int, at: int) -> list[bytes]:
    values, here, end = list[bytes](), 0, len(body)
    for _ in range(count):
        if end - here < 4:
            raise _bad(at, f"{count} sized fields", f"{len(values)}")
        size = int.from_bytes(body[here : here + 4], "little")
        here += 4
        if size > end - here:
            raise _bad(at, f"a field of at most {end - here} bytes", size)
        values.append(body[here : here + size])
        here += size
    if here != end:
        raise _bad(at, f"template data of {here} bytes", f"{end - here} more")
    return values


def _entry(
    pcr: int,
    template_hash: bytes,
    known: tuple[str, tuple[str, ...]],
    body: bytes,
    values: list[bytes],
    violation: bool,
    at: int,
) -> ImaEntry:
    by = dict(zip(known[1], values, strict=True))
    algorithm, digest = (
        ("sha1", by["d"])
        if "d" in by
        else _digest(by.get("d-ng") or by.get("d-ngv2") or b"", at, violation)
    )
    signature = by.get("sig") or by.get("evmsig") or b""
    return ImaEntry(
        pcr,
        template_hash,
        known[0],
        body,
        algorithm,
        digest,
        _name(by.get("n-ng") or by.get("n") or b"", at),
        signature,
        by.get("buf", b""),
        violation,
    )


def _digest(value: bytes, at: int, violation: bool) -> tuple[str, bytes]:
    """`sha256:` NUL digest, or with a type in front (`ima:sha256:`, `verity:sha256:`, which keeps
    its type: it is no hash of the file).
    """
    name, mark, digest = value.partition(b":\0")
    if not mark:
        raise _bad(at, "an algorithm and a digest", ascii(value[:20]))
    text = name.decode("ascii", "replace")
    plain = text.removeprefix("ima:")
    size = _HASHES.get(plain.removeprefix("verity:"))
    if size is None or (len(digest) != size and not (violation and not any(digest))):
        raise _bad(at, "a known file hash of its width", f"{text[:20]!a} of {len(digest)} bytes")
    return plain, digest


def _name(value: bytes, at: int) -> bytes:
    if not value.endswith(b"\0") or b"\0" in value[:-1]:
        raise _bad(at, "a name closed by its only NUL", ascii(value[:40]))
    return value[:-1]


def _fields(name: bytes) -> tuple[str, ...] | None:
    text = name.decode("ascii", "replace")
    if text in TEMPLATES:
        return TEMPLATES[text]
    parts = tuple(text.split("|"))
    return (
        parts
        if set(parts) <= _FIELDS - {"d", "n"}
        and len(set(parts)) == len(parts)
        and {"d-ng", "d-ngv2"} & set(parts)
        and "n-ng" in parts
        else None
    )


def _ascii(data: bytes) -> ImaList:
    entries, at, hashed, width = list[ImaEntry](), 0, _TemplateHash(20), 0
    for line in data.split(b"\n"):
        if line.strip(b"\0 "):
            if len(entries) >= MAX_IMA_ENTRIES:
                raise Malformed.of(
                    Reason.TOO_LARGE,
                    f"at most {MAX_IMA_ENTRIES} IMA entries",
                    f"more at offset {at}",
                )
            if not entries:
                width = (
                    len(line.lstrip(b" ").split(b" ", 2)[1]) // 2
                    if line.lstrip(b" ").count(b" ") >= 2
                    else 0
                )
                if width not in _WIDTHS:
                    raise _bad(at, "a template hash of 20, 32, 48 or 64 bytes", ascii(line[:60]))
                hashed = _TemplateHash(width)
            entries.append(_ascii_entry(line, at, hashed, width))
        at += len(line) + 1
    return ImaList(tuple(entries), hashed.algorithm, 0)


def _ascii_entry(line: bytes, at: int, hashed: _TemplateHash, width: int) -> ImaEntry:
    """An ASCII line holds less than its hash covers (where a name ends, whether a signature
    follows): of the readings, the one that hashes right is taken.
    """
    parts = line.lstrip(b" ").split(b" ", 3)
    if len(parts) != 4:
        raise _bad(at, "PCR, template hash, template, fields", ascii(line[:60]))
    try:
        pcr, template_hash, digest_text, name = (
            int(parts[0]),
            bytes.fromhex(parts[1].decode()),
            *_first_field(parts[3]),
        )
        fields, template = _fields(parts[2]), parts[2].decode()
        algorithm, _, value = digest_text.rpartition(":")
        digest = bytes.fromhex(value)
    except ValueError as error:
        raise _bad(
            at, "PCR, template hash, template, algorithm:digest, name", ascii(line[:60])
        ) from error
    if fields is None or len(template_hash) != width or not 0 <= pcr < 24:
        raise _bad(
            at, f"a known template, a hash of {width} bytes, a PCR below 24", ascii(line[:60])
        )
    violation = not any(template_hash)
    if template == "ima":
        body = digest + name[: _OLD_NAME_BYTES - 1].ljust(_OLD_NAME_BYTES, b"\0")
        if violation or hashed.made(template_hash, body):
            return ImaEntry(
                pcr, template_hash, template, body, "sha1", digest, name, b"", b"", violation
            )
        raise _bad(at, f"fields that hash to {template_hash.hex()}", "other fields")
    head = (algorithm + ":").encode() + b"\0" + digest
    for path, rest in _readings(name, len(fields) - 2):
        values = [head, path + b"\0", *rest]
        body = b"".join(struct.pack("<I", len(v)) + v for v in values)
        if violation or hashed.made(template_hash, body):
            return _entry(pcr, template_hash, (template, fields), body, values, violation, at)
    raise _bad(
        at,
        f"fields that hash to {template_hash.hex()}",
        "other fields, or a name with escapes: read the binary list",
    )


def _field(text: bytes) -> bytes:
    """A field as the kernel prints it: hexadecimal, or algorithm:hexadecimal for a digest
    (d-modsig).
    """
    algorithm, mark, value = text.rpartition(b":")
    return (algorithm + b":\0" if mark else b"") + bytes.fromhex(value.decode())


def _first_field(rest: bytes) -> tuple[str, bytes]:
    digest, mark, name = rest.partition(b" ")
    if not mark:
        raise ValueError("no name")
    return digest.decode("ascii"), name


def _readings(text: bytes, extra: int) -> list[tuple[bytes, list[bytes]]]:
    """Ways to split name and `extra` hexadecimal fields, of which the kernel prints an empty one as
    nothing.
    """
    found: list[tuple[bytes, list[bytes]]] = []
    if extra == 0:
        return [(text, [])]
    for filled in range(extra, -1, -1):
        pieces = text.rstrip(b" ").rsplit(b" ", filled) if filled else [text.rstrip(b" ")]
        if len(pieces) != filled + 1:
            continue
        try:
            values = [_field(p) for p in pieces[1:]]
        except ValueError:
            continue
        found.append((pieces[0].rstrip(b" "), values + [b""] * (extra - filled)))
    return [*found, (text, [b""] * extra)]
