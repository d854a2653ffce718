"""Metrics and checks of a gateway: what it shows to whoever watches it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from framegate.signed.statement import Outcome
from framegate_gateway.ports.gateway_status import StatusReport
from framegate_gateway.receipts.store import ReceiptStore
from framegate_host.telemetry.exposition import Exposition
from framegate_host.telemetry.families import (
    REASONS,
    SHARED,
    Family,
    FamilyKind,
    Label,
    Reading,
    each,
)
from framegate_host.telemetry.health import Checks
from framegate_proto.call_times import CALLS, OUTCOMES, CallTimes
from framegate_proto.traces import NoTraces, Traces

_REASON: Final = (Label("reason", REASONS),)
VERDICTS: Final = Family(
    "framegate_gateway_verdicts_total",
    FamilyKind.COUNTER,
    "Parts by what became of them, triggers that no frame came for among UNINSPECTED.",
    (Label("outcome", frozenset(o.value for o in Outcome)),),
)
UNINSPECTED: Final = Family(
    "framegate_gateway_uninspected_total",
    FamilyKind.COUNTER,
    "Parts that were not inspected, by reason.",
    _REASON,
)
UNANSWERED: Final = Family(
    "framegate_gateway_unanswered_total",
    FamilyKind.COUNTER,
    "Frames that got no answer at all, by reason: they did not open, or a budget was spent.",
    _REASON,
)
INSPECTION: Final = Family(
    "framegate_gateway_inspection_duration_seconds",
    FamilyKind.HISTOGRAM,
    "From a frame that was admitted to what the model says of it.",
    (),
    (0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6),
)
LAST_ACCEPTED: Final = Family(
    "framegate_gateway_last_accepted_timestamp_seconds",
    FamilyKind.GAUGE,
    "When a frame was last inspected; 0 for never.",
)
CAMERA_FRAME: Final = Family(
    "framegate_gateway_camera_frame_timestamp_seconds",
    FamilyKind.GAUGE,
    "When the last frame of a camera came; cameras that are in the trust feed alone.",
    (Label("camera", None),),
)
STREAMS: Final = Family(
    "framegate_gateway_streams", FamilyKind.GAUGE, "Streams of cameras that stand."
)
GATE: Final = Family(
    "framegate_gateway_gate_open",
    FamilyKind.GAUGE,
    "1 while frames may be admitted at all: a warrant, and a trust feed that is heard.",
)
MODEL_STOPPED: Final = Family(
    "framegate_gateway_model_stopped",
    FamilyKind.GAUGE,
    "1 while the model is stopped because it deviated.",
)
UNLOGGED: Final = Family(
    "framegate_gateway_unlogged_batches",
    FamilyKind.GAUGE,
    "Signed batches of receipts that are not in the controller's record yet.",
)
BROKER: Final = Family(
    "framegate_gateway_broker_connected",
    FamilyKind.GAUGE,
    "1 while the broker is connected; absent where none is set.",
)
VAULT: Final = Family(
    "framegate_gateway_vault_open", FamilyKind.GAUGE, "1 where the frame vault is open."
)
CALLS_TOTAL: Final = Family(
    "framegate_gateway_calls_total",
    FamilyKind.COUNTER,
    "Calls at the gateway's ports that ended, by what became of them.",
    (Label("call", CALLS), Label("outcome", OUTCOMES)),
)
CALL_TIMES: Final = Family(
    "framegate_gateway_call_duration_seconds",
    FamilyKind.HISTOGRAM,
    "How long calls with one answer took.",
    (Label("service", frozenset({"GatewayOperator", "GRPCInferenceService"})),),
    (0.01, 0.05, 0.1, 0.5, 1.0, 5.0),
)
FAMILIES: Final = (
    *SHARED,
    CALLS_TOTAL,
    CALL_TIMES,
    VERDICTS,
    UNINSPECTED,
    UNANSWERED,
    INSPECTION,
    LAST_ACCEPTED,
    CAMERA_FRAME,
    STREAMS,
    GATE,
    MODEL_STOPPED,
    UNLOGGED,
    BROKER,
    VAULT,
)
"""All of a gateway's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayMetrics:
    """Reads what a gateway shows. `report` has the parts that know something."""

    report: StatusReport
    receipts: ReceiptStore
    vault_open: bool
    traces: Traces = field(default_factory=NoTraces)
    exposition: Exposition = field(default_factory=lambda: Exposition(FAMILIES))

    calls: CallTimes = field(init=False)

    def __post_init__(self) -> None:
        told = self.exposition.timings(CALL_TIMES).took
        object.__setattr__(self, "calls", CallTimes(told, self.traces.call_span))

    @property
    def checks(self) -> Checks:
        """What has to hold for frames to be inspected."""
        report = self.report
        checks = [
            ("warrant", lambda: "" if report.keys.credentials else report.keys.refused or "none"),
            ("trust-feed", lambda: "" if report.view.open else "not heard, or behind"),
            ("model", self._model_serves),
            ("receipts", lambda: self.receipts.failed),
        ]
        broker = report.broker
        if broker is not None:
            checks.append(("broker", lambda: "" if broker.connected else "away"))
        return Checks(checks)

    async def read(self) -> list[Reading]:
        """Every series of this moment; counts are the event loop's, and read there."""
        here = list(self._here())
        unlogged = await asyncio.to_thread(self.receipts.count_unlogged)
        return [*here, Reading(UNLOGGED, unlogged)]

    def _here(self) -> Iterator[Reading]:
        report, journal = self.report, self.report.journal
        yield from each(VERDICTS, journal.outcomes)
        yield from each(UNINSPECTED, journal.refusals)
        yield from each(UNANSWERED, journal.unanswered)
        yield Reading(LAST_ACCEPTED, journal.last_accept_ms / 1000)
        rows = list(journal.traffic.rows(report.view.now_ms()))
        yield Reading(STREAMS, sum(row.streams for row in rows))
        for row in rows:
            if row.last_frame_ms and report.view.knows(row.device):
                yield Reading(CAMERA_FRAME, row.last_frame_ms / 1000, (row.device,))
        yield Reading(GATE, bool(report.view.open and report.keys.credentials))
        yield Reading(MODEL_STOPPED, report.models.barred is not None)
        if report.broker is not None:
            yield Reading(BROKER, report.broker.connected)
        yield Reading(VAULT, self.vault_open)
        for names, count in self.calls.ended.copy().items():
            yield Reading(CALLS_TOTAL, count, names)

    def _model_serves(self) -> str:
        barred = self.report.models.barred
        return f"stopped: {barred}" if barred is not None else ""
