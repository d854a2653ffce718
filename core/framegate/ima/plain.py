"""Plain entries of a binary list, read side by side: nearly all of a list, a file each.

A plain entry is in PCR 10, of template ima-ng, or ima-sig without a signature, with a SHA-256
digest and no violation; see `ImaEntries`. What only looks like one is left for `binary_list` to
read with care, or to refuse.

What an entry's data hashes to is remembered, because a fleet's machines measure the same files, and
each shows them again after every boot. It depends on the data alone, and the data's very bytes are
what it is remembered by: who fills the memory with data of his own makes others' be computed anew,
and never be wrong.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from framegate.ima.entry import PlainColumns
from framegate.ima.template import MAX_TEMPLATE_BYTES, WIDTHS, TemplateHash
from framegate.tpm.constants import Alg

REMEMBERED: Final = 32_768
"""Entries' data, for each algorithm of template hashes; then all is forgotten. Three lists of a
whole distribution, in some 20 MiB.
"""
REMEMBERED_BYTES: Final = 512
"""Of the longest entry that is remembered: names are shorter, and what a machine may put into a
verifier's memory stays below 48 MiB for each algorithm.
"""
_FILE: Final = rb"\x28\0\0\0sha256:\0.{36}[^\0]*\0"
"""The fields d-ng and n-ng."""
_ENTRY: Final = {
    width: re.compile(
        rb"(\x0a\0\0\0.{%d}(?:\x06\0\0\0ima-ng.{4}%s|\x07\0\0\0ima-sig.{4}%s\0\0\0\0))|.+"
        % (width, _FILE, _FILE),
        re.DOTALL,
    )
    for width in WIDTHS
}
"""A plain entry by the width of its template hash. Whatever else comes is one match with nothing in
it, to the end: so entries are found side by side, or not at all.
"""
_HASH_AT: Final = 4
_NG_SIZE_AT: Final = 14
"""Where an entry's template hash begins, and, besides the bytes of that, the size of the data of an
ima-ng entry; ima-sig's name is one byte longer.
"""
_SIZES: Final = struct.Struct("<I44xI")
"""The data's size, and in the data the name's (Linux, IMA-templates.rst)."""
_NAME_AT: Final = 48
_NO_SIGNATURE: Final = -4
"""Where an empty field of a signature begins: it is its size alone."""
_Known = tuple[bytes, bytes, bytes]
"""Of an entry whose template hash is that of its data: the data, its SHA-256, its key. A bare
tuple, which the garbage collector need not follow.
"""
_KNOWN: Final = {alg: dict[bytes, _Known]() for alg in (*WIDTHS.values(), Alg.SM3_256)}


class PlainRun(NamedTuple):
    """Entries that look plain, side by side, and where they `end`: the columns of all of them, or
    of none where one is not what it looks.
    """

    end: int
    columns: PlainColumns


def plain_run(data: bytes, at: int, hashed: TemplateHash, most: int) -> PlainRun:
    """The run of plain entries in the binary list `data` from `at` on, `most` at most.

    Of each, the two sizes are true, the name is closed by its only NUL, and the template hash is
    that of the data: recomputed, or remembered by the very bytes of the whole entry.
    """
    entries = _ENTRY[hashed.width].findall(data, at)[:most]
    if entries and not entries[-1]:
        entries.pop()
    end = at + sum(map(len, entries))
    memory = _KNOWN[hashed.algorithm]
    known = list(map(memory.get, entries))
    if None in known:
        fresh = _read([e for e, k in zip(entries, known, strict=True) if k is None], hashed)
        known = [k or fresh.get(e) for e, k in zip(entries, known, strict=True)]
        _remember(memory, fresh)
    plain = [k for k in known if k]
    if len(plain) != len(entries):
        return PlainRun(end, PlainColumns([], [], []))
    columns = ([k[n] for k in plain] for n in range(3))
    return PlainRun(end, PlainColumns(*columns))


def _read(entries: Sequence[bytes], hashed: TemplateHash) -> Mapping[bytes, _Known]:
    """What is to be known of entries of which the pattern holds; of none of them where a size or a
    template hash is a lie.
    """
    hash_end, new, sha256 = _HASH_AT + hashed.width, hashed.new, hashlib.sha256
    unpack, read = _SIZES.unpack_from, dict[bytes, _Known]()
    for entry in entries:
        sig = entry[hash_end] == len(b"ima-sig")
        size_at = _NG_SIZE_AT + hashed.width + sig
        size, name_size = unpack(entry, size_at)
        data = entry[size_at + 4 :]
        key = data[:_NO_SIGNATURE] if sig else data
        if size != len(data) or name_size != len(key) - _NAME_AT or size > MAX_TEMPLATE_BYTES:
            return {}
        if new(data).digest() != entry[_HASH_AT:hash_end]:
            return {}
        read[entry] = (data, sha256(data).digest(), key)
    return read


def _remember(memory: dict[bytes, _Known], fresh: Mapping[bytes, _Known]) -> None:
    """Put into `memory` what fits in its bounds."""
    if any(len(entry) > REMEMBERED_BYTES for entry in fresh):
        fresh = {e: k for e, k in fresh.items() if len(e) <= REMEMBERED_BYTES}
    if len(memory) + len(fresh) > REMEMBERED:
        memory.clear()
    if len(fresh) <= REMEMBERED:
        memory.update(fresh)


def forget_entries() -> None:
    """Empty the memory: for measuring what a list costs that is seen for the first time."""
    for memory in _KNOWN.values():
        memory.clear()
