"""The record's newest entries, read and parsed once for all who follow it.

Counts, rules of behaviour, incidents, playbooks and sinks each have a place in the record of their
own, and each want what comes after it. Entries never change, so what one of them read the others
need not read again.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from functools import cached_property
from threading import Lock
from typing import Any, Final

from framegate_controller.store.ports import EntryQuery, LoggedEntry, Store

KEPT: Final = 500
"""Entries in memory, some KiB each once they are parsed: seconds of a fleet's busiest record.
Whoever is further behind reads for itself.
"""


class FollowedEntry:
    """An entry, and what it says, parsed when somebody first asks."""

    def __init__(self, logged: LoggedEntry) -> None:
        self.logged = logged

    @cached_property
    def body(self) -> dict[str, Any]:
        """The entry's members. Whoever is given it MUST change nothing in it."""
        parsed: dict[str, Any] = json.loads(self.logged.entry)
        return parsed

    @property
    def index(self) -> int:
        """Its place in the record."""
        return self.logged.index


class RecordTail:
    """The last entries that somebody read. Any thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: deque[FollowedEntry] = deque(maxlen=KEPT)
        self._lock = Lock()

    def size(self) -> int:
        """How many entries the record has now."""
        with self._store.reading() as tx:
            return tx.log.size()

    def entries(self, first: int, below: int) -> list[FollowedEntry]:
        """The entries `first` <= index < `below`, which the caller knows to be there."""
        if first >= below:
            return []
        with self._lock:
            kept = list(self._kept)
            begins = kept[0].index if kept else below
            if kept and begins <= first and below <= kept[-1].index + 1:
                return kept[first - begins : below - begins]
            after = max(first, kept[-1].index + 1) if kept and begins <= first else first
            new = [FollowedEntry(e) for e in self._read(after, below)]
            if not kept or (new and new[0].index == kept[-1].index + 1):
                self._kept.extend(new)
            elif new and new[-1].index > kept[-1].index:
                self._kept.clear()
                self._kept.extend(new)
            return [*(kept[first - begins :] if after > first else ()), *new]

    def _read(self, first: int, below: int) -> Iterator[LoggedEntry]:
        with self._store.reading() as tx:
            yield from tx.log.entries(EntryQuery(), first=first, below=below, most=below - first)
