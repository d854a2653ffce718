"""The turn to write."""

import threading

import pytest

from framegate_controller.store.database import open_registry
from framegate_controller.store.shared.duties import DutyStore, NoPeers
from framegate_controller.store.turn import Turn

WAIT_S = 30


class Asker:
    """A thread that takes the turn once; `order` has who had it."""

    def __init__(self, turn: Turn, name: str, order: list[str], *, first: bool = False) -> None:
        self._turn, self._name, self._order, self._first = turn, name, order, first
        self.thread = threading.Thread(target=self._ask, daemon=True)
        self.thread.start()

    def _ask(self) -> None:
        with self._turn.taken(first=self._first):
            self._order.append(self._name)


def until_waiting(turn: Turn, others: int, first: int) -> None:
    """So many wait."""
    while True:
        with turn._others:
            if len(turn._others._waiters) == others and turn._waiting_first == first:
                return


def test_who_is_first_goes_before_all_that_wait():
    turn, order = Turn(), []
    with turn.taken():
        others = [Asker(turn, f"other {number}", order) for number in range(5)]
        until_waiting(turn, 5, 0)
        first = Asker(turn, "first", order, first=True)
        until_waiting(turn, 5, 1)
    for asker in (*others, first):
        asker.thread.join(WAIT_S)
    assert order[0] == "first" and len(order) == 6


def test_who_comes_while_the_first_waits_waits_too():
    turn, order = Turn(), []
    with turn.taken():
        first = Asker(turn, "first", order, first=True)
        until_waiting(turn, 0, 1)
        late = Asker(turn, "late", order)
        until_waiting(turn, 1, 1)
    for asker in (first, late):
        asker.thread.join(WAIT_S)
    assert order == ["first", "late"]


def test_one_has_it_at_a_time_and_an_error_gives_it_back():
    turn, inside, most = Turn(), [0], [0]

    def often(first: bool) -> None:
        for _ in range(300):
            try:
                with turn.taken(first=first):
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                    inside[0] -= 1
                    raise KeyError
            except KeyError:
                pass

    threads = [threading.Thread(target=often, args=(number == 0,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert most == [1] and inside == [0]
    with turn.taken():
        pass


@pytest.mark.parametrize("of_a_duty", [False, True], ids=["a store", "a duty's store"])
def test_a_store_lets_who_is_first_write_before_all_that_wait(tmp_path, of_a_duty):
    opened, order = open_registry(tmp_path / "registry.db"), []
    asked = DutyStore(opened, NoPeers(), "a duty") if of_a_duty else opened

    def write(name: str, first: bool) -> None:
        with asked.writing(first=first) as tx:
            tx.settings.put("last", name)
            order.append(name)

    threads = [threading.Thread(target=write, args=(f"other {n}", False)) for n in range(3)]
    with opened.writing():
        for thread in threads:
            thread.start()
        until_waiting(opened._turn, 3, 0)
        threads.append(threading.Thread(target=write, args=("first", True)))
        threads[-1].start()
        until_waiting(opened._turn, 3, 1)
    for thread in threads:
        thread.join(WAIT_S)
    assert order[0] == "first" and len(order) == 4
    opened.close()
