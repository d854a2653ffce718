"""Forwarder, sink's process and sink are killed 200 times while 100,000 entries are sent; what
dead sinks cost; how long an entry takes. Minutes, and the machine for itself: make load.
"""

import pytest

from framegate_controller.sinks.messages import BATCH_ENTRIES
from framegate_simulators.bench.sinks import ENTRIES, KILLS, dead_sink, kills, latency

pytestmark = pytest.mark.alone


def test_n150_200_kills_over_100_000_entries_lose_none_and_repeat_a_batch_each_at_most(tmp_path):
    done = kills(tmp_path, ENTRIES, KILLS)
    assert done["missing"] == 0
    assert done["again"] <= KILLS * BATCH_ENTRIES
    assert done["kills_before_the_end"] >= 0.9 * KILLS


def test_n150_dead_sinks_cost_an_attestation_nothing_to_speak_of(tmp_path):
    """Less than a hundredth where nothing else runs (make bench); here with room for noise."""
    assert dead_sink(tmp_path)["ratio"] < 1.05


def test_an_entry_is_at_the_sink_within_a_second(tmp_path):
    assert latency(tmp_path)["p99_ms"] <= 1_000
