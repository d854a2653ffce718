"""Rollouts as rows, for tests in which none has to begin by itself."""

from framegate.machines.rollout import Plan, RolloutState
from framegate.registry.rollout import RolloutRecord


def running_rollout(now_ms: int) -> RolloutRecord:
    """One that everybody waits in, since `now_ms`."""
    return RolloutRecord(
        id="ab",
        profile="simulated-camera",
        from_revision=1,
        to_revision=2,
        plan=Plan(canary=0, waves=(100,), max_fail=1, soak_s=60, shadow=False),
        state=RolloutState.RUNNING,
        step=0,
        step_ms=now_ms,
        started_ms=0,
    )
