"""Who has the turn to write to a database, and who waits for it, looked at while machines live."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from threading import Event, Thread
from typing import Any, Final

from framegate_simulators.fixtures.postgres import LocalPostgres

log = logging.getLogger(__name__)
LOOK_S: Final = 0.05
"""Twenty looks a second, each some tenths of a millisecond of the database."""
_LOOK: Final = """
SELECT count(*) FILTER (WHERE l.granted),
 count(*) FILTER (WHERE NOT l.granted),
 count(*) FILTER (WHERE l.granted AND a.state LIKE 'idle in transaction%%'),
 count(*) FILTER (WHERE l.granted AND a.wait_event IN ('WALSync', 'WALWrite'))
FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND l.classid = 0 AND l.objid = %s
"""


@dataclass(frozen=True, slots=True)
class Turns:
    """Over all looks: in which share of them somebody had the turn; had it and did something else
    than ask the database; had it and waited for the disk; how many waited for it, on average.
    """

    held: float = 0.0
    elsewhere: float = 0.0
    at_disk: float = 0.0
    waiting: float = 0.0

    def wait_ms(self, per_s: float) -> float:
        """How long each of `per_s` turns a second was waited for: Little's law."""
        return 1e3 * self.waiting / per_s if per_s else 0.0


class TurnWatch:
    """Looks from `begin` on until `end`."""

    def __init__(self, server: LocalPostgres, database: str) -> None:
        self._address, self._seen = server.address(database), [0, 0, 0, 0]
        self._looks, self._over = 0, Event()
        self._thread = Thread(target=self._run, name="turns", daemon=True)

    def begin(self) -> None:
        """Look from now on."""
        self._thread.start()

    def end(self) -> Turns:
        """What was seen."""
        self._over.set()
        self._thread.join()
        had, waited, elsewhere, disk = (one / max(1, self._looks) for one in self._seen)
        return Turns(round(had, 3), round(elsewhere, 3), round(disk, 3), round(waited, 3))

    def _run(self) -> None:
        # psycopg is there where it is used: the extra `postgres`
        import psycopg

        from framegate_controller.store.postgres import TURN

        try:
            with psycopg.connect(self._address, autocommit=True) as connection:
                while not self._over.wait(LOOK_S):
                    self._look(connection.execute(_LOOK, (TURN,)).fetchone())
        except psycopg.Error as error:
            log.warning("turns were not looked at to the end: %s", error)

    def _look(self, row: Any) -> None:
        self._looks += 1
        self._seen = [sum(pair) for pair in zip(self._seen, row, strict=True)]
