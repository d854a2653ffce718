"""What the ledger keeps, and a word before anything goes that would not have gone by its age."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from typing import Final

from framegate_line.ledger import Ledger
from framegate_line.ledger_rows import Done, Retention

log = logging.getLogger(__name__)
PRUNE_S: Final = 60.0
"""Between two looks at the ledger's retention, which counts in days."""
NEARLY_FULL: Final = 0.8
"""From this share of its quota on the ledger says, before anything goes, that something will."""


class LedgerKeeper:
    """Prunes one ledger by `retention`; `done` learns how large it is, and `filling` is told in
    words when it is nearly full.
    """

    def __init__(
        self,
        ledger: Ledger,
        retention: Retention,
        done: Done,
        now_ms: Callable[[], int],
        filling: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._ledger, self._retention, self._done, self._now_ms = ledger, retention, done, now_ms
        self._filling = filling
        self._nearly_full = False

    async def keep(self) -> None:
        """Prune forever. A ledger that cannot be pruned decides parts all the same."""
        while True:
            try:
                pruned = self._ledger.prune(self._now_ms(), self._retention)
                if not pruned:
                    self.tell_fill()
            except sqlite3.Error as error:
                pruned = 0
                log.error("the ledger is not pruned: %s", error)
            await asyncio.sleep(0 if pruned else PRUNE_S)  # triggers and verdicts in between

    def tell_fill(self) -> None:
        """Warn, once, while the ledger is nearly full: what is oldest goes when it is."""
        used, quota = self._ledger.fill().used, self._retention.quota
        self._done.ledger_bytes = used
        nearly = used >= NEARLY_FULL * quota
        if nearly and not self._nearly_full:
            self._filling(f"the ledger uses {used / 2**20:.1f} of {quota // 2**20} MiB")
            log.warning(
                "the ledger uses %.1f of %d MiB: its oldest parts go when it is full; copy it"
                " before, or raise --ledger-quota",
                used / 2**20,
                quota // 2**20,
            )
        self._nearly_full = nearly
