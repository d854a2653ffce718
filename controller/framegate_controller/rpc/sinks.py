"""Rows of the operator's port: sinks of the record."""

from __future__ import annotations

from typing import Any, Final

from framegate.registry.sink import TRAITS, Sink
from framegate_controller.context import Fleet
from framegate_controller.rpc.table import Rpc
from framegate_controller.verbs.sinks import AddSink, ListSinks, RemoveSink, SinksView, TestSink
from framegate_proto.v1 import framegate_pb2 as pb


def _row(sink: Sink) -> pb.SinkRow:
    return pb.SinkRow(
        name=sink.name,
        kind=sink.kind,
        address=sink.address,
        channel=sink.channel,
        ocsf=sink.version,
        first=sink.first,
        confirmed=sink.confirmed,
        confirmed_ms=sink.confirmed_ms,
        failing_ms=sink.failing_ms,
        failures=sink.failures,
        error=sink.error,
        silent=sink.silent,
        dead=sink.dead,
        by=sink.by,
        added_ms=sink.added_ms,
        confirms=TRAITS[sink.kind].confirms,
    )


def _one(sink: Sink, _fleet: Fleet) -> pb.SinkRow:
    return _row(sink)


def _all(view: SinksView, _fleet: Fleet) -> pb.SinksReply:
    return pb.SinksReply(sinks=map(_row, view.sinks), size=view.size)


def _tested(index: int, _fleet: Fleet) -> pb.TestSinkReply:
    return pb.TestSinkReply(index=index)


ROWS: Final[tuple[Rpc[Any, Any, Any], ...]] = (
    Rpc("ListSinks", ListSinks.parse, _all),
    Rpc("AddSink", AddSink.parse, _one),
    Rpc("RemoveSink", RemoveSink.parse, _one),
    Rpc("TestSink", TestSink.parse, _tested),
)
