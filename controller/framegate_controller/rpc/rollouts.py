"""Rows of the operator's port: rollouts."""

from __future__ import annotations

from typing import Any, Final

from framegate_controller.context import Fleet
from framegate_controller.rpc.table import Rpc
from framegate_controller.verbs.rollouts import (
    ChangeRollout,
    RolloutView,
    ShowRollouts,
    StartRollout,
)
from framegate_proto.v1 import framegate_pb2 as pb


def _rollout(view: RolloutView, _fleet: Fleet) -> pb.RolloutStatus:
    record = view.record
    plan = record.plan
    devices = [
        pb.RolloutDeviceRow(
            device=seen.device,
            step=plan.step_name(seen.step),
            seen=seen.seen,
            shadow=seen.shadow,
            at_ms=seen.at_ms,
            state=state,
        )
        for seen, state in view.devices
    ]
    return pb.RolloutStatus(
        rollout=record.id,
        profile=record.profile,
        from_revision=record.from_revision,
        to_revision=record.to_revision,
        state=record.state,
        step=plan.step_name(min(record.step, plan.steps - 1)),
        step_ms=record.step_ms,
        started_ms=record.started_ms,
        note=record.note,
        devices=devices,
        soak_s=plan.soak_s,
        max_fail=plan.max_fail,
    )


def _rollouts(views: list[RolloutView], fleet: Fleet) -> pb.RolloutsReply:
    return pb.RolloutsReply(rollouts=[_rollout(v, fleet) for v in views])


ROWS: Final[tuple[Rpc[Any, Any, Any], ...]] = (
    Rpc("StartRollout", StartRollout.parse, _rollout),
    Rpc("ChangeRollout", ChangeRollout.parse, _rollout),
    Rpc("ShowRollouts", ShowRollouts.parse, _rollouts),
)
