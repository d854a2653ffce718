"""What the record's entries add up to while this process runs: by event, by reason."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, Final

from framegate.record.event import Severity
from framegate.record.events import events
from framegate_controller.store.ports import EntryQuery, LoggedEntry, Store

AT_ONCE: Final = 500
"""Entries of one transaction: some hundred kilobytes."""
_ALL: Final = EntryQuery(kind="event")


class EventCounts:
    """Counts entries from the moment it is made on. `read` is called by one thread, `snapshot`
    by any.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        with store.reading() as tx:
            self.next = tx.log.size()
        self._events: Counter[str] = Counter()
        self._severities: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._sign_ins = 0

    def read(self) -> tuple[()]:
        """Count what is new."""
        while True:
            with self._store.reading() as tx:
                size = tx.log.size()
                entries = tx.log.entries(_ALL, first=self.next, below=size, most=AT_ONCE)
            for entry in entries:
                self.count(entry)
            self.next = entries[-1].index + 1 if len(entries) == AT_ONCE else size
            if len(entries) < AT_ONCE:
                return ()

    def count(self, entry: LoggedEntry) -> None:
        """Count one. Only what it says of itself in typed members is read."""
        self._events[entry.event] += 1
        kind = events().get(entry.event)
        severity = kind.DECLARED.severity if kind else Severity.INFORMATIONAL
        self._severities[severity.name.lower()] += 1
        if entry.event in {"evidence-refused", "denied", "strangers-refused", "sign-in-failed"}:
            members: dict[str, Any] = json.loads(entry.entry).get("members", {})
            times = members.get("count", 1)
            for reason in members.get("reasons") or [members.get("reason")]:
                if reason:
                    self._reasons[reason] += times
            if entry.event == "sign-in-failed":
                self._sign_ins += times

    @property
    def events(self) -> Counter[str]:
        """How often each event was recorded."""
        return self._events.copy()

    @property
    def severities(self) -> Counter[str]:
        """How many entries are of each severity, as events declare it."""
        return self._severities.copy()

    @property
    def reasons(self) -> Counter[str]:
        """How often each reason was given; some are strangers' doing, none is their word."""
        return self._reasons.copy()

    @property
    def failed_sign_ins(self) -> int:
        """Sign-ins that failed."""
        return self._sign_ins
