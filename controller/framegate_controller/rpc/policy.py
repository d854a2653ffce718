"""Rows of the operator's port: the access policy."""

from __future__ import annotations

from typing import Any, Final

from framegate.registry.zone import AppliedPolicy
from framegate_controller.context import Fleet
from framegate_controller.rpc.table import Rpc, StreamRpc
from framegate_controller.verbs.policy import (
    ApplyPolicy,
    PolicyHistory,
    ShowPolicy,
    Simulated,
    SimulatePolicy,
)
from framegate_proto.edge import to_failures
from framegate_proto.v1 import framegate_pb2 as pb

_SHORT: Final = 16
"""Characters of a resource's id: models are named by long digests."""


def _policy(applied: AppliedPolicy, _fleet: Fleet) -> pb.PolicyReply:
    return pb.PolicyReply(
        version=applied.version,
        envelope=applied.envelope,
        sha256=applied.sha256,
        applied_by=applied.applied_by,
        applied_ms=applied.applied_ms,
        note=applied.note,
    )


def _history(versions: list[AppliedPolicy], fleet: Fleet) -> pb.PolicyHistoryReply:
    return pb.PolicyHistoryReply(versions=[_policy(v, fleet) for v in versions])


def _simulated(row: Simulated) -> pb.SimulateRow:
    kind, identifier = row.asked.resource
    return pb.SimulateRow(
        principal=row.asked.principal[1],
        action=row.asked.action,
        resource=f"{kind} {identifier[:_SHORT]}",
        count=row.kept.count,
        last_ms=row.kept.last_ms,
        was=row.kept.allow,
        was_policies=row.kept.policies,
        would=row.would,
        would_policies=row.policies,
        failures=to_failures(row.failures),
        request=row.kept.request,
    )


ROWS: Final[tuple[Rpc[Any, Any, Any] | StreamRpc[Any, Any, Any, Any], ...]] = (
    Rpc("ShowPolicy", ShowPolicy.parse, _policy),
    Rpc("PolicyHistory", PolicyHistory.parse, _history),
    Rpc("ApplyPolicy", ApplyPolicy.parse, _policy),
    StreamRpc("SimulatePolicy", SimulatePolicy.parse, _simulated),
)
