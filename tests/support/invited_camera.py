"""A camera's row as an invitation leaves it."""

from framegate.identity.names import DeviceId, Kind
from framegate.machines.lifecycle import State
from framegate.registry.device import Device

CAMERA = Device(
    id=DeviceId("camera.line-1.cam1"),
    kind=Kind.CAMERA,
    zone="line-1",
    name="cam1",
    state=State.INVITED,
    since_ms=1,
    profile="p",
)
