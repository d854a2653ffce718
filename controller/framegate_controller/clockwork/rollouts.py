"""Rollouts move on: a look a second at the few that run."""

from __future__ import annotations

from framegate.machines.rollout import RolloutState
from framegate_controller.events.notices import Notice
from framegate_controller.fleet.rollouts import tick_all
from framegate_controller.store.ports import Store


def move_on(store: Store) -> tuple[Notice, ...]:
    """Let every running rollout move on; where none runs, no writer has to wait for this look.

    Nobody is told: what a step changes, machines meet with their next evidence.
    """
    with store.reading() as tx:
        if not tx.rollouts.in_state((RolloutState.RUNNING,)):
            return ()
    with store.writing() as tx:
        tick_all(tx)
    return ()
