"""Who has the turn to write is seen while somebody has it, on a real database."""

from contextlib import closing
from threading import Event

import psycopg
import pytest

from framegate_controller.store.postgres import RUNNING, TURN
from framegate_simulators.fleet import turn_watch
from framegate_simulators.fleet.turn_watch import Turns, TurnWatch

TAKE = "SELECT pg_advisory_xact_lock(%s)"
LOOKS = 3


@pytest.fixture
def watched(postgres, monkeypatch):
    """Turns of a database while what is asked for by `at` has been done, over some looks."""
    monkeypatch.setattr(turn_watch, "LOOK_S", 0.0)

    def watch(at) -> Turns:
        seen, look = Event(), TurnWatch._look

        def looked(self, row):
            look(self, row)
            if self._looks == LOOKS:
                seen.set()

        monkeypatch.setattr(TurnWatch, "_look", looked)
        watch = TurnWatch(postgres, "postgres")
        with psycopg.connect(postgres.address("postgres")) as connection:
            at(connection)
            watch.begin()
            assert seen.wait(30)
            return watch.end()

    return watch


def test_a_turn_that_is_held_by_somebody_who_asks_nothing(watched):
    turns = watched(lambda c: c.execute(TAKE, (TURN,)))
    assert (turns.held, turns.elsewhere, turns.at_disk, turns.waiting) == (1.0, 1.0, 0.0, 0.0)


@pytest.mark.parametrize(
    "at", [lambda c: None, lambda c: c.execute(TAKE, (RUNNING,)), lambda c: c.execute("SELECT 1")]
)
def test_what_is_no_turn_is_not_seen_as_one(watched, at):
    assert watched(at) == Turns()


def test_whoever_waits_for_the_turn_is_seen(watched, postgres):
    with closing(psycopg.connect(postgres.address("postgres"))) as other:

        def two(connection):
            connection.execute(TAKE, (TURN,))
            other.pgconn.send_query_params(TAKE.replace("%s", "$1").encode(), [str(TURN).encode()])
            other.pgconn.flush()
            waits = "SELECT 1 FROM pg_locks WHERE pid = %s AND NOT granted"
            while connection.execute(waits, (other.info.backend_pid,)).fetchone() is None:
                pass

        assert watched(two).waiting == 1.0


def test_a_watch_that_never_looked_has_seen_nothing(postgres, monkeypatch):
    monkeypatch.setattr(turn_watch, "LOOK_S", 3600.0)
    watch = TurnWatch(postgres, "postgres")
    watch.begin()
    assert watch.end() == Turns()


def test_a_database_that_is_away_ends_the_looking_and_not_the_run(caplog, tmp_path):
    class Away:
        def address(self, name):
            return f"postgresql://nobody@/{name}?host={tmp_path}"

    watch = TurnWatch(Away(), "none")
    watch.begin()
    assert watch.end() == Turns() and "not looked at" in caplog.text


@pytest.mark.parametrize(
    ("waiting", "per_s", "ms"), [(0.5, 50.0, 10.0), (0.0, 9.0, 0), (3.0, 0, 0)]
)
def test_how_long_each_waited_by_how_many_did(waiting, per_s, ms):
    assert Turns(waiting=waiting).wait_ms(per_s) == ms
