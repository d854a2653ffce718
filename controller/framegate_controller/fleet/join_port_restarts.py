"""That the process at the join port was replaced, in the record: at once, then a count a minute."""

from __future__ import annotations

from typing import Final

from framegate.record.machine_events import JoinPortRestarted
from framegate_controller.store.ports import CONTROLLER, Store

LEAST_MS: Final = 60_000
"""Between two entries: whoever found out how to end the process must not fill the record."""


class RestartsRecord:
    """Writes them down; those that come too soon count with the next."""

    def __init__(self, store: Store) -> None:
        self._store, self._count, self._last_ms = store, 0, 0

    def add(self, why: str) -> None:
        """One more."""
        self._count += 1
        with self._store.reading() as tx:
            if tx.now_ms - self._last_ms < LEAST_MS:
                return
        with self._store.writing() as tx:
            tx.record(JoinPortRestarted(why=why, count=self._count), by=CONTROLLER)
            self._last_ms = tx.now_ms
        self._count = 0
