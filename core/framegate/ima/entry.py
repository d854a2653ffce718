"""One entry of an IMA measurement list, a list's entries as columns, and how a list is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple, Self, final, overload

from framegate.errors import Malformed, Reason
from framegate.tpm.constants import Alg

IMA_PCR: Final = 10
MAX_IMA_ENTRIES: Final = 200_000
"""A full desktop measured with the kernel's tcb policy reaches some 50,000; with the 4 MiB of a
chunk this bounds time and memory.
"""
BOOT_AGGREGATE: Final = b"boot_aggregate"
_ALGORITHM: Final = "sha256"
_DIGEST: Final = slice(12, 44)
"""Where the file's digest stands in the data of a plain entry: behind its size and `sha256:` NUL
(Linux, IMA-templates.rst).
"""
_NAME_AT: Final = 48


class ImaEntry(NamedTuple):
    """One entry. `data` is what the template hash covers; `path` the raw bytes of the name;
    `digest` of the file's content under `algorithm`.

    `violation`: the kernel saw the file open for writing while measured; such an entry has a zero
    template hash and says nothing of content.
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


class PlainColumns(NamedTuple):
    """Plain entries of a list (`ImaEntries`): the data of each, that data's SHA-256, and the data
    that an ima-ng entry of the same file has, by which allowlists know it.
    """

    datas: list[bytes]
    sha256s: list[bytes]
    keys: list[bytes]

    def extend(self, more: PlainColumns, first: int = 0, last: int | None = None) -> None:
        """Take in `more`, or of it the entries from number `first` to before `last`."""
        self.datas.extend(more.datas[first:last])
        self.sha256s.extend(more.sha256s[first:last])
        self.keys.extend(more.keys[first:last])


def empty_columns() -> PlainColumns:
    """Columns of nothing, to be extended."""
    return PlainColumns([], [], [])


@final
class ImaEntries(Sequence[ImaEntry]):
    """A list's entries, column by column, because lists have tens of thousands: `datas` and
    `sha256s` hold the data of each, and its SHA-256, by which the bank of nearly every quote is
    extended; `keys` what allowlists know each by (`PlainColumns`).

    `special` holds whole, by their number and in order, the entries that are not *plain*. A plain
    one is in PCR 10, of template ima-ng, or ima-sig without a signature, with a SHA-256 digest, no
    violation, and well formed; all of it is in its data, but for the template hash, which is that
    of the data by `new`. An `ImaEntry` is made of it when somebody asks.
    """

    __slots__ = ("datas", "keys", "new", "sha256s", "special")

    def __init__(self, new: Callable[[bytes], Any] = hashlib.sha256) -> None:
        self.new, self.datas, self.sha256s = new, list[bytes](), list[bytes]()
        self.keys = list[bytes]()
        self.special = dict[int, ImaEntry]()

    @classmethod
    def of(cls, entries: Iterable[ImaEntry]) -> Self:
        """These entries, whichever way they come."""
        if isinstance(entries, cls):
            return entries
        listed = cls()
        for entry in entries:
            listed.append(entry)
        return listed

    def append(self, entry: ImaEntry) -> None:
        """One entry more, read with care; for whoever reads a list."""
        self.special[len(self.datas)] = entry
        self.datas.append(entry.data)
        self.keys.append(entry.data)
        self.sha256s.append(hashlib.sha256(entry.data).digest())

    def extend_plain(self, plain: PlainColumns, new: Callable[[bytes], Any]) -> None:
        """Plain entries more, whose template hashes `new` makes; for whoever reads a list."""
        self.new = new
        self.datas += plain.datas
        self.sha256s += plain.sha256s
        self.keys += plain.keys

    @property
    def paths(self) -> list[bytes]:
        """The name of each."""
        paths = [key[_NAME_AT:-1] for key in self.keys]
        for number, entry in self.special.items():
            paths[number] = entry.path
        return paths

    @property
    def pcrs(self) -> frozenset[int]:
        """The PCRs that any of them says."""
        plain = {IMA_PCR} if len(self.special) < len(self.datas) else set[int]()
        return frozenset(plain | {e.pcr for e in self.special.values()})

    @property
    def violations(self) -> int:
        """How many are violations."""
        return sum(e.violation for e in self.special.values())

    def __len__(self) -> int:
        return len(self.datas)

    @overload
    def __getitem__(self, at: int) -> ImaEntry: ...

    @overload
    def __getitem__(self, at: slice) -> ImaEntries: ...

    def __getitem__(self, at: int | slice) -> ImaEntry | ImaEntries:
        if isinstance(at, int):
            return self._entry(range(len(self.datas))[at])
        numbers = range(len(self.datas))[at]
        if numbers == range(len(self.datas)):
            return self
        part = ImaEntries(self.new)
        part.datas, part.sha256s, part.keys = self.datas[at], self.sha256s[at], self.keys[at]
        part.special = {new: self.special[n] for new, n in enumerate(numbers) if n in self.special}
        return part

    def __iter__(self) -> Iterator[ImaEntry]:
        return map(self._entry, range(len(self.datas)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ImaEntries | tuple):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def _entry(self, number: int) -> ImaEntry:
        whole = self.special.get(number)
        if whole is not None:
            return whole
        data, key = self.datas[number], self.keys[number]
        return ImaEntry(
            IMA_PCR,
            self.new(data).digest(),
            "ima-ng" if len(data) == len(key) else "ima-sig",
            data,
            _ALGORITHM,
            key[_DIGEST],
            key[_NAME_AT:-1],
            b"",
            b"",
            False,
        )


class ImaList(NamedTuple):
    """A parsed list: `width` is the algorithm of its template hashes; `padding` bytes after the
    last entry (a newline some tools leave).
    """

    entries: ImaEntries
    width: Alg
    padding: int


_AGAIN: Final = "read the list again from /sys/kernel/security/ima"
CUT: Final = "the file ends within this entry: copy the list whole"


def malformed(at: int, expected: str, actual: object, hint: str = _AGAIN) -> Malformed:
    """The refusal of a list (IMA_MALFORMED), with the place where reading stopped."""
    return Malformed.of(Reason.IMA_MALFORMED, expected, f"{actual} at offset {at}", hint)
