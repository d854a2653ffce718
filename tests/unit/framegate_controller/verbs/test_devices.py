"""Changes of a device as a verb."""

from dataclasses import replace

import pytest

from framegate.machines.lifecycle import State
from framegate_controller.events.notices import AttestNow, DeviceChanged
from framegate_controller.verbs.devices import Change, ChangeDevice
from framegate_proto.v1 import framegate_pb2 as pb
from support.machine_changes import CAM


@pytest.mark.parametrize("change", list(Change))
def test_a_change_says_whom_to_tell_and_is_asked_of_the_zone(trusted_camera, change):
    state = {Change.RELEASE: State.QUARANTINED, Change.APPROVE: State.PENDING}.get(
        change, State.TRUSTED
    )
    with trusted_camera.store.writing() as tx:
        tx.devices.put(replace(tx.devices.get(CAM), state=state))
    verb = ChangeDevice.parse(pb.ChangeRequest(device="cam", event=change.value, reason="w" * 900))
    assert len(verb.reason) == 500
    with trusted_camera.store.writing() as tx:
        aim = verb.aim(tx)
        tell = verb.run(tx, None).tell
    assert (aim.verb, aim.zone, aim.target) == (
        "device.lift" if change == Change.RELEASE else f"device.{change}",
        "line-1",
        CAM,
    )
    asks, changes = (AttestNow(CAM),), (DeviceChanged(CAM),)
    expected = {
        Change.ATTEST_NOW: asks,
        Change.RELEASE: changes + asks,
        Change.APPROVE: changes + asks,
    }
    assert tell == expected.get(change, changes)
