"""What a gateway process says of itself to operators: its model, its counts, what each camera sent
lately, and its connections.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass

from framegate_gateway.inference.fleet_parts import FleetParts
from framegate_gateway.inference.models import Models
from framegate_gateway.inference.pinned_model import PinnedModel
from framegate_gateway.receipts.retention import ReceiptRetention, receipts_kept
from framegate_gateway.trust.feed import TrustView
from framegate_gateway.trust.keys import GatewayKeys
from framegate_gateway.verdicts.journal import Journal
from framegate_gateway.verdicts.lines import Lines
from framegate_gateway.verdicts.publish import Publisher
from framegate_proto.v1 import framegate_pb2 as pb


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusReport:
    """The parts of the process that know something; None where this one has none."""

    keys: GatewayKeys
    view: TrustView
    models: Models
    journal: Journal
    pinned: PinnedModel | None = None
    parts: FleetParts | None = None
    broker: Publisher | None = None
    lines: Lines | None = None
    retention: ReceiptRetention | None = None

    async def reply(self) -> pb.GatewayStatus:
        """Counts and health of this moment."""
        kept = await asyncio.to_thread(receipts_kept, self.retention)
        credentials, now = self.keys.credentials, self.view.now_ms()
        return pb.GatewayStatus(
            gateway=credentials.device if credentials else "",
            model_sha256=self.models.bundle.digest.hex(),
            outcomes=dict(self.journal.outcomes),
            refusals=dict(self.journal.refusals),
            gate_open=self.view.open and credentials is not None,
            isolation=self.models.engine.isolation,
            last_accept_ms=self.journal.last_accept_ms,
            model=self.models.bundle.name,
            model_state=self._model_state(),
            known_answers=self.models.engine.known_answers,
            parts=len(self.parts) if self.parts is not None else 0,
            unanswered=dict(self.journal.unanswered),
            receipts=kept,
            cameras=[pb.CameraTraffic(**asdict(c)) for c in self.journal.traffic.rows(now)],
            broker=self._broker(),
            lines=[
                pb.LineRow(
                    line=row.state.line,
                    taking=row.state.taking,
                    refusing=row.state.refusing,
                    heard_ms=row.heard_ms,
                    stage=row.state.stage,
                )
                for row in (self.lines.rows() if self.lines is not None else ())
            ],
            now_ms=now,
            decisions=self.view.decisions,
        )

    def _broker(self) -> str:
        if self.broker is None:
            return ""
        return "connected" if self.broker.connected else "away"

    def _model_state(self) -> str:
        """In words: pinned or not, stopped and why, or waiting for the pinned one."""
        pinned, stopped = self.pinned, self.models.barred
        if pinned is not None and pinned.pin is not None and pinned.problem is not None:
            nothing = "nothing is inspected: " if stopped is not None else ""
            return (
                f"{nothing}{pinned.pin.name} {pinned.pin.version} is pinned and not in force:"
                f" {pinned.problem}"
            )
        if stopped is not None:
            return f"stopped: {stopped}"
        if pinned is None or pinned.pin is None:
            return "not pinned, its host's choice"
        return f"pinned, signed by {pinned.pin.signer}"
