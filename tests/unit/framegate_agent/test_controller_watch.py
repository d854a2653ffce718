"""How often a machine asks to be heard of, and when it gives a connection up."""

import pytest

from framegate_agent.controller_watch import ControllerWatch, beat_s, silence_s


@pytest.mark.parametrize(
    ("interval_ms", "every_s", "dead_s"),
    [
        (1_000, 1.0, 5.0),
        (12_000, 1.0, 5.0),
        (30_000, 2.5, 6.0),
        (60_000, 5.0, 12.0),
        (3_600_000, 5.0, 12.0),
    ],
)
def test_a_beat_is_a_twelfth_of_an_interval_within_bounds(interval_ms, every_s, dead_s):
    assert beat_s(interval_ms) == every_s
    assert silence_s(every_s) == pytest.approx(dead_s)
    assert silence_s(every_s) >= 2 * every_s  # one that is missed is no end


@pytest.mark.parametrize(
    ("told_ms", "dead_s"),
    [(0, 12.0), (1, 12.0), (5_000, 12.0), (50_000, 120.0), (60_000, 144.0), (2**32 - 1, 144.0)],
)
def test_a_controller_that_many_watch_is_waited_for_as_long_as_it_told(told_ms, dead_s):
    assert silence_s(5.0, told_ms) == pytest.approx(dead_s)


def test_the_controller_is_asked_for_it(tmp_path):
    asked = ControllerWatch(tmp_path).request(2.5)
    assert asked.beat_ms == 2_500
    assert asked.seen.size == 0
