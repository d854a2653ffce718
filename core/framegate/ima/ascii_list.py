"""The ASCII form of an IMA measurement list, as security/integrity/ima/ima_fs.c prints it."""

from __future__ import annotations

import struct

from framegate.errors import Malformed, Reason
from framegate.ima.entry import MAX_IMA_ENTRIES, ImaEntry, ImaList, malformed
from framegate.ima.template import (
    OLD_NAME_BYTES,
    WIDTHS,
    TemplateHash,
    read_entry,
    template_fields,
)


def parse_ascii(data: bytes) -> ImaList:
    """The list in `data`, an entry a line. Raises Malformed."""
    entries, at, hashed, width = list[ImaEntry](), 0, TemplateHash(20), 0
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
                if width not in WIDTHS:
                    raise malformed(
                        at, "a template hash of 20, 32, 48 or 64 bytes", ascii(line[:60])
                    )
                hashed = TemplateHash(width)
            entries.append(_ascii_entry(line, at, hashed, width))
        at += len(line) + 1
    return ImaList(tuple(entries), hashed.algorithm, 0)


def _ascii_entry(line: bytes, at: int, hashed: TemplateHash, width: int) -> ImaEntry:
    """An ASCII line holds less than its hash covers (where a name ends, whether a signature
    follows): of the readings, the one that hashes right is taken.
    """
    parts = line.lstrip(b" ").split(b" ", 3)
    if len(parts) != 4:
        raise malformed(at, "PCR, template hash, template, fields", ascii(line[:60]))
    try:
        pcr, template_hash, digest_text, name = (
            int(parts[0]),
            bytes.fromhex(parts[1].decode()),
            *_first_field(parts[3]),
        )
        fields, template = template_fields(parts[2]), parts[2].decode()
        algorithm, _, value = digest_text.rpartition(":")
        digest = bytes.fromhex(value)
    except ValueError as error:
        raise malformed(
            at, "PCR, template hash, template, algorithm:digest, name", ascii(line[:60])
        ) from error
    if fields is None or len(template_hash) != width or not 0 <= pcr < 24:
        raise malformed(
            at, f"a known template, a hash of {width} bytes, a PCR below 24", ascii(line[:60])
        )
    violation = not any(template_hash)
    if template == "ima":
        body = digest + name[: OLD_NAME_BYTES - 1].ljust(OLD_NAME_BYTES, b"\0")
        if violation or hashed.matches(template_hash, body):
            return ImaEntry(
                pcr, template_hash, template, body, "sha1", digest, name, b"", b"", violation
            )
        raise malformed(at, f"fields that hash to {template_hash.hex()}", "other fields")
    head = (algorithm + ":").encode() + b"\0" + digest
    for path, rest in _readings(name, len(fields) - 2):
        values = [head, path + b"\0", *rest]
        body = b"".join(struct.pack("<I", len(v)) + v for v in values)
        if violation or hashed.matches(template_hash, body):
            return read_entry(pcr, template_hash, (template, fields), body, values, violation, at)
    raise malformed(
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
    readings: list[tuple[bytes, list[bytes]]] = []
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
        readings.append((pieces[0].rstrip(b" "), values + [b""] * (extra - filled)))
    return [*readings, (text, [b""] * extra)]
