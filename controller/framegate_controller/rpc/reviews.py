"""Rows of the operator's port: reviews of verdicts."""

from __future__ import annotations

from typing import Any, Final

from framegate.signed.statement import Verdict
from framegate_controller.context import Fleet
from framegate_controller.rpc.table import Rpc
from framegate_controller.verbs.reviews import ReviewVerdict
from framegate_proto.v1 import framegate_pb2 as pb


def _reviewed(verdict: Verdict, _fleet: Fleet) -> pb.ReviewVerdictReply:
    return pb.ReviewVerdictReply(verdict_id=verdict.verdict_id, outcome=verdict.outcome)


ROWS: Final[tuple[Rpc[Any, Any, Any], ...]] = (
    Rpc("ReviewVerdict", ReviewVerdict.parse, _reviewed),
)
