"""The record of a join port that was replaced: told at once, and never a flood."""

from framegate_controller.fleet.join_port_restarts import LEAST_MS, RestartsRecord


def test_n130_a_restart_is_told_at_once_and_many_as_a_count_a_minute(bench):
    record = RestartsRecord(bench.store)
    record.add("it did not answer and was ended")
    for _ in range(20):
        record.add("it ended")
    assert told(bench) == ["it did not answer and was ended"]
    bench.clock.pass_s(LEAST_MS / 1000)
    record.add("it ended")
    assert told(bench) == ["it did not answer and was ended", "it ended, 21 times"]


def told(bench) -> list[str]:
    return [e["detail"] for e in bench.events("join-port-restarted")]
