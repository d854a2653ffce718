"""N82, N89, N100, N115: trust that ended, ran out or was not heard of opens no gate."""

from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import Reason, Refused
from framegate_gateway.trust.access import AccessView
from framegate_gateway.trust.feed import SILENCE_S, TrustView
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_simulators.fixtures.access import access_update
from support.frames import CAMERA, HEAD, SoftKey, opened
from support.refusals import refused


def test_n100_camera_that_is_not_trusted_now_with_a_certificate_that_lives(door):
    link, session = door.opened()
    frame = opened(link, session.seal(HEAD, b"image"))
    for state, reason in (
        ("quarantined", Reason.QUARANTINED),
        ("suspect", Reason.SUSPECT),
        ("stale", Reason.STALE),
        ("retired", Reason.NOT_TRUSTED),
        ("pending", Reason.NOT_TRUSTED),
    ):
        door.trust(state)
        assert refused(lambda: link.admit(frame)) == reason
    door.trust()
    assert link.admit(frame).image == b"image"


def test_n100_result_that_ran_out(door):
    link, session = door.opened()
    door.trust(remaining_ms=500)
    door.now_s += 0.6
    frame = opened(link, session.seal(HEAD, b"image"))
    assert refused(lambda: link.admit(frame)) == Reason.STALE


def test_n100_host_that_lost_its_standing(door):
    link, session = door.opened()
    door.trust(host_state="suspect")
    frame = opened(link, session.seal(HEAD, b"image"))
    assert refused(lambda: link.admit(frame)) == Reason.SUSPECT
    door.keys.credentials = None
    assert refused(lambda: link.admit(frame)) == Reason.NOT_TRUSTED


def test_n100_an_earlier_key_of_the_same_camera(door):
    link, _ = door.opened()
    door.trust(spki=b"x" * 32)
    assert refused(link.standing) == Reason.CERTIFICATE


def test_n82_certificate_that_expires_on_an_open_channel(door):
    door.certificate = door.issue(CAMERA, door.key, timedelta(seconds=2))
    link, session = door.opened()
    frame = opened(link, session.seal(HEAD, b"image"))
    door.view.clock_offset_ms += 3000
    assert refused(lambda: link.admit(frame)) == Reason.CERTIFICATE_EXPIRED
    door.view.clock_offset_ms -= 3000
    fresh = door.issue(CAMERA, door.key)
    link.refresh(fresh.public_bytes(Encoding.DER))
    door.view.clock_offset_ms += 3000
    assert link.admit(frame).image == b"image"


def test_n82_refresh_with_another_key_name_or_issuer(door):
    link, _ = door.opened()
    other = SoftKey()
    for certificate in (
        door.issue(CAMERA, other),
        door.issue("camera.line-1.cam2", door.key),
        door.issue(CAMERA, door.key, label="operator-ca"),
    ):
        assert (
            refused(lambda c=certificate: link.refresh(c.public_bytes(Encoding.DER)))
            == Reason.CERTIFICATE
        )
    assert refused(lambda: link.refresh(b"garbage")) == Reason.CERTIFICATE


def test_n89_silence_of_the_feed_closes_the_gate(door):
    link, session = door.opened()
    frame = opened(link, session.seal(HEAD, b"image"))
    door.now_s += SILENCE_S + 0.1
    assert refused(lambda: link.admit(frame)) == Reason.TRUST_FEED
    door.trust()
    assert link.admit(frame)


def test_n89_grace_never_reaches_past_the_result(keys):
    now = [0.0]
    view = TrustView(
        None, AccessView(None, lambda: keys.root.certificate), monotonic=lambda: now[0]
    )
    assert not view.open, "a feed that was never heard is no feed"
    view.apply(
        pb.TrustUpdate(
            revision=1,
            snapshot=True,
            devices=[pb.DeviceTrust(device=CAMERA, state="trusted", remaining_ms=5000)],
            access=access_update(keys, grace=True),
        )
    )
    now[0] = 4.0
    assert view.require(CAMERA)
    now[0] = 5.1
    assert refused(lambda: view.require(CAMERA)) == Reason.STALE


def test_n115_feed_of_a_controller_that_is_behind(door, tmp_path):
    file = tmp_path / "revision"
    root = door.fleet.root.certificate
    view = TrustView(file, AccessView(None, lambda: root))
    view.apply(pb.TrustUpdate(revision=7, snapshot=True, access=door.access))
    assert (
        refused(lambda: view.apply(pb.TrustUpdate(revision=6, snapshot=True)))
        == Reason.CONTROLLER_BEHIND
    )
    restarted = TrustView(file, AccessView(None, lambda: root))
    assert (
        refused(lambda: restarted.apply(pb.TrustUpdate(revision=6, snapshot=True)))
        == Reason.CONTROLLER_BEHIND
    )
    assert not restarted.open


def test_n115_a_change_before_a_snapshot(door):
    view = TrustView(None, AccessView(None, lambda: door.fleet.root.certificate))
    assert refused(lambda: view.apply(pb.TrustUpdate(revision=1))) == Reason.TRUST_FEED
    door.view.disconnected()
    assert refused(lambda: door.trust(snapshot=False)) == Reason.TRUST_FEED


def test_n100_a_gate_that_its_own_host_keeps_shut_says_so(door):
    """A full disk is no silence of the controller: whoever looks there finds nothing."""
    link, _ = door.opened()
    door.now_s += 60
    for lack, told, untold in (
        ("", "when the controller is back", "no room"),
        ("its disk has no room", "silence, for its disk has no room", "controller is back"),
        ("", "when the controller is back", "no room"),
    ):
        door.view.disconnected(lack)
        with pytest.raises(Refused, match=told) as caught:
            link.standing()
        assert untold not in str(caught.value)


@pytest.mark.parametrize(("close", "opens"), [(False, True), (True, False)])
def test_n89_a_gateway_told_to_close_closes_in_silence_whatever_its_zone_chose(keys, close, opens):
    now_s = [0.0]
    root = keys.root.certificate
    view = TrustView(None, AccessView(None, lambda: root), close=close, monotonic=lambda: now_s[0])
    access = access_update(keys, grace=True)
    view.apply(pb.TrustUpdate(revision=1, snapshot=True, access=access))
    assert view.open
    now_s[0] += SILENCE_S + 0.1
    assert view.open is opens


def test_n100_whoever_a_snapshot_leaves_out_is_unknown(keys):
    """A machine that was retired while nobody listened is in no later message."""
    root = keys.root.certificate
    view = TrustView(None, AccessView(None, lambda: root), monotonic=lambda: 0.0)
    trusted = pb.DeviceTrust(device=CAMERA, state="trusted", remaining_ms=60_000)
    access = access_update(keys)
    view.apply(pb.TrustUpdate(revision=1, snapshot=True, access=access, devices=[trusted]))
    assert view.require(CAMERA).state == "trusted"
    view.disconnected()
    view.apply(pb.TrustUpdate(revision=2, snapshot=True, access=access))
    assert refused(lambda: view.require(CAMERA)) == Reason.DEVICE_UNKNOWN
