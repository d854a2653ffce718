"""Rows of the operator's port: the fleet at a glance, its events, and what a result rests on."""

from __future__ import annotations

import json
from typing import Final

from framegate.registry.evidence import KeptResult
from framegate_controller.context import Fleet
from framegate_controller.rpc.table import AnyRpc, Rpc, WatchRpc
from framegate_controller.store.ports import LoggedEntry
from framegate_controller.verbs.fleet import Events, FleetStatus, FleetView, ShowResult
from framegate_proto.v1 import framegate_pb2 as pb


def to_event(logged: LoggedEntry) -> pb.EventRow:
    """An entry of the record as a message, out of the bytes that were logged."""
    entry = json.loads(logged.entry)
    return pb.EventRow(
        index=logged.index,
        at_ms=logged.at_ms,
        device=entry.get("device", ""),
        event=entry.get("event", logged.kind),
        actor=entry.get("actor", entry.get("gateway", "")),
        detail=entry.get("detail", ""),
        from_state=entry.get("from", ""),
        to_state=entry.get("to", ""),
        source=entry.get("source", ""),
        approved_by=entry.get("approved_by", []),
        reason=entry.get("reason", ""),
        verb=entry.get("verb", ""),
        policies=entry.get("policies", []),
    )


def _events(entries: list[LoggedEntry], _fleet: Fleet) -> pb.EventsReply:
    return pb.EventsReply(events=[to_event(e) for e in entries])


def _status(view: FleetView, fleet: Fleet) -> pb.FleetStatusReply:
    return pb.FleetStatusReply(
        fleet=fleet.name,
        controller=fleet.controller,
        states={state.value: count for state, count in view.states.items()},
        revision=view.revision,
        attest_interval_ms=fleet.timing.interval_ms,
        watchers=view.listening.watchers,
        feeds=view.listening.feeds,
    )


def _result(kept: KeptResult, fleet: Fleet) -> pb.ResultReply:
    return pb.ResultReply(
        result_id=kept.id,
        device=kept.device,
        at_ms=kept.at_ms,
        evidence_sha256=kept.evidence_sha256,
        quote=kept.quote,
        signature=kept.signature,
        ak_public=kept.ak_public,
        firmware_profile=kept.profile,
        firmware_profile_sha256=kept.profile_sha256,
        ear=kept.ear,
        ear_certificate=fleet.keys.signing["result"].der,
        evidence=kept.evidence,
    )


ROWS: Final[tuple[AnyRpc, ...]] = (
    Rpc("FleetStatus", FleetStatus.parse, _status),
    Rpc("Events", Events.parse, _events),
    WatchRpc("WatchEvents", Events.parse, _events),
    Rpc("Result", ShowResult.parse, _result),
)
