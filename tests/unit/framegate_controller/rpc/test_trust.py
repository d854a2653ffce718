"""Events for machines as messages."""

from dataclasses import replace

from framegate_controller.events.messages import MachineEvent, Wake
from framegate_controller.rpc.trust import to_watch_event
from framegate_proto.v1 import framegate_pb2 as pb

CAMERA, GATEWAY = "camera.line-1.cam1", "gateway.line-1.gw1"


def test_events_for_machines_as_messages():
    beat = to_watch_event(None, 2.5)
    assert beat == pb.WatchEvent(kind=pb.WatchEvent.HEARTBEAT, beat_ms=2_500)
    assert to_watch_event(MachineEvent(Wake.STATE, "stale"), 1.0) == pb.WatchEvent(
        kind=pb.WatchEvent.STATE, state="stale", beat_ms=1_000
    )
    revoked = to_watch_event(replace(MachineEvent(Wake.GRANTS_CHANGED), revoked=(GATEWAY,)), 1.0)
    assert revoked == pb.WatchEvent(
        kind=pb.WatchEvent.GRANTS_CHANGED, revoked_publics=[GATEWAY], beat_ms=1_000
    )
