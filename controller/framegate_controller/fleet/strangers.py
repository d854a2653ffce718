"""What strangers were refused for at the join port, in the record: an entry a kind a minute."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from framegate.codec import MOST_WHOLE
from framegate.record.machine_events import StrangersRefused
from framegate_controller.store.ports import CONTROLLER, Store

MAX_KINDS: Final = 32
"""Entries of one report: it comes from the process that strangers speak to."""
LEAST_MS: Final = 30_000
"""Between two reports; what comes sooner is counted with the next."""


@dataclass(frozen=True, slots=True)
class RefusedKind:
    """How often calls from `source` were refused for `reason`."""

    reason: str
    source: str
    count: int


class StrangersRecord:
    """Writes reports down, at most one every half a minute, whatever its sender does."""

    def __init__(self, store: Store) -> None:
        self._store, self._last_ms = store, 0
        self._waiting: dict[tuple[str, str], int] = {}

    def add(self, kinds: Iterable[RefusedKind]) -> None:
        """Of one report. Kinds past `MAX_KINDS` are dropped."""
        for kind in kinds:
            key = kind.reason, kind.source
            if key in self._waiting or len(self._waiting) < MAX_KINDS:
                self._waiting[key] = min(self._waiting.get(key, 0) + kind.count, MOST_WHOLE)
        with self._store.reading() as tx:
            if not self._waiting or tx.now_ms - self._last_ms < LEAST_MS:
                return
        with self._store.writing() as tx:
            for (reason, source), count in self._waiting.items():
                told = StrangersRefused(reason=reason, source=source, count=count)
                tx.record(told, by=CONTROLLER)
            self._last_ms = tx.now_ms
        self._waiting.clear()
