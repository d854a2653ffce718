"""Rows of the operator's port: the record."""

from __future__ import annotations

from typing import Any, Final

from framegate_controller.context import Fleet
from framegate_controller.rpc.table import Rpc, StreamRpc
from framegate_controller.store.ports import LoggedEntry
from framegate_controller.verbs.record import Heads, LogHead, ProvedEntry, ProveLog, ReadLog
from framegate_proto.v1 import framegate_pb2 as pb


def _row(logged: LoggedEntry) -> pb.LogRow:
    return pb.LogRow(index=logged.index, entry=logged.entry)


def _heads(heads: Heads, fleet: Fleet) -> pb.LogHeadReply:
    return pb.LogHeadReply(
        checkpoint=heads.checkpoint,
        earlier=heads.earlier,
        size=heads.size,
        fleet=fleet.name,
    )


def _proof(proved: ProvedEntry, _fleet: Fleet) -> pb.ProveLogReply:
    proof = proved.proof
    return pb.ProveLogReply(
        entry=proof.entry,
        index=proof.index,
        path=proof.path,
        checkpoint=proof.checkpoint,
        growth=proved.growth,
        restorations=proved.restorations,
    )


ROWS: Final[tuple[Rpc[Any, Any, Any] | StreamRpc[Any, Any, Any, Any], ...]] = (
    StreamRpc("ReadLog", ReadLog.parse, _row),
    Rpc("LogHead", LogHead.parse, _heads),
    Rpc("ProveLog", ProveLog.parse, _proof),
)
