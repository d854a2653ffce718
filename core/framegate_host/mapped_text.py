"""Libraries' code and constants that only a start needed, given back (madvise(2)).

Whatever of a library was touched once stays mapped, and with each page that was wanted the kernel
maps those around it: of a program that serves, a third of what is resident is code that registered,
resolved and initialised. It stands unchanged in its file, and is mapped again where it is wanted.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

MADV_DONTNEED: Final = 4
_HEAD: Final = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S{4}) [0-9a-f]+ \S+ \d+ +(/.*)")
_UNWRITABLE: Final = frozenset({"r-xp", "r--p"})
_PAGES: Final = Path("/proc/self/smaps")


class Mapping(NamedTuple):
    """A part of this process's memory: from `begin` on, `size` bytes."""

    begin: int
    size: int


def let_go_of_text() -> int:
    """Give back what is mapped of code and constants in files, and nothing that anybody wrote to;
    the bytes of these mappings. For a program's start, before it has threads: see `LibraryText`. 0
    where the kernel does not say what is mapped: nothing changes.
    """
    return _given_back(_mapped())


class LibraryText:
    """The same while a program runs, of any thread: what is mapped is given back where it stood
    as it is at the look before, too. A library that another thread loads just now is mapped as a
    whole first and then piece by piece over that, and the pieces are written to.

    Not for a program that unmaps files: another mapping could stand in that place by then.
    """

    def __init__(self) -> None:
        self._before: frozenset[Mapping] = frozenset()

    def let_go(self) -> int:
        """Give it back; the bytes of these mappings. The first time nothing stood before."""
        now = frozenset(_mapped())
        standing, self._before = now & self._before, now
        return _given_back(standing)


def _mapped() -> list[Mapping]:
    try:
        with _PAGES.open() as pages:  # line by line: the whole of it is some hundred kilobytes
            return list(unwritten_text(pages))
    except OSError:
        return []


def _given_back(known: Iterable[Mapping]) -> int:
    madvise = getattr(ctypes.CDLL(None), "madvise", None)
    if madvise is None:
        return 0
    madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return sum(each.size for each in known if madvise(*each, MADV_DONTNEED) == 0)


def let_go_of_heap() -> None:
    """Give back what was freed in the middle of the C library's heap (malloc_trim(3)); nothing
    where that library has no such call.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def unwritten_text(pages: Iterable[str]) -> Iterator[Mapping]:
    """Private mappings of files in `pages`, the lines of /proc/PID/smaps, that nobody can write
    to and of which no page is the process's own: what a loader relocated before it took the right
    to write away has such pages, and a debugger's breakpoint, and they would be lost.
    """
    mapping: Mapping | None = None
    for line in pages:
        head = _HEAD.fullmatch(line.rstrip())
        if head is not None:
            begin = int(head[1], 16)
            of_file = head[3] in _UNWRITABLE and not head[4].endswith(" (deleted)")
            mapping = Mapping(begin, int(head[2], 16) - begin) if of_file else None
        elif line[:1].islower() or line[:1].isdigit():
            mapping = None  # a mapping of no file
        elif mapping is not None and line.startswith("Anonymous:"):
            if line.split()[1] == "0":
                yield mapping
            mapping = None
