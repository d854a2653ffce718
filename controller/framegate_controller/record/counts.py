"""What the record's entries add up to while this process runs: by event, by reason."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from framegate.record.event import Severity
from framegate.record.events import events
from framegate_controller.record.tail import FollowedEntry, RecordTail
from framegate_controller.store.ports import Store

AT_ONCE: Final = 500
"""Entries of one transaction: some hundred kilobytes."""


class EventCounts:
    """Counts entries from the moment it is made on. `read` is called by one thread, `snapshot`
    by any.
    """

    def __init__(self, store: Store, tail: RecordTail | None = None) -> None:
        self._tail = tail or RecordTail(store)
        self.next = self._tail.size()
        self._events: Counter[str] = Counter()
        self._severities: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._sign_ins = 0

    def read(self) -> tuple[()]:
        """Count what is new."""
        size = self._tail.size()
        while self.next < size:
            below = min(size, self.next + AT_ONCE)
            for entry in self._tail.entries(self.next, below):
                self.count(entry)
            self.next = below
        return ()

    def count(self, followed: FollowedEntry) -> None:
        """Count one. Only what it says of itself in typed members is read."""
        entry = followed.logged
        if entry.kind != "event":
            return
        self._events[entry.event] += 1
        kind = events().get(entry.event)
        severity = kind.DECLARED.severity if kind else Severity.INFORMATIONAL
        self._severities[severity.name.lower()] += 1
        if entry.event in {"evidence-refused", "denied", "strangers-refused", "sign-in-failed"}:
            members: dict[str, Any] = followed.body.get("members", {})
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
