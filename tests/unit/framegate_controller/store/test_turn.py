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


class Counted:
    """A lock that counts who asked for it and waits."""

    def __init__(self) -> None:
        self._lock, self.asking = threading.Lock(), set()

    def acquire(self) -> None:
        self.asking.add(threading.get_ident())
        self._lock.acquire()
        self.asking.discard(threading.get_ident())

    def release(self) -> None:
        self._lock.release()


def counted(turn: Turn) -> Turn:
    """One whose waiters `until_waiting` sees."""
    turn._lock = Counted()
    return turn


def until_waiting(turn: Turn, asking: int, first: int) -> None:
    """So many wait for it, and so many of them are to be first."""
    while (len(turn._lock.asking), turn._waiting_first) != (asking, first):
        threading.Event().wait(0.001)


def test_who_is_first_goes_before_all_that_wait():
    turn, order = counted(Turn()), []
    with turn.taken():
        others = [Asker(turn, f"other {number}", order) for number in range(5)]
        until_waiting(turn, 5, 0)
        first = Asker(turn, "first", order, first=True)
        until_waiting(turn, 6, 1)
    for asker in (*others, first):
        asker.thread.join(WAIT_S)
    assert order[0] == "first" and len(order) == 6


def test_who_comes_while_the_first_waits_waits_too():
    turn, order = counted(Turn()), []
    with turn.taken():
        first = Asker(turn, "first", order, first=True)
        until_waiting(turn, 1, 1)
        late = Asker(turn, "late", order)
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
    counted(opened._turn)
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
        until_waiting(opened._turn, 4, 1)
    for thread in threads:
        thread.join(WAIT_S)
    assert order[0] == "first" and len(order) == 4
    opened.close()
