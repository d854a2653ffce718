"""What machines and gateways are told, as messages of the wire."""

from __future__ import annotations

from typing import Final

from framegate.record.following import LogPosition
from framegate_controller.events.messages import (
    AccessTrust,
    DeviceTrust,
    MachineEvent,
    OperatorTrust,
    TrustUpdate,
    Wake,
)
from framegate_proto.v1 import framegate_pb2 as pb

_WAKES: Final = {
    Wake.STATE: pb.WatchEvent.STATE,
    Wake.ATTEST_NOW: pb.WatchEvent.ATTEST_NOW,
    Wake.GRANTS_CHANGED: pb.WatchEvent.GRANTS_CHANGED,
}


def to_watch_event(
    event: MachineEvent | None, beat_s: float, log: LogPosition | None = None
) -> pb.WatchEvent:
    """An event for a machine, which hears the next one within `beat_s`; none is a heartbeat. `log`
    goes with the first one.
    """
    beat_ms = round(1000 * beat_s)
    if event is None:
        return pb.WatchEvent(kind=pb.WatchEvent.HEARTBEAT, beat_ms=beat_ms)
    return pb.WatchEvent(
        kind=_WAKES[event.wake],
        state=event.state or "",
        revoked_publics=event.revoked,
        log=to_log_position(log),
        beat_ms=beat_ms,
    )


def to_log_position(log: LogPosition | None) -> pb.LogPosition | None:
    """Where the record stands, None where no head was ever signed."""
    if log is None:
        return None
    return pb.LogPosition(
        checkpoint=log.checkpoint, growth=log.growth, restorations=log.restorations
    )


def to_trust_update(update: TrustUpdate, log: LogPosition | None = None) -> pb.TrustUpdate:
    """A message of the trust feed; what did not change is absent, not empty. `log` goes with a
    snapshot.
    """
    if log is None and update.head:
        log = LogPosition(update.head, (), ())
    return pb.TrustUpdate(
        revision=update.revision,
        snapshot=update.snapshot,
        devices=[_device(d) for d in update.devices],
        controller=update.controller,
        now_ms=update.now_ms,
        access=_access(update.access) if update.access is not None else None,
        parts=pb.PartsUpdate(parts=update.parts) if update.parts is not None else None,
        log=to_log_position(log),
        stage=update.stage,
    )


def _device(trust: DeviceTrust) -> pb.DeviceTrust:
    return pb.DeviceTrust(
        device=trust.device,
        state=trust.state,
        result_id=trust.standing.result_id,
        remaining_ms=trust.remaining_ms,
        spki_sha256=trust.spki_sha256,
        evidence_sha256=trust.standing.evidence_sha256,
        firmware_profile=trust.standing.profile,
        firmware_profile_sha256=trust.standing.profile_sha256,
        facts=trust.facts,
        masks=trust.masks,
    )


def _access(access: AccessTrust) -> pb.AccessUpdate:
    return pb.AccessUpdate(
        policy=access.policy,
        operators=[_operator(o) for o in access.operators],
        quorum=access.quorum,
        grace=access.grace,
        frozen=access.frozen,
        authorities=access.authorities,
        model_pin=access.model_pin,
        sites=[pb.SiteTrust(name=s.name, bundle=s.bundle, trusted=s.trusted) for s in access.sites],
    )


def _operator(operator: OperatorTrust) -> pb.OperatorTrust:
    sessions = [
        pb.SessionTrust(
            spki_sha256=s.spki_sha256,
            expires_ms=s.expires_ms,
            factor_ms=s.factor_ms,
            break_glass=s.break_glass,
        )
        for s in operator.sessions
    ]
    return pb.OperatorTrust(name=operator.name, roles=operator.roles, sessions=sessions)
