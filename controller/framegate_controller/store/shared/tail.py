"""The record's end as the last committed transaction left it, so that the next one need not read
the tree's frontier again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from framegate.record.merkle import Frontier


@dataclass
class Tail:
    """An end of the record: the tree's frontier, and the hash of the last entry, None before the
    first.
    """

    frontier: Frontier
    last: bytes | None

    def copy(self) -> Tail:
        """Another that grows by itself."""
        return Tail(self.frontier.copy(), self.last)


class LogTail(Protocol):
    """Remembers an end of the record. A hint only: whoever asks names the size that the store has,
    and the hash of its last entry.
    """

    def at(self, size: int, last: bytes | None) -> Tail | None:
        """The end of a record of `size` entries with that last one, None where another was
        remembered.
        """

    def keep(self, tail: Tail) -> None:
        """Remember what a committed transaction left."""


class InMemoryTail:
    """The end that this process wrote last; another process, or another controller, may have
    written since, which `at` notices.
    """

    def __init__(self) -> None:
        self._tail: Tail | None = None

    def at(self, size: int, last: bytes | None) -> Tail | None:
        """See `LogTail`. A database that came back from a copy may have another entry there."""
        tail = self._tail
        same = tail is not None and (tail.frontier.size, tail.last) == (size, last)
        return tail if same else None

    def keep(self, tail: Tail) -> None:
        """See `LogTail`."""
        self._tail = tail
