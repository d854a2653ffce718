"""Bytes of receipts, packed: what many of them share stands once, as the dictionary that each is
deflated against (RFC 1950 with FDICT).

Packing is exact: what comes out is what went in, to the byte, or it is told. Nothing is believed by
it; what a leaf proves is proved by its digest in a signed tree.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Sequence
from typing import Final

from framegate.errors import Malformed, Reason
from framegate.signed.dsse import seal_envelope

MAX_PACKED: Final = 4 * 1024 * 1024
"""Bytes that one packed row may unpack to: the largest verdict is far below, and a damaged row
takes no more memory than this.
"""
_LEVEL: Final = 6
_WINDOW: Final = 14
"""16 KiB: a dictionary and a row beside each other, each some four kilobytes."""
_MEMORY: Final = 6
"""zlib's memory level: rows are small, and its tables are cleared for each."""


def pack(parts: Sequence[bytes], dictionary: bytes) -> bytes:
    """`parts` as one string of bytes, against `dictionary`, which `unpack` needs again."""
    packer = zlib.compressobj(
        _LEVEL, zlib.DEFLATED, _WINDOW, _MEMORY, zlib.Z_DEFAULT_STRATEGY, zdict=dictionary
    )
    sizes = ",".join(str(len(part)) for part in parts).encode()
    return packer.compress(sizes + b"\n" + b"".join(parts)) + packer.flush()


def unpack(data: bytes, dictionary: bytes) -> tuple[bytes, ...]:
    """The parts that were packed. Raises Malformed (RECEIPT) where `data` is damaged, cut off, of
    another dictionary, or larger than `MAX_PACKED`.
    """
    try:
        unpacker = zlib.decompressobj(zdict=dictionary)
        plain = unpacker.decompress(data, MAX_PACKED)
        if not unpacker.eof or unpacker.unused_data:
            raise ValueError("cut off, or too large")
        head, _, body = plain.partition(b"\n")
        sizes = [int(size) for size in head.split(b",")]
        if sum(sizes) != len(body) or min(sizes) < 0:
            raise ValueError("other sizes")
    except (zlib.error, ValueError) as error:
        raise Malformed.of(
            Reason.RECEIPT,
            "a row of receipts.db as it was written",
            str(error),
            "the disk or another program changed it: look at the host's disk",
        ) from error
    parts, at = [], 0
    for size in sizes:
        parts.append(body[at : at + size])
        at += size
    return tuple(parts)


def split_envelope(envelope: bytes, kind: str) -> tuple[bytes, ...]:
    """(payload, signature, certificate) of a DSSE envelope of `kind`, where `joined_envelope` gives
    exactly its bytes back; else the envelope as it is, alone.
    """
    try:
        body = json.loads(envelope)
        (signed,) = body["signatures"]
        texts = (body["payload"], signed["sig"], signed["cert"])
        parts = tuple(base64.b64decode(text) for text in texts)
    except (ValueError, KeyError, TypeError):
        return (envelope,)
    return parts if joined_envelope(parts, kind) == envelope else (envelope,)


def joined_envelope(parts: Sequence[bytes], kind: str) -> bytes:
    """The envelope that `split_envelope` took apart."""
    if len(parts) == 1:
        return parts[0]
    payload, signature, certificate = parts
    return seal_envelope(kind, payload, certificate, lambda _message: signature)
