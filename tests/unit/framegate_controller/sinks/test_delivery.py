"""Where a sink refuses a batch, what it refuses is searched out by halves."""

from dataclasses import dataclass, field

import pytest

from framegate_controller.sinks.delivery import SinkFailed, SinkRefused, delivered
from support.ocsf_entries import every_entry
from support.sinks import outgoing

BATCH = [outgoing(raw) for raw in every_entry()[:16]]


@dataclass
class Driver:
    """Refuses batches with an entry of `bad`, fails at those of `down`."""

    bad: frozenset = frozenset()
    down: frozenset = frozenset()
    calls: list = field(default_factory=list)
    kept: list = field(default_factory=list)

    def deliver(self, batch):
        indices = {o.index for o in batch}
        self.calls.append(len(batch))
        if indices & self.down:
            raise SinkFailed("down", 3.0)
        if indices & self.bad:
            raise SinkRefused("bad")
        self.kept += sorted(indices)

    def close(self):
        pass


def test_a_batch_that_is_taken_is_sent_once():
    driver = Driver()
    assert delivered(driver, BATCH).confirmed == 16
    assert driver.calls == [16]


@pytest.mark.parametrize("bad", [{0}, {15}, {7}, {3, 4}, {0, 5, 15}, set(range(15))])
def test_those_that_are_refused_are_known_and_all_others_arrive_once(bad):
    driver = Driver(bad=frozenset(bad))
    answer = delivered(driver, BATCH)
    assert answer.confirmed == 16
    assert [r.first for r in answer.refusals] == sorted(bad)
    assert driver.kept == [n for n in range(16) if n not in bad]


def test_one_bad_entry_costs_a_logarithm():
    driver = Driver(bad=frozenset({9}))
    delivered(driver, BATCH)
    assert len(driver.calls) == 9


def test_a_sink_that_refuses_everything_has_no_dead_letters():
    answer = delivered(Driver(bad=frozenset(range(16))), BATCH)
    assert answer.wholly
    assert (answer.confirmed, answer.refusals) == (0, ())
    assert "refused" in answer.failed
    one = delivered(Driver(bad=frozenset({0})), BATCH[:1])
    assert one.wholly
    assert one.confirmed == 0


def test_a_failure_in_between_confirms_what_came_before_and_nothing_after():
    driver = Driver(bad=frozenset({2}), down=frozenset({9}))
    answer = delivered(Driver(down=frozenset({9})), BATCH)
    assert (answer.confirmed, answer.failed, answer.retry_s) == (0, "down", 3.0)
    driver.down = frozenset()
    driver.bad = frozenset({2})

    def deliver(batch, inner=driver.deliver):
        if min(o.index for o in batch) == 8:
            raise SinkFailed("down")
        inner(batch)

    driver.deliver = deliver
    answer = delivered(driver, BATCH)
    assert answer.confirmed == 8
    assert [r.first for r in answer.refusals] == [2]
    assert answer.failed == "down"
