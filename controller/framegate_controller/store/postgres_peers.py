"""Controllers that share a PostgreSQL database: LISTEN and NOTIFY for what changed, an advisory
lock for each controller's name, leases with tokens for duties.

One connection and one thread a controller. A controller whose process ends loses its connection and
with it its name, which the others see within a second; its duties are over after `LEASE_S`.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Any, Final

import psycopg

from framegate.errors import FramegateError, Reason, Refused
from framegate_controller.store.ports.leases import Lease
from framegate_controller.store.postgres import RUNNING, PostgresEngines
from framegate_controller.store.shared.duties import Ears

log = logging.getLogger(__name__)
CHANNEL: Final = "framegate"
NAMES: Final = 0x4647
"""Space of the advisory locks of controllers' names: FG."""
BEAT_S: Final = 1.0
LEASE_S: Final = 5.0
"""For how long a duty is somebody's without a sign of life: five that were due."""
EARLY_S: Final = 1.0
"""So much sooner its owner itself takes it for over: what was asked for is still under way."""
AGAIN_S: Final = 0.2
NAME_S: Final = 5.0
"""How long a start waits for its name: the server of one that was killed may not know it yet."""
_SEED: Final = (
    "INSERT INTO leases (duty, owner, token, until_ms)"
    " SELECT duty, '', 0, 0 FROM unnest(%(duties)s::text[]) AS duty ON CONFLICT DO NOTHING"
)
_NOW: Final = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
_RENEW: Final = (
    f"UPDATE leases SET until_ms = {_NOW} + %(life_ms)s"
    " WHERE owner = %(owner)s AND duty = ANY(%(duties)s) RETURNING duty, token"
)
_CLAIM: Final = (
    f"UPDATE leases SET owner = %(owner)s, token = token + 1, until_ms = {_NOW} + %(life_ms)s"
    f" WHERE duty IN (SELECT duty FROM leases WHERE until_ms < {_NOW} AND duty = ANY(%(duties)s)"
    " AND owner <> %(owner)s FOR UPDATE SKIP LOCKED) RETURNING duty, token"
)
_GIVE_BACK: Final = "UPDATE leases SET until_ms = 0, owner = '' WHERE owner = %(owner)s"
_PRESENT: Final = (
    "SELECT objid FROM pg_locks WHERE locktype = 'advisory' AND classid = %(names)s AND granted"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


@dataclass(frozen=True, slots=True)
class _Held:
    """Leases of this controller, good until a moment of its own monotonic clock."""

    leases: dict[str, Lease] = field(default_factory=dict)
    until_s: float = 0.0


class PostgresPeers:
    """See `Peers`. `learn` is told the database's time (ms) at every beat."""

    alone = False

    def __init__(self, engines: PostgresEngines, name: str, learn: Callable[[int], object]) -> None:
        self._engines, self._name, self._learn = engines, name, learn
        self.owner = f"{name[:40]}:{secrets.token_hex(6)}"
        self._held, self._duties = _Held(), frozenset[str]()
        self._present: frozenset[int] = frozenset()
        self._ending = Event()
        self._thread: Thread | None = None
        self._ears = Ears(lambda _: None, lambda: None)

    def start(self, duties: frozenset[str], ears: Ears) -> None:
        """See `Peers.start`."""
        self._duties, self._ears = duties, ears
        with self._engines.ours():
            connection = self._joined(time.monotonic() + NAME_S)
        self._beat(connection)
        self._thread = Thread(target=self._run, args=(connection,), name="peers", daemon=True)
        self._thread.start()

    def tell(self, text: str) -> None:
        """See `Peers.tell`."""
        self._engines.ask_aside("SELECT pg_notify($1, $2)", (CHANNEL, text))

    def lease(self, duty: str) -> Lease | None:
        """See `Peers.lease`."""
        held = self._held
        return held.leases.get(duty) if time.monotonic() < held.until_s else None

    def stop(self) -> None:
        """See `Peers.stop`."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join(timeout=2 * BEAT_S)

    def _run(self, connection: psycopg.Connection[Any] | None) -> None:
        while not self._ending.is_set():
            try:
                connection = connection or self._joined()
                self._beat(connection)
                for told in connection.notifies(timeout=BEAT_S):
                    self._ears.heard(told.payload)
                    if self._ending.is_set():
                        break
            except (psycopg.Error, FramegateError) as error:
                log.warning("the other controllers are not heard: %s", str(error).splitlines()[:1])
                if connection is not None:
                    connection.close()
                connection = None
                self._ears.missed()
                self._ending.wait(AGAIN_S)
        if connection is not None:
            self._held = _Held()
            try:
                connection.execute(_GIVE_BACK, {"owner": self.owner})
            except psycopg.Error:
                log.warning("duties were not given back: they are over by themselves")
            connection.close()

    def _joined(self, until_s: float = 0.0) -> psycopg.Connection[Any]:
        """A connection that has this controller's name and listens. Raises Refused, psycopg.Error,
        Unavailable.
        """
        connection = self._engines.connect()
        try:
            while not _is_true(connection, "SELECT pg_try_advisory_lock_shared(%s)", (RUNNING,)):
                if time.monotonic() > until_s:
                    wanted, hint = "a registry that is not being restored", "try again"
                    raise Refused.of(Reason.CONFLICT, wanted, "one that is", hint)
                time.sleep(AGAIN_S)
            named = (NAMES, self._name)
            while not _is_true(connection, "SELECT pg_try_advisory_lock(%s, hashtext(%s))", named):
                if time.monotonic() > until_s:
                    wanted = f"no other controller called {self._name} on {self._engines.at}"
                    hint = "give each its own: framegate-controller run --name controller-2"
                    raise Refused.of(Reason.CONFLICT, wanted, "one", hint)
                time.sleep(AGAIN_S)
            connection.execute(_SEED, {"duties": sorted(self._duties)})
            connection.execute(f"LISTEN {CHANNEL}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _beat(self, connection: psycopg.Connection[Any]) -> None:
        """A sign of life; take over what is nobody's; see who is gone."""
        begun_s, leases = time.monotonic(), {}
        values = {
            "owner": self.owner,
            "duties": sorted(self._duties),
            "life_ms": int(LEASE_S * 1000),
        }
        for statement in (_RENEW, _CLAIM):
            for duty, token in connection.execute(statement, values):
                leases[duty] = Lease(duty, self.owner, token)
        self._held = _Held(leases, begun_s + LEASE_S - EARLY_S)
        row = connection.execute(f"SELECT {_NOW}").fetchone()
        if row is not None:
            self._learn(int(row[0]))
        there = frozenset(r[0] for r in connection.execute(_PRESENT, {"names": NAMES}))
        gone, self._present = self._present - there, there
        if gone:  # what it committed last it may not have told
            log.warning("%d controller(s) of this registry are gone", len(gone))
            self._ears.missed()


def _is_true(connection: psycopg.Connection[Any], statement: str, values: tuple[Any, ...]) -> bool:
    row = connection.execute(statement, values).fetchone()
    return row is not None and bool(row[0])
