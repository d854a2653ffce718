"""Rollouts are looked at without a writer where none runs."""

import pytest


@pytest.mark.parametrize("state", ["running", "none"])
def test_rollouts_are_looked_at_without_a_writer_where_none_runs(bench, monkeypatch, state):
    from framegate.machines.rollout import Plan, RolloutState
    from framegate.registry.rollout import RolloutRecord
    from framegate_controller.clockwork import rollouts

    ticked = []
    monkeypatch.setattr(rollouts, "tick_all", ticked.append)
    if state == "running":
        plan = Plan(canary=0, waves=(100,), max_fail=1, soak_s=60, shadow=False)
        record = RolloutRecord(
            id="ab",
            profile="simulated-camera",
            from_revision=1,
            to_revision=2,
            plan=plan,
            state=RolloutState.RUNNING,
            step=0,
            step_ms=bench.clock(),
            started_ms=0,
        )
        with bench.store.writing() as tx:
            tx.rollouts.put(record)
    rollouts.move_on(bench.store)
    assert len(ticked) == (state == "running")
