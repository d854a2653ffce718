"""Plain entries of a binary list, read side by side: nearly all of a list, a file each.

A plain entry is in PCR 10, of template ima-ng, or ima-sig without a signature, with a SHA-256
digest and no violation; see `ImaEntries`. What only looks like one is left for `binary_list` to
read with care, or to refuse.

Each step takes all entries at once, a column at a time, so that the interpreter has little to do
but call OpenSSL. What an entry's data hashes to is remembered, because a fleet's machines measure
the same files, and each shows them again after every boot. It depends on the entry alone, and the
entry's very bytes are what it is remembered by: who fills the memory with entries of his own makes
others' be computed anew, and never be wrong.
"""

from __future__ import annotations

import hashlib
import re
import sys
from array import array
from collections.abc import Callable, Sequence
from itertools import accumulate, compress
from operator import itemgetter, not_
from typing import Any, Final, NamedTuple

from framegate.ima.entry import PlainColumns
from framegate.ima.template import MAX_TEMPLATE_BYTES, WIDTHS, TemplateHash
from framegate.tpm.constants import Alg

REMEMBERED: Final = 32_768
"""Entries, for each algorithm of template hashes; then all is forgotten. Three lists of a whole
distribution, in some 12 MiB.
"""
REMEMBERED_BYTES: Final = 512
"""Of the longest entry that is remembered: names are shorter, and what a machine may put into a
verifier's memory stays below 24 MiB for each algorithm.
"""
_FILE: Final = rb"\x28\0\0\0sha256:\0.{36}[^\0]*+\0"
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
"""Where an entry's template hash begins."""
_KIND_AT: Final = 4
"""Besides the bytes of that: the length of the template's name, which tells ima-ng from ima-sig."""
_SIG: Final = len(b"ima-sig")
_SIZE_AT: Final = 14
"""Besides the bytes of that: the size of the data of an ima-ng entry; ima-sig's name is one byte
longer.
"""
_NAME_AT: Final = 48
"""Where the name begins in the data, behind its own size (Linux, IMA-templates.rst)."""
_WORDS: Final = 1 + _NAME_AT // 4
"""From the size of the data to that of the name, both with them."""
_WORD: Final = next(code for code in "IL" if array(code).itemsize == 4)
_NO_SIGNATURE: Final = -4
"""Where an empty field of a signature begins: it is its size alone."""
_KNOWN: Final = {alg: dict[bytes, bytes]() for alg in (*WIDTHS.values(), Alg.SM3_256)}
"""An entry whose sizes and template hash are true, to the SHA-256 of its data."""


class PlainRun(NamedTuple):
    """Entries that look plain, side by side: where each of them `ends`, before these where they
    begin; and the columns of all of them, or of none where one is not what it looks.
    """

    ends: list[int]
    columns: PlainColumns

    @property
    def end(self) -> int:
        """Where they end."""
        return self.ends[-1]


def plain_run(data: bytes, at: int, stop: int, hashed: TemplateHash, most: int) -> PlainRun:
    """The run of plain entries in the binary list `data` from `at` on, before `stop`, `most` at
    most.

    Of each, the two sizes are true, the name is closed by its only NUL, and the template hash is
    that of the data: recomputed, or remembered by the very bytes of the whole entry.
    """
    entries = _ENTRY[hashed.width].findall(data, at, stop)[:most]
    if entries and not entries[-1]:
        entries.pop()
    ends = list(accumulate(map(len, entries), initial=at))
    taken = _columns(entries, hashed.width)
    sha256s = _sha256s(taken, hashed)
    if len(sha256s) != len(entries):
        return PlainRun(ends, PlainColumns([], [], []))
    return PlainRun(ends, PlainColumns(taken.datas, sha256s, taken.keys))


class _Taken(NamedTuple):
    """Entries, the data of each, and the data that an ima-ng entry of the same file has: the very
    same list where all are ima-ng.
    """

    entries: list[bytes]
    datas: list[bytes]
    keys: list[bytes]


def _columns(entries: list[bytes], width: int) -> _Taken:
    kinds = bytes(map(itemgetter(_KIND_AT + width), entries))
    data_at = _SIZE_AT + width + 4
    if _SIG not in kinds:
        datas = list(map(itemgetter(slice(data_at, None)), entries))
        return _Taken(entries, datas, datas)
    more = [kind == _SIG for kind in kinds]
    datas = [entry[data_at + m :] for entry, m in zip(entries, more, strict=True)]
    keys = [d[:_NO_SIGNATURE] if m else d for d, m in zip(datas, more, strict=True)]
    return _Taken(entries, datas, keys)


def _sha256s(taken: _Taken, hashed: TemplateHash) -> list[bytes]:
    """SHA-256 of the data of each; of none where a size or a template hash is a lie."""
    memory = _KNOWN[hashed.algorithm]
    known = list(map(memory.get, taken.entries))
    if all(known):
        return [k for k in known if k]
    fresh = taken
    if any(known):
        unknown = list(map(not_, known))
        datas, keys = list(compress(taken.datas, unknown)), list(compress(taken.keys, unknown))
        fresh = _Taken(list(compress(taken.entries, unknown)), datas, keys)
    if not _sizes_hold(fresh, hashed.width):
        return []
    digests = _digests(hashed.new, fresh.datas)
    claimed = itemgetter(slice(_HASH_AT, _HASH_AT + hashed.width))
    if digests != list(map(claimed, fresh.entries)):
        return []
    if hashed.algorithm != Alg.SHA256:
        digests = _digests(hashlib.sha256, fresh.datas)
    _remember(memory, fresh.entries, digests)
    if fresh is taken:
        return digests
    rest = iter(digests)
    return [k or next(rest) for k in known]


def _sizes_hold(taken: _Taken, width: int) -> bool:
    """Whether each entry's two sizes are those of its data and of its name."""
    at, sizes = _SIZE_AT + width, list(map(len, taken.datas))
    if max(sizes) > MAX_TEMPLATE_BYTES:
        return False
    if taken.keys is taken.datas:
        told, named = b"".join(map(itemgetter(slice(at, at + 4 * _WORDS)), taken.entries)), sizes
    else:
        signed = [len(k) != size for k, size in zip(taken.keys, sizes, strict=True)]
        pairs = zip(taken.entries, signed, strict=True)
        told = b"".join([e[at + more : at + more + 4 * _WORDS] for e, more in pairs])
        named = list(map(len, taken.keys))
    words = array(_WORD, told)
    if sys.byteorder == "big":
        words.byteswap()
    names = array(_WORD, [size - _NAME_AT for size in named])
    return words[::_WORDS] == array(_WORD, sizes) and words[_WORDS - 1 :: _WORDS] == names


def _digests(new: Callable[[bytes], Any], datas: Sequence[bytes]) -> list[bytes]:
    return [new(data).digest() for data in datas]


def _remember(
    memory: dict[bytes, bytes], entries: Sequence[bytes], digests: Sequence[bytes]
) -> None:
    """Put into `memory` what fits in its bounds."""
    fresh = zip(entries, digests, strict=True)
    if len(memory) + len(entries) <= REMEMBERED and max(map(len, entries)) <= REMEMBERED_BYTES:
        memory.update(fresh)
        return
    fitting = {e: d for e, d in fresh if len(e) <= REMEMBERED_BYTES}
    if len(memory) + len(fitting) > REMEMBERED:
        memory.clear()
    if len(fitting) <= REMEMBERED:
        memory.update(fitting)


def forget_entries() -> None:
    """Empty the memory: for measuring what a list costs that is seen for the first time."""
    for memory in _KNOWN.values():
        memory.clear()
