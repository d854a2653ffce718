"""Incidents in the store: read out of the record's own entries, and written as such."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from framegate.errors import Reason, Refused
from framegate.record.event import Event
from framegate.record.incidents import DRILL, OWN, Book, Incident
from framegate_controller.store.ports import CONTROLLER, EntryQuery, Transaction

MAX_OWN: Final = 50_000
"""Entries of one kind that are read: years of incidents."""


def book_of(tx: Transaction, first: int = 0) -> Book:
    """Incidents that were opened at entry `first` or later, and drills, as the record has them."""
    book, size = Book(), tx.log.size()
    entries = [
        entry
        for name in (*OWN, DRILL)
        for entry in tx.log.entries(
            EntryQuery(event=name),
            first=0 if name == DRILL else first,
            below=size,
            most=MAX_OWN,
            newest_first=True,
        )
    ]
    for entry in sorted(entries, key=lambda e: e.index):
        book.read(json.loads(entry.entry))
    return book


def incident_of(tx: Transaction, number: int) -> Incident:
    """Incident `number`. Raises Refused (NOT_FOUND)."""
    incident = book_of(tx, number).incidents.get(number)
    if incident is None:
        raise Refused.of(
            Reason.NOT_FOUND, "an incident's number", number, "framegate incident list"
        )
    return incident


def entries_of(tx: Transaction, incident: Incident) -> list[bytes]:
    """The entries that an incident is made of, its own and those it links, in order."""
    numbers = sorted({*incident.own, *incident.findings, *incident.steps})
    logged = (tx.log.entry(n) for n in numbers)
    return [each.entry for each in logged if each is not None]


def answer(tx: Transaction, book: Book, entries: Sequence[Mapping[str, Any]]) -> None:
    """Take `entries` in, in order, and record what they mean for incidents."""
    for entry in entries:
        book.read(entry)
    for opening in book.openings(entries):
        _record(tx, book, opening)
    for event in book.answer(entries):
        _record(tx, book, event)


def _record(tx: Transaction, book: Book, event: Event) -> None:
    logged = tx.log.entry(tx.record(event, by=CONTROLLER))
    if logged is not None:
        book.read(json.loads(logged.entry))
