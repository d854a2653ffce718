"""A machine under another profile: what it proved before ends, and nothing is forgiven."""

from dataclasses import replace

import pytest

from framegate.errors import Reason
from framegate.machines.lifecycle import State
from framegate_controller.events.notices import AttestNow, DeviceChanged
from framegate_controller.fleet.profile_assignment import assign_profile
from framegate_controller.fleet.profiles import add_profile
from framegate_controller.verbs.device_profiles import AssignProfile
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_simulators.machine.boot import Firmware, profile_toml
from support.machine_changes import CAM, done
from support.refusals import refused

OTHER = "other-camera"


@pytest.fixture(autouse=True)
def other(bench):
    """Another profile for cameras; one of a gateway's host is refused (`test_profile_kinds`)."""
    with bench.store.writing() as tx:
        add_profile(tx, bench.fleet.keys, profile_toml(Firmware(OTHER, ima=False), OTHER).encode())


def test_a_trusted_machine_is_stale_until_it_satisfies_the_new_profile(trusted_camera):
    bench = trusted_camera
    done(bench, assign_profile, OTHER, "another model")
    with bench.store.reading() as tx:
        after = tx.devices.get(CAM)
    assert after.profile == OTHER and after.state == State.STALE
    assert after.standing.expires_ms <= bench.clock()
    (event,) = bench.events("profile-assigned")
    assert event["detail"] == f"simulated-camera -> {OTHER}: another model"


@pytest.mark.parametrize(
    "state", [State.SUSPECT, State.QUARANTINED, State.PENDING, State.STALE, State.INVITED]
)
def test_another_profile_releases_nobody(trusted_camera, state):
    bench = trusted_camera
    with bench.store.writing() as tx:
        tx.devices.put(replace(tx.devices.get(CAM), state=state))
    done(bench, assign_profile, OTHER, "")
    with bench.store.reading() as tx:
        after = tx.devices.get(CAM)
    assert (after.state, after.profile) == (state, OTHER)


@pytest.mark.parametrize(
    ("state", "profile", "reason"),
    [
        (State.RETIRED, OTHER, Reason.TRANSITION),
        (State.TRUSTED, "simulated-camera", Reason.CONFLICT),
        (State.TRUSTED, "nobody-signed-it", Reason.PROFILE_MISSING),
    ],
)
def test_what_is_refused_changes_nothing(trusted_camera, state, profile, reason):
    bench = trusted_camera
    with bench.store.writing() as tx:
        before = tx.devices.put(replace(tx.devices.get(CAM), state=state))
    assert refused(lambda: done(bench, assign_profile, profile, "")) == reason
    with bench.store.reading() as tx:
        assert tx.devices.get(CAM) == before
    assert not bench.events("profile-assigned")


def test_the_verb_tells_gateways_and_asks_for_evidence_at_once(trusted_camera):
    request = pb.AssignProfileRequest(device="cam", profile=OTHER, reason="w" * 900)
    verb = AssignProfile.parse(request)
    assert len(verb.reason) == 500
    with trusted_camera.store.writing() as tx:
        aim = verb.aim(tx)
        tell = verb.run(tx, None).tell
    assert (aim.verb, aim.zone, aim.target) == ("device.profile", "line-1", CAM)
    assert OTHER in aim.summary and "simulated-camera" in aim.summary
    assert tell == (DeviceChanged(CAM), AttestNow(CAM))


@pytest.mark.parametrize("profile", ["", "a b", "../x", "x" * 80])
def test_a_profile_without_a_proper_name_is_refused(profile):
    request = pb.AssignProfileRequest(device="cam", profile=profile)
    assert refused(lambda: AssignProfile.parse(request)) == Reason.USAGE
