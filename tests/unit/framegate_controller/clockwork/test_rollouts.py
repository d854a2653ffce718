"""Rollouts are looked at without a writer where none runs."""

import pytest

from framegate_controller.clockwork import rollouts
from support.rollouts import running_rollout


@pytest.mark.parametrize("state", ["running", "none"])
def test_rollouts_are_looked_at_without_a_writer_where_none_runs(bench, monkeypatch, state):
    ticked = []
    monkeypatch.setattr(rollouts, "tick_all", ticked.append)
    if state == "running":
        with bench.store.writing() as tx:
            tx.rollouts.put(running_rollout(bench.clock()))
    rollouts.move_on(bench.store)
    assert len(ticked) == (state == "running")
