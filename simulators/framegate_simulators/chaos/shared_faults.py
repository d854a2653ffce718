"""Faults of two controllers on one PostgreSQL database: one is killed, both, the database, a
connection in the middle of a commit; the database fails over to its standby.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any, Final

import psycopg

from framegate.errors import Unavailable
from framegate_controller.registry_address import StoreAt
from framegate_controller.store.transfer import move_rows
from framegate_simulators.chaos import cell
from framegate_simulators.chaos.cell import Asking, Clock, Founded, life, opened
from framegate_simulators.chaos.desk import Desk
from framegate_simulators.chaos.forked import Forked, Say
from framegate_simulators.chaos.outcome import Outcome
from framegate_simulators.chaos.relay import Mode, Relays
from framegate_simulators.fixtures.postgres import LocalPostgres

TEMPLATE: Final = "chaos_template"
ACTS: Final = 8
BREATH_S: Final = 0.05
AWAY_S: Final = 0.3
"""How long a database is away that was killed and is started again."""
STARTS: Final = 10
"""How often a controller that does not come up is started again, as by its supervisor."""
CUTS: Final = 8
LINK_S: Final = 3.0
"""How long a link to the database is disturbed at most."""
LINK_MODES: Final = (Mode.CUT, Mode.DELAY, Mode.SLOW, Mode.HALF_OPEN, Mode.ONE_WAY)
SOCKET: Final = ".s.PGSQL.5432"
BETWEEN_CUTS_S: Final = 0.5
"""Between two cuts at most: on a busy machine little is done in less, and it has to end."""
SIDES: Final = (("cam1", cell.BAD), ("cam2", cell.NEWCOMER))
"""Whose machines ask which controller; a machine is one, and asks one at a time."""
_CUT: Final = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
    " AND application_name = 'framegate-controller' AND datname = current_database()"
)


class SharedRuns:
    """Runs on databases of one server, each a copy of the founded registry."""

    def __init__(self, server: LocalPostgres, founded: Founded, folder: Path) -> None:
        self.server, self.founded, self.folder = server, founded, folder
        self._names = count(1)
        address = server.create(TEMPLATE)
        move_rows(StoreAt(founded.folder), StoreAt(founded.folder, address))

    def one_killed(self, chance: random.Random) -> Outcome:
        """kill -9 one of two; the other goes on as if nothing had been."""
        at, children = self._begun(chance)
        victim = chance.randrange(2)
        children[victim].killed_at(chance, lines=ACTS, breath_s=BREATH_S)
        children[1 - victim].ended()
        problems = [
            f"refused by the one that lives: {line['why']}"
            for line in children[1 - victim].lines
            if "refused" in line
        ]
        return self._judged(at, children, "killed", problems)

    def both_killed(self, chance: random.Random) -> Outcome:
        """kill -9 both, at instants of their own."""
        at, children = self._begun(chance)
        for child in children:
            child.killed_at(chance, lines=ACTS, breath_s=BREATH_S)
        return self._judged(at, children, "killed")

    def database_killed(self, chance: random.Random) -> Outcome:
        """The database dies without a word and is started again; both go on by themselves."""
        at, children = self._begun(chance)
        children[0].heard(lambda: len(children[0].lines) >= chance.randint(1, ACTS))
        time.sleep(BREATH_S * chance.random())
        self.server.halt()
        time.sleep(AWAY_S * chance.random())
        self.server.resume()
        return self._lived_on(at, children)

    def connection_lost(self, chance: random.Random) -> Outcome:
        """Connections end at whatever instant, again and again: within a transaction, at its
        commit, between two.
        """
        at, children = self._begun(chance)
        over = threading.Event()

        def cut() -> None:
            with psycopg.connect(at.address, autocommit=True) as connection:
                for _ in range(CUTS):
                    if over.wait(BETWEEN_CUTS_S * chance.random()):
                        return
                    connection.execute(_CUT)

        cutter = threading.Thread(target=cut)
        cutter.start()  # after both were forked
        for child in children:
            child.ended()
        over.set()
        cutter.join()
        return self._lived_on(at, children)

    def link(self, mode: Mode, chance: random.Random) -> Outcome:
        """The link between both and their database is disturbed for a while, at any instant."""
        at = self._made()
        far = StoreAt(at.state, at.address.replace(str(self.server.folder), str(at.state)))
        children = begun(far, self.founded, chance)  # they wait for a database that is away
        with Relays() as relays:
            link = relays.unix(at.state / SOCKET, self.server.folder / SOCKET)
            children[0].heard(lambda: len(children[0].lines) >= chance.randint(1, ACTS))
            time.sleep(BREATH_S * chance.random())
            link.mode = mode
            time.sleep(LINK_S * chance.random())
            link.mode = Mode.WHOLE
            for child in children:
                child.ended()
        return self._lived_on(at, children)

    def _begun(self, chance: random.Random) -> tuple[StoreAt, list[Forked]]:
        at = self._made()
        return at, begun(at, self.founded, chance)

    def _made(self) -> StoreAt:
        number = next(self._names)
        address = self.server.create(f"chaos_{number}", TEMPLATE)
        at = StoreAt(self.folder / f"shared-{number}", address)
        at.state.mkdir(parents=True)
        return at

    def _lived_on(self, at: StoreAt, children: Sequence[Forked]) -> Outcome:
        for child in children:
            if not child.over:
                child.ended()
        refused = any("refused" in line for child in children for line in child.lines)
        return self._judged(at, children, "refused, went on" if refused else "went on")

    def _judged(
        self, at: StoreAt, children: Sequence[Forked], became: str, problems: Sequence[str] = ()
    ) -> Outcome:
        return judged(at, self.founded, children, became, problems)


def failed_over(
    primary: LocalPostgres, founded: Founded, folder: Path, chance: random.Random
) -> Outcome:
    """The database's host dies at any instant of a commit, and its standby is promoted: what was
    answered is there, because a commit waits for the standby.
    """
    standby = primary.standby()
    try:
        name = f"chaos_over_{chance.randrange(1 << 30)}"
        primary.create(name, TEMPLATE)
        hosts = f"{primary.folder},{standby.folder}"
        address = f"postgresql://postgres@/{name}?host={hosts}&target_session_attrs=read-write"
        at = StoreAt(folder, address)
        folder.mkdir(parents=True)
        children = begun(at, founded, chance)
        children[0].heard(lambda: len(children[0].lines) >= chance.randint(1, ACTS))
        time.sleep(BREATH_S * chance.random())
        primary.halt()
        standby.promote()
        for child in children:
            child.ended()
        return judged(at, founded, children, "failed over")
    finally:
        standby.remove()


def begun(at: StoreAt, founded: Founded, chance: random.Random) -> list[Forked]:
    """Two controllers on a store, each asked by machines of its own."""
    clock = Clock(founded.made_ms)

    def living(names: Sequence[str], own: random.Random) -> Callable[[Say], None]:
        def live(say: Say) -> None:
            for _ in range(STARTS):
                with contextlib.suppress(Unavailable), opened(at, clock) as store:
                    desk = Desk(store, founded.keys, clock)
                    life(desk, Asking(founded, own, say, names), ACTS)
                    return

        return live

    return [Forked(living(names, random.Random(chance.random()))) for names in SIDES]


def judged(
    at: StoreAt,
    founded: Founded,
    children: Sequence[Forked],
    became: str,
    problems: Sequence[str] = (),
) -> Outcome:
    """Hold what is there against what both said, and time how it heals."""
    clock, begun_s = Clock(founded.made_ms), time.monotonic()
    lines: list[dict[str, Any]] = [line for child in children for line in child.lines]
    fallen = tuple(text for child in children for text in child.fell())
    with opened(at, clock) as store:
        seen = cell.judge(store, founded, lines)
    found = (*problems, *fallen, *seen.problems, *cell.heal(at, founded, clock))
    return Outcome(became, seen.asked, seen.answered, 1e3 * (time.monotonic() - begun_s), found)
