"""Rows of the operator's port: kept evidence."""

from __future__ import annotations

from typing import Any, Final

from framegate.profile.posture import posture_text
from framegate_controller.context import Fleet
from framegate_controller.fleet.replay import Replayed
from framegate_controller.rpc.table import Rpc, StreamRpc
from framegate_controller.verbs.evidence import Observe, Observed, Replay
from framegate_proto.edge import to_failures
from framegate_proto.v1 import framegate_pb2 as pb


def _observation(seen: Observed, _fleet: Fleet) -> pb.Observation:
    device, kept = seen.device, seen.kept
    return pb.Observation(
        device=device.id,
        state=device.state,
        profile=device.profile,
        boot_log=seen.boot_log,
        ima=seen.ima,
        posture=posture_text(device.shown.posture.encode(errors="replace")),
        tpm_firmware=device.shown.firmware_version,
        quirks=seen.quirks,
        at_ms=kept.last_ms,
        pcrs=kept.pcrs,
    )


def _replayed(replayed: Replayed) -> pb.ReplayRow:
    kept = replayed.kept
    return pb.ReplayRow(
        device=kept.device,
        evidence=kept.id,
        first_ms=kept.first_ms,
        last_ms=kept.last_ms,
        count=kept.count,
        was=kept.affirming,
        would=replayed.affirming,
        failures=to_failures(replayed.failures),
        problem=replayed.problem,
        was_profile=kept.profile,
    )


ROWS: Final[tuple[Rpc[Any, Any, Any] | StreamRpc[Any, Any, Any, Any], ...]] = (
    Rpc("Observe", Observe.parse, _observation),
    StreamRpc("Replay", Replay.parse, _replayed),
)
