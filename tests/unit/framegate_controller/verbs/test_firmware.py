"""Verbs on profiles, rollouts and evidence."""

from dataclasses import replace

import pytest

from framegate.errors import Malformed, Reason
from framegate.identity.names import DeviceId
from framegate.profile.model import PROFILE_TYPE
from framegate.signed.dsse import seal_envelope
from framegate.wire import sha256
from framegate_controller.events.notices import AttestNow, DeviceChanged
from framegate_controller.rpc import evidence, profiles, rollouts
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_simulators.fixtures.verbs import AllowedCaller
from framegate_simulators.machine.boot import Firmware, profile_toml
from framegate_simulators.machine.ima import allowlist_of
from support.refusals import refusal

CAMERA = Firmware("simulated-camera")


UPDATED = replace(CAMERA, kernel="kernel 6.12.10", release="12.10")


CAM = DeviceId("camera.line-1.cam1")


NAME = "simulated-camera"


@pytest.fixture
def desk(bench):
    return AllowedCaller(bench.store, bench.fleet, (*profiles.ROWS, *rollouts.ROWS, *evidence.ROWS))


def toml(revision=2, firmware=UPDATED):
    return profile_toml(firmware, NAME, revision).encode()


def importing(bench, revision=2, firmware=UPDATED, **members):
    key = bench.keys.signing["profile"]
    envelope = seal_envelope(PROFILE_TYPE, toml(revision, firmware), key.der, key.sign)
    return pb.ImportProfileRequest(
        envelope=envelope, allowlists=[allowlist_of(firmware.model, firmware.release)], **members
    )


def test_a_profile_is_imported_listed_and_shown(bench, desk):
    bench.enrol()
    row = desk.ask("ImportProfile", importing(bench, for_rollout=True))
    assert (row.name, row.revision, row.in_force, row.devices, desk.told) == (NAME, 2, False, 1, ())
    assert (desk.aim.verb, desk.aim.target, desk.aim.summary) == (
        "profile.import",
        NAME,
        f"firmware profile {NAME} {row.version} revision 2",
    )
    assert refusal(desk, "ImportProfile", importing(bench)) == Reason.CONFLICT
    row = desk.ask("ImportProfile", importing(bench, 3))
    assert row.in_force and desk.aim.summary.endswith("revision 3, in force at once")
    listed = desk.ask("ListProfiles", pb.ListRequest()).profiles
    assert [(p.name, p.revision, p.in_force, p.problem) for p in listed if p.name == NAME] == [
        (NAME, 3, True, ""),
        (NAME, 2, False, ""),
        (NAME, 1, False, ""),
    ]
    shown = desk.ask("ShowProfile", pb.ProfileRequest(name=NAME))
    assert (shown.row.revision, shown.toml) == (3, toml(3))
    assert desk.ask("ShowProfile", pb.ProfileRequest(name=NAME, revision=2)).toml == toml(2)
    assert refusal(desk, "ShowProfile", pb.ProfileRequest(name="nobody")) == Reason.NOT_FOUND
    details = [e["detail"] for e in bench.events("profile-added")][-2:]
    signer = row.signer
    assert details == [
        f"{NAME} {row.version} revision 2, signed by {signer}, not in force",
        f"{NAME} {row.version} revision 3, signed by {signer}",
    ]
    with pytest.raises(Malformed):
        desk.ask("ImportProfile", pb.ImportProfileRequest(envelope=b"{}"))


def test_an_import_that_needs_an_allowlist_nobody_gave_leaves_nothing(bench, desk):
    asked = importing(bench, firmware=replace(UPDATED, release="99"))
    del asked.allowlists[:]
    assert refusal(desk, "ImportProfile", asked) == Reason.ALLOWLIST
    assert len(desk.ask("ListProfiles", pb.ListRequest()).profiles) == 2


def test_suspects_that_a_new_revision_affirms_are_asked_for_a_fresh_quote(bench, desk):
    forge = bench.enrol()
    bench.clock.pass_s(60)
    forge.firmware = UPDATED
    forge.clock = replace(forge.clock, reset_count=forge.clock.reset_count + 1)
    forge.boot()
    assert bench.join(forge).state == "suspect"
    desk.ask("ImportProfile", importing(bench, 2, for_rollout=True))
    assert desk.told == () and bench.state() == "suspect"
    desk.ask("ImportProfile", importing(bench, 3))
    assert desk.told == (DeviceChanged(CAM), AttestNow(CAM)) and bench.state() == "stale"
    (moved,) = bench.events("reconsidered")
    assert (moved["actor"], moved["detail"], moved["device"]) == (
        "operator.anna",
        "stored evidence passes revision 3",
        CAM,
    )


def test_a_revoked_signers_profiles_say_so(bench, desk):
    certificate = bench.keys.signing["profile"].der
    asked = pb.RevokeSignerRequest(certificate=certificate, reason="stolen")
    signer = desk.ask("RevokeSigner", asked)
    assert (signer.reason, desk.aim.verb, desk.aim.summary) == (
        "stolen",
        "signer.revoke",
        f"revoke the profile signer {signer.subject}, sha256 {sha256(certificate).hex()}",
    )
    again = desk.ask(
        "RevokeSigner", pb.RevokeSignerRequest(certificate=certificate, reason="again")
    )
    assert again == signer and [e["detail"] for e in bench.events("profile-signer-revoked")] == [
        f"{signer.subject}: stolen"
    ]
    assert all("stolen" in p.problem for p in desk.ask("ListProfiles", pb.ListRequest()).profiles)
    assert refusal(desk, "ShowProfile", pb.ProfileRequest(name=NAME)) == Reason.PROFILE_INVALID
    assert refusal(desk, "ImportProfile", importing(bench)) == Reason.PROFILE_INVALID
    assert profiles.ROWS[3].parse(asked).reason == "stolen"


@pytest.mark.parametrize("label", ["grant", "log"])
def test_only_profile_signers_can_be_revoked_as_such(bench, desk, label):
    assert (
        refusal(
            desk, "RevokeSigner", pb.RevokeSignerRequest(certificate=bench.keys.signing[label].der)
        )
        == Reason.CERTIFICATE
    )
    with pytest.raises(Malformed):
        desk.ask("RevokeSigner", pb.RevokeSignerRequest(certificate=b"no"))


def test_a_rollout_is_started_changed_and_seen_as_far_as_zones_are(bench, desk):
    bench.enrol()
    desk.ask("ImportProfile", importing(bench, for_rollout=True))
    started = desk.ask(
        "StartRollout",
        pb.StartRolloutRequest(profile=NAME, canary=1, waves=[100], max_fail=1, soak_s=60),
    )
    assert (
        started.state,
        started.step,
        started.from_revision,
        started.to_revision,
        started.note,
    ) == ("running", "canary", 1, 2, "canary begins")
    assert [(d.device, d.step, d.seen, d.state) for d in started.devices] == [
        (CAM, "canary", "waiting", "trusted")
    ]
    assert (desk.aim.verb, desk.aim.target, desk.aim.summary) == (
        "rollout.change",
        NAME,
        f"roll out {NAME}",
    )
    paused = desk.ask(
        "ChangeRollout", pb.ChangeRolloutRequest(rollout=started.rollout[:3], verb="pause")
    )
    assert (paused.state, paused.note, desk.aim.summary) == (
        "paused",
        "pause by operator.anna",
        f"pause rollout {started.rollout[:3]}",
    )
    assert (
        refusal(
            desk, "ChangeRollout", pb.ChangeRolloutRequest(rollout=started.rollout, verb="pause")
        )
        == Reason.TRANSITION
    )
    assert (
        refusal(desk, "ChangeRollout", pb.ChangeRolloutRequest(rollout="zz", verb="pause"))
        == Reason.NOT_FOUND
    )
    for request in (pb.RolloutRequest(), pb.RolloutRequest(rollout=started.rollout)):
        (shown,) = desk.ask("ShowRollouts", request).rollouts
        assert len(shown.devices) == 1 and shown.state == "paused"
    desk.zones = frozenset({"line-2"})
    assert not desk.ask("ShowRollouts", pb.RolloutRequest()).rollouts[0].devices
    with pytest.raises(Malformed):
        desk.ask("StartRollout", pb.StartRolloutRequest(profile=NAME, waves=range(1, 22)))
    told = [
        (e["event"], e["actor"], e["detail"])
        for e in bench.events()
        if e["event"].startswith("rollout-")
    ]
    assert told == [
        (
            "rollout-started",
            "operator.anna",
            f"{started.rollout}: {NAME} revision 1 -> 2, 1 devices",
        ),
        ("rollout-paused", "operator.anna", f"{started.rollout}: pause by operator.anna"),
    ]


def test_what_a_machine_last_showed(bench, desk):
    assert refusal(desk, "Observe", pb.DeviceRequest(device="cam1")) == Reason.NOT_FOUND
    forge = bench.enrol()
    seen = desk.ask("Observe", pb.DeviceRequest(device="cam1"))
    assert (seen.device, seen.state, seen.profile, list(seen.quirks)) == (CAM, "trusted", NAME, [])
    assert (
        seen.boot_log == forge.log
        and seen.ima
        and seen.at_ms == bench.clock()
        and list(seen.pcrs) == list(range(11))
    )
    assert (desk.aim.verb, desk.aim.zone, desk.aim.target) == ("device.observe", "line-1", CAM)
    bench.sql("DELETE FROM ima_segments")
    assert refusal(desk, "Observe", pb.DeviceRequest(device="cam1")) == Reason.NOT_FOUND


def test_kept_evidence_is_appraised_by_another_profile_and_nothing_changes(bench, desk):
    bench.enrol()
    bench.enrol("cam2")
    before = bench.device()
    rows = desk.ask("Replay", pb.ReplayRequest(toml=toml(9, CAMERA)))
    assert [(r.device, r.was, r.would, r.count) for r in rows] == [
        (CAM, True, True, 1),
        ("camera.line-1.cam2", True, True, 1),
    ]
    (row,) = desk.ask(
        "Replay",
        pb.ReplayRequest(toml=toml(9), device="cam1", allowlists=[allowlist_of(NAME, "12.10")]),
    )
    assert (
        row.was
        and not row.would
        and row.failures
        and not row.problem
        and row.was_profile.startswith(NAME)
    )
    assert desk.ask("Replay", pb.ReplayRequest(toml=toml(9), since_ms=bench.clock() + 1)) == []
    desk.zones = frozenset({"line-2"})
    assert desk.ask("Replay", pb.ReplayRequest(toml=toml(9))) == []
    desk.zones = None
    bench.sql("DELETE FROM boot_logs")
    assert all(
        r.problem and not r.would
        for r in desk.ask("Replay", pb.ReplayRequest(toml=toml(9, CAMERA)))
    )
    assert bench.device() == before
    with pytest.raises(Malformed):
        desk.ask("Replay", pb.ReplayRequest(toml=b"no"))
