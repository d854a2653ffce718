"""Plain entries that stand as they stood in a list that was read before.

Machines of a model measure the same files, and for long stretches in the same order. Where a list
goes on byte for byte as an earlier one did, whole entries are taken from that: what they say is a
function of their bytes alone, and all of these are compared. Where it does not, `plain` reads on,
whose memory knows entries one by one, in whatever order; and then the place is looked for again,
near where it was lost. Nobody is judged by what is remembered: PCR 10 is replayed, and allowlists
are asked, each time.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Final, NamedTuple

from framegate.ima.entry import PlainColumns, empty_columns
from framegate.ima.plain import PlainRun, forget_entries, plain_run
from framegate.ima.template import WIDTHS, TemplateHash
from framegate.tpm.constants import Alg

REMEMBERED: Final = 32_768
"""Entries in all earlier parts of lists, of all algorithms; then all are forgotten: three lists of
a whole distribution.
"""
REMEMBERED_BYTES: Final = 8 * 1024 * 1024
"""Of all of them as they stood in lists."""
LEAST_BYTES: Final = 1024
"""Read where a list is no earlier one, before its place there is looked for again: some entries, so
that one that is new costs no more than these.
"""
MOST_BYTES: Final = 64 * 1024
"""Read so in the end, where the place is not found, or soon lost again: some four hundred entries,
beside which looking for it costs nothing.
"""
GROWTH: Final = 4
"""How many times more is read so each time: each reading has its price."""
LONG_BYTES: Final = 8 * 1024
"""That lists have to have in common for the search to have been worth it: fifty entries."""
NEAR_BYTES: Final = 8 * 1024
"""How far from where it was lost a place is looked for, either way: files that start side by side
are measured in whatever order.
"""
BEGINNINGS: Final = 12
"""First entries of a list by which it is found, and more than stand in `LEAST_BYTES`:
boot_aggregate may be a machine's own, and so may some behind it.
"""
AMONG: Final = 4
"""First entries of a part of a list by which that is found, where the list before it was left."""
_HASH_AT: Final = 4
"""Where an entry's template hash begins."""
_NAME: Final = b"\0\0\0ima-"
"""In the head of an entry: its template's name, and the size of that but for its first byte."""
_NAME_AT: Final = 5
"""Besides the bytes of the template hash: where that stands in an entry."""


class PlainPart(NamedTuple):
    """The columns of plain entries that stand side by side, and where they `end`; where there are
    none, what looked plain and is not ends there.
    """

    end: int
    columns: PlainColumns


class _Earlier(NamedTuple):
    """Plain entries as they stood in a list, `raw`; where each `ends` there, before these where
    they begin; their `columns`.
    """

    raw: bytes
    ends: list[int]
    columns: PlainColumns


class _Place(NamedTuple):
    """Before entry `number` of an earlier part."""

    earlier: _Earlier
    number: int


class _Lost(NamedTuple):
    """An earlier part that a list followed up to its byte `at`, and `begin` in the part."""

    earlier: _Earlier
    begin: int
    at: int


class _Memory:
    """Places by the head of the entry there, for each algorithm of template hashes. Who comes
    between two steps of it finds a place or none, never a wrong one.
    """

    def __init__(self) -> None:
        self.places = {alg: dict[bytes, _Place]() for alg in (*WIDTHS.values(), Alg.SM3_256)}
        self.entries = self.size = 0

    def forget(self) -> None:
        """Empty it."""
        for places in self.places.values():
            places.clear()
        self.entries = self.size = 0

    def keep(self, hashed: TemplateHash, earlier: _Earlier, beginnings: int) -> None:
        """Remember a part by the first entries of it, in place of others that have these."""
        ends, raw = earlier.ends, earlier.raw
        entries, places = len(ends) - 1, self.places[hashed.algorithm]
        if entries > REMEMBERED or len(raw) > REMEMBERED_BYTES:
            return
        if self.entries + entries > REMEMBERED or self.size + len(raw) > REMEMBERED_BYTES:
            self.forget()
        self.entries += entries
        self.size += len(raw)
        for number, begin in enumerate(ends[: min(beginnings, entries)]):
            places[raw[begin : begin + _HASH_AT + hashed.width]] = _Place(earlier, number)


_MEMORY: Final = _Memory()


class _Strangers:
    """Entries of `data` that stand in no earlier list, for as long as they stand side by side."""

    def __init__(self, data: bytes, hashed: TemplateHash) -> None:
        self._data, self._hashed = data, hashed
        self._ends, self._columns = list[int](), empty_columns()

    def add(self, run: PlainRun) -> None:
        """More of them."""
        self._ends += run.ends[1:] if self._ends else run.ends
        self._columns.extend(run.columns)

    def keep(self) -> None:
        """They end here: remember them."""
        ends = self._ends
        if ends and ends[-1] - ends[0] >= LONG_BYTES:
            begin, raw = ends[0], self._data[ends[0] : ends[-1]]
            told = [end - begin for end in ends] if begin else ends
            earlier = _Earlier(raw, told, self._columns)
            _MEMORY.keep(self._hashed, earlier, AMONG if begin else BEGINNINGS)
        self._ends, self._columns = [], empty_columns()


def plain_part(data: bytes, at: int, hashed: TemplateHash, most: int) -> PlainPart:
    """The plain entries in the binary list `data` from `at` on, `most` at most, for as long as they
    come; where one is not what it looks, some of those before it.
    """
    if _found(data, at, hashed, None) is not None:
        return _walked(data, PlainRun([at], empty_columns()), hashed, most)
    end = _entry_behind(data, at + LEAST_BYTES, hashed.width)
    if _found(data, end, hashed, None) is None:
        end = _entry_behind(data, at + MOST_BYTES, hashed.width)
    run = plain_run(data, at, end, hashed, most)
    few = run.end - at < LONG_BYTES and (run.end != end or end == len(data))
    if few or not run.columns.datas:  # nothing to remember: the less to do the better
        return PlainPart(run.end, run.columns)
    return _walked(data, run, hashed, most)


def _walked(data: bytes, read: PlainRun, hashed: TemplateHash, most: int) -> PlainPart:
    """As `plain_part`, for entries of which there may be many; the first are `read`."""
    taken, strangers = empty_columns(), _Strangers(data, hashed)
    taken.extend(read.columns)
    strangers.add(read)
    here, worth = read.end, True
    together = MOST_BYTES if read.columns.datas else LEAST_BYTES
    lost: _Lost | None = None
    while here < len(data):
        place = _found(data, here, hashed, lost) if worth else None
        after = _followed(data, here, place, most - len(taken.datas)) if place else 0
        if place and after > place.number:
            strangers.keep()
            (_, ends, columns), first = place
            taken.extend(columns, first, after)
            same = ends[after] - ends[first]
            here += same
            lost, worth = _Lost(place.earlier, ends[after], here), same >= min(together, LONG_BYTES)
            together = LEAST_BYTES if same >= LONG_BYTES else min(GROWTH * together, MOST_BYTES)
            continue
        end = _entry_behind(data, here + together, hashed.width)
        run = plain_run(data, here, end, hashed, most - len(taken.datas))
        if not run.columns.datas:
            here = here if taken.datas else run.end
            break
        taken.extend(run.columns)
        strangers.add(run)
        here, together, worth = run.end, min(GROWTH * together, MOST_BYTES), True
        if here != end:
            break
    strangers.keep()
    return PlainPart(here, taken)


def _found(data: bytes, at: int, hashed: TemplateHash, lost: _Lost | None) -> _Place | None:
    """Where an earlier list may go on as `data` does from `at` on: near the place that was `lost`,
    as far on as `data` went since, or where a part begins.
    """
    head = data[at : at + _HASH_AT + hashed.width]
    if lost is not None:
        (raw, ends, _), begin = lost.earlier, lost.begin + at - lost.at
        near = raw.find(head, max(0, begin - NEAR_BYTES), begin + NEAR_BYTES)
        number = bisect_left(ends, near)
        if near >= 0 and ends[number] == near:
            return _Place(lost.earlier, number)
    return _MEMORY.places[hashed.algorithm].get(head)


def _followed(data: bytes, at: int, place: _Place, most: int) -> int:
    """Before which entry of the earlier part `data` ceases to be the same from `at` on: all before
    it, from `place` on, are whole and the same byte for byte, and `most` at most.
    """
    raw, ends, _ = place.earlier
    begin = ends[place.number]
    same = _same(data, at, raw, begin)
    return min(bisect_right(ends, begin + same) - 1, place.number + most)


def _same(data: bytes, at: int, raw: bytes, begin: int) -> int:
    """How many bytes of `data` from `at` on are those of `raw` from `begin` on."""
    same, step, grows = 0, LEAST_BYTES, True
    while step:
        piece = data[at + same : at + same + step]
        if len(piece) == step and raw.startswith(piece, begin + same):
            same += step
            step = min(2 * step, MOST_BYTES) if grows else step
        else:
            step, grows = step // 2, False
    return same


def _entry_behind(data: bytes, at: int, width: int) -> int:
    """Where the first entry begins behind `at`, or what looks like one; where none soon does,
    anywhere.
    """
    most = at + MOST_BYTES
    name = data.find(_NAME, at + _NAME_AT + width, most)
    return name - _NAME_AT - width if name >= 0 else min(most, len(data))


def forget_lists() -> None:
    """Empty both memories: for measuring what a list costs that is seen for the first time."""
    _MEMORY.forget()
    forget_entries()
