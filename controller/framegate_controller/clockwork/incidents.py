"""Follows the record and opens incidents for what it finds there, whoever recorded it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from framegate.record.incidents import DRILL, LINKS, OPENS, OWN, STEPS, Book
from framegate_controller.events.notices import Notice
from framegate_controller.record.incidents import answer, book_of
from framegate_controller.record.tail import RecordTail
from framegate_controller.store.ports import Store, Transaction

CURSOR: Final = "incidents-read"
AT_ONCE: Final = 2_000
"""Entries of one look: some milliseconds; the next goes on where it ended."""
_OF_INTEREST: Final = OPENS.keys() | LINKS | STEPS
_TAKEN_IN: Final = _OF_INTEREST | {*OWN, DRILL}


@dataclass(frozen=True, slots=True)
class _News:
    """Entries up to `until` that mean something; `answered` says whether any may need an answer."""

    until: int
    entries: Sequence[Mapping[str, Any]]
    answered: bool


class IncidentFollower:
    """Reads each entry once. Where it read to stands in the store, and is written with what came of
    it, so that a controller that is killed neither misses one nor answers it twice.
    """

    def __init__(self, store: Store, tail: RecordTail | None = None) -> None:
        self._store, self._tail = store, tail or RecordTail(store)
        self._book: Book | None = None
        self._read = 0

    def follow(self) -> tuple[Notice, ...]:
        """Read what is new."""
        try:
            self._follow()
        except Exception:
            self._book = None  # it may have taken in what was not committed
            raise
        return ()

    def _follow(self) -> None:
        with self._store.reading() as tx:
            if self._book is None:
                self._book, self._read = book_of(tx), self._begin(tx)
            news = self._news(tx)
            unset = tx.settings.get(CURSOR) is None
        if news.answered or unset:
            with self._store.writing() as tx:
                answer(tx, self._book, news.entries)
                tx.settings.put(CURSOR, str(news.until))
        else:
            for entry in news.entries:
                self._book.read(entry)
        self._read = news.until

    def _news(self, tx: Transaction) -> _News:
        until = min(tx.log.size(), self._read + AT_ONCE)
        new = self._tail.entries(self._read, until)
        taken = [e for e in new if e.logged.kind == "event" and e.logged.event in _TAKEN_IN]
        answered = any(e.logged.event in _OF_INTEREST for e in taken)
        return _News(until, [e.body for e in taken], answered)

    def _begin(self, tx: Transaction) -> int:
        """Where to go on: a registry of before begins with what is new."""
        kept = tx.settings.get(CURSOR)
        return tx.log.size() if kept is None else min(int(kept), tx.log.size())
