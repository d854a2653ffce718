"""Rows of the operator's port: goals, and what only people know."""

from __future__ import annotations

from typing import Any, Final

from framegate_controller.context import Fleet
from framegate_controller.rpc.table import Rpc
from framegate_controller.verbs.assessment import GoalsInForce, SetGoals, Stated, StatePosture
from framegate_proto.v1 import framegate_pb2 as pb


def _goals(put: GoalsInForce, _fleet: Fleet) -> pb.SetGoalsReply:
    return pb.SetGoalsReply(index=put.index, goals=put.goals)


def _stated(stated: Stated, _fleet: Fleet) -> pb.StatePostureReply:
    about = list(stated.about)
    return pb.StatePostureReply(index=stated.index, about=about, expires_ms=stated.expires_ms)


ROWS: Final[tuple[Rpc[Any, Any, Any], ...]] = (
    Rpc("SetGoals", SetGoals.parse, _goals),
    Rpc("StatePosture", StatePosture.parse, _stated),
)
