"""The record's newest entries, handed out to several who follow it."""

from contextlib import contextmanager

from hypothesis import given
from hypothesis import strategies as st

from framegate_controller.record import tail as module
from framegate_controller.record.tail import RecordTail
from framegate_controller.store.ports import LoggedEntry


class Record:
    """A store with a record of so many entries, and how many were read out of it."""

    def __init__(self, size: int) -> None:
        self.count, self.read, self.log = size, 0, self

    @contextmanager
    def reading(self):
        yield self

    def size(self) -> int:
        return self.count

    def entries(self, _query, *, first, below, most):
        assert most >= below - first
        found = [
            LoggedEntry(n, 0, "event", "", "e", "", b'{"n": %d}' % n)
            for n in range(first, min(below, self.count))
        ]
        self.read += len(found)
        return found


def test_what_one_read_the_others_need_not_read_again():
    record = Record(100)
    tail = RecordTail(record)
    first = tail.entries(90, 100)
    again = tail.entries(90, 100)
    assert [e.index for e in first] == list(range(90, 100))
    assert all(a is b for a, b in zip(first, again, strict=True))
    assert first[0].body is again[0].body == {"n": 90}
    record.count = 103
    assert [e.index for e in tail.entries(95, 103)] == list(range(95, 103))
    assert record.read == 13


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(0, 9)), max_size=12),
    st.integers(1, 20),
)
def test_whoever_asks_for_whatever_gets_exactly_that(asked, kept):
    record = Record(10)
    tail = RecordTail(record)
    tail._kept = module.deque(maxlen=kept)
    for one, other, more in asked:
        record.count += more
        first, below = (min(n, record.count) for n in sorted((one, other)))
        assert [e.index for e in tail.entries(first, below)] == list(range(first, below))
