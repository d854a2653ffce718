"""N89, N100 to N103, N107, N108, N112, N113, N115: frames, openings, grants and the trust feed, at the gateway's door and the camera's."""

import hashlib
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import FramegateError, Malformed, Reason, Refused
from framegate.identity.certificates import spki_of
from framegate.sframe import Opener, Sealer, encode_header
from framegate.signed.statement import Grant, verify_grant
from framegate.wire import Captured, FrameMetadata, GatewayPublics, sha256
from framegate_agent.camera.session import Demands, FrameSession, hold_grant
from framegate_controller.ca.keys import FleetKeys
from framegate_gateway.admission.link import CameraLink
from framegate_gateway.trust.access import AccessView
from framegate_gateway.trust.feed import SILENCE_S, TrustView
from framegate_gateway.trust.keys import GatewayKeys
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_simulators.fixtures.access import access_update, facts_text
from framegate_simulators.fixtures.gateway import warrant_for

HOST, CAMERA = "gateway.line-1.gw1", "camera.line-1.cam1"


class SoftKey:
    """A TLS key outside any TPM, for tests of what comes after it."""

    def __init__(self) -> None:
        self.private = ec.generate_private_key(ec.SECP256R1())

    def sign_with_tls_key(self, message: bytes) -> bytes:
        return self.private.sign(message, ec.ECDSA(hashes.SHA256()))


class Door:
    """A gateway's admission with a warrant, a feed that says who is trusted, and a camera with a certificate."""

    def __init__(self, fleet: FleetKeys) -> None:
        self.fleet, self.now_s = fleet, 1000.0
        self.view = TrustView(None, AccessView(None, lambda: fleet.root.certificate), monotonic=lambda: self.now_s)
        self.access = access_update(fleet)
        self.keys = GatewayKeys("127.0.0.1:1", "127.0.0.1:2", b"m" * 32)
        self.warrant()
        self.key = SoftKey()
        self.certificate = self.issue(CAMERA, self.key)
        self.revision = 0
        self.trust()

    def warrant(self) -> None:
        raw = self.keys.newest.publics
        self.keys.accept(warrant_for(self.fleet, raw), raw)

    def issue(self, name: str, key: SoftKey, life: timedelta = timedelta(minutes=3), label: str = "device-ca"):
        from framegate.identity.certificates import Purpose
        from framegate_controller.ca.issue import certify
        from framegate_controller.ca.template import leaf_template

        return certify(self.fleet.issuing[label], leaf_template(Purpose.DEVICE, name, key.private.public_key(), life, datetime.now(UTC)))

    def trust(self, state: str = "trusted", *, remaining_ms: int = 60_000, host_state: str = "trusted", spki: bytes | None = None, snapshot: bool = True) -> None:
        self.revision += 1
        digest = sha256(spki_of(self.key.private.public_key())) if spki is None else spki
        devices = [pb.DeviceTrust(device=CAMERA, state=state, remaining_ms=remaining_ms, spki_sha256=digest, result_id="res", facts=facts_text(CAMERA, state=state))]
        devices.append(pb.DeviceTrust(device=HOST, state=host_state, remaining_ms=60_000))
        access = self.access if snapshot else None
        self.view.apply(pb.TrustUpdate(revision=self.revision, snapshot=snapshot, devices=devices, now_ms=time.time_ns() // 1_000_000, access=access))

    def grant(self, nonce: bytes = b"n" * 32, **changes) -> bytes:
        digest, key = self.keys.offered
        publics = GatewayPublics.parse(key.publics)
        grant = Grant(
            grant_id="g", camera=CAMERA, nonce=nonce.hex(), issued_at_ms=time.time_ns() // 1_000_000, ttl_s=60, host=HOST, result_id="r", zone="line-1",
            publics_sha256=digest.hex(), tls_spki_sha256="", hpke_kem=publics.hpke_kem, hpke_public=publics.hpke_public.hex(), address=publics.address,
            model_sha256="", policy="p", mask_version=0, mask_sha256="",
        )  # fmt: skip
        signer = self.fleet.signing["grant"]
        return replace(grant, **changes).seal(signer.der, signer.sign)

    def hold(self, envelope: bytes, nonce: bytes = b"n" * 32):
        authorities = tuple(k.certificate for k in self.fleet.issuing.values())
        return hold_grant(envelope, CAMERA, nonce, time.monotonic(), authorities, self.fleet.root.certificate, time.time_ns() // 1_000_000)

    def link(self) -> CameraLink:
        return CameraLink(self.certificate, self.keys, self.view)

    def session(self, link: CameraLink, **changes) -> FrameSession:
        envelope = self.grant(**changes)
        return FrameSession(self.hold(envelope), link.offer(), "source-1", CAMERA, spki_of(self.key.private.public_key()))

    def opened(self) -> tuple[CameraLink, FrameSession]:
        link = self.link()
        session = self.session(link)
        signed = session.opening(self.key)
        assert link.open(signed.opening, signed.signature) == session.kid
        return link, session


@pytest.fixture
def door(keys: FleetKeys) -> Door:
    return Door(keys)


HEAD = Captured(part="p1", part_type="t", trigger_sequence=1, captured_at_ms=5, uncertainty_ms=1, encoding=1, width=64, height=64, mask_version=0, mask_sha256=b"", size=4)


def refusal(call) -> Reason:
    with pytest.raises(FramegateError) as caught:
        call()
    return caught.value.reason


def test_a_sound_frame_is_admitted_once_and_in_order(door):
    link, session = door.opened()
    for number in range(3):
        frame = session.seal(replace_head(trigger_sequence=number), b"image%d" % number)
        admitted = link.admit(frame.metadata, frame.sealed)
        assert (admitted.image, admitted.counter, admitted.missing, admitted.metadata.trigger_sequence) == (b"image%d" % number, number, 0, number)


def replace_head(**changes) -> Captured:
    return replace(HEAD, **changes)


def test_n100_camera_that_is_not_trusted_now_with_a_certificate_that_lives(door):
    link, session = door.opened()
    frame = session.seal(HEAD, b"image")
    for state, reason in (
        ("quarantined", Reason.QUARANTINED),
        ("suspect", Reason.SUSPECT),
        ("stale", Reason.STALE),
        ("retired", Reason.NOT_TRUSTED),
        ("pending", Reason.NOT_TRUSTED),
    ):
        door.trust(state)
        assert refusal(lambda: link.admit(frame.metadata, frame.sealed)) == reason
    door.trust()
    assert link.admit(frame.metadata, frame.sealed).image == b"image"


def test_n100_result_that_ran_out(door):
    link, session = door.opened()
    door.trust(remaining_ms=500)
    door.now_s += 0.6
    frame = session.seal(HEAD, b"image")
    assert refusal(lambda: link.admit(frame.metadata, frame.sealed)) == Reason.STALE


def test_n100_host_that_lost_its_standing(door):
    link, session = door.opened()
    door.trust(host_state="suspect")
    frame = session.seal(HEAD, b"image")
    assert refusal(lambda: link.admit(frame.metadata, frame.sealed)) == Reason.SUSPECT
    door.keys.credentials = None
    assert refusal(lambda: link.admit(frame.metadata, frame.sealed)) == Reason.NOT_TRUSTED


def test_n100_an_earlier_key_of_the_same_camera(door):
    link, _ = door.opened()
    door.trust(spki=b"x" * 32)
    assert refusal(link.standing) == Reason.CERTIFICATE


def test_n82_certificate_that_expires_on_an_open_channel(door):
    door.certificate = door.issue(CAMERA, door.key, timedelta(seconds=2))
    link, session = door.opened()
    frame = session.seal(HEAD, b"image")
    door.view.clock_offset_ms += 3000
    assert refusal(lambda: link.admit(frame.metadata, frame.sealed)) == Reason.CERTIFICATE_EXPIRED
    door.view.clock_offset_ms -= 3000
    fresh = door.issue(CAMERA, door.key)
    link.refresh(fresh.public_bytes(Encoding.DER))
    door.view.clock_offset_ms += 3000
    assert link.admit(frame.metadata, frame.sealed).image == b"image"


def test_n82_refresh_with_another_key_name_or_issuer(door):
    link, _ = door.opened()
    other = SoftKey()
    for certificate in (door.issue(CAMERA, other), door.issue("camera.line-1.cam2", door.key), door.issue(CAMERA, door.key, label="operator-ca")):
        assert refusal(lambda c=certificate: link.refresh(c.public_bytes(Encoding.DER))) == Reason.CERTIFICATE
    assert refusal(lambda: link.refresh(b"garbage")) == Reason.CERTIFICATE


def test_n89_silence_of_the_feed_closes_the_gate(door):
    link, session = door.opened()
    frame = session.seal(HEAD, b"image")
    door.now_s += SILENCE_S + 0.1
    assert refusal(lambda: link.admit(frame.metadata, frame.sealed)) == Reason.TRUST_FEED
    door.trust()
    assert link.admit(frame.metadata, frame.sealed)


def test_n89_grace_never_reaches_past_the_result(keys):
    now = [0.0]
    view = TrustView(None, AccessView(None, lambda: keys.root.certificate), monotonic=lambda: now[0])
    assert not view.open, "a feed that was never heard is no feed"
    view.apply(pb.TrustUpdate(revision=1, snapshot=True, devices=[pb.DeviceTrust(device=CAMERA, state="trusted", remaining_ms=5000)], access=access_update(keys, grace=True)))
    now[0] = 4.0
    assert view.require(CAMERA)
    now[0] = 5.1
    assert refusal(lambda: view.require(CAMERA)) == Reason.STALE


def test_n115_feed_of_a_controller_that_is_behind(door, tmp_path):
    file = tmp_path / "revision"
    root = door.fleet.root.certificate
    view = TrustView(file, AccessView(None, lambda: root))
    view.apply(pb.TrustUpdate(revision=7, snapshot=True, access=door.access))
    assert refusal(lambda: view.apply(pb.TrustUpdate(revision=6, snapshot=True))) == Reason.TRUST_FEED
    restarted = TrustView(file, AccessView(None, lambda: root))
    assert refusal(lambda: restarted.apply(pb.TrustUpdate(revision=6, snapshot=True))) == Reason.TRUST_FEED
    assert not restarted.open


def test_n115_a_change_before_a_snapshot(door):
    view = TrustView(None, AccessView(None, lambda: door.fleet.root.certificate))
    assert refusal(lambda: view.apply(pb.TrustUpdate(revision=1))) == Reason.TRUST_FEED
    door.view.disconnected()
    assert refusal(lambda: door.trust(snapshot=False)) == Reason.TRUST_FEED


def test_n101_replayed_and_reordered_frames(door):
    link, session = door.opened()
    frames = [session.seal(replace_head(trigger_sequence=n), b"image%d" % n) for n in range(3)]
    assert link.admit(frames[0].metadata, frames[0].sealed)
    assert refusal(lambda: link.admit(frames[0].metadata, frames[0].sealed)) == Reason.FRAME_REPLAYED
    assert link.admit(frames[2].metadata, frames[2].sealed).missing == 1
    assert refusal(lambda: link.admit(frames[1].metadata, frames[1].sealed)) == Reason.FRAME_REPLAYED


def test_n101_truncated_and_flipped_frames(door):
    link, session = door.opened()
    frame = session.seal(HEAD, b"image bytes")
    for at in range(len(frame.sealed)):
        flipped = frame.sealed[:at] + bytes([frame.sealed[at] ^ 1]) + frame.sealed[at + 1 :]
        assert refusal(lambda f=flipped: link.admit(frame.metadata, f)) in {Reason.FRAME_AUTHENTICATION, Reason.FRAME_SESSION, Reason.MALFORMED}
        assert refusal(lambda n=at: link.admit(frame.metadata, frame.sealed[:n])) in {Reason.FRAME_AUTHENTICATION, Reason.FRAME_SESSION, Reason.MALFORMED}
    assert link.admit(frame.metadata, frame.sealed), "forged frames must not push the real one out"


@pytest.mark.parametrize("change", [{"part": "p2"}, {"device": "camera.line-1.cam2"}, {"captured_at_ms": 6}, {"trigger_sequence": 2}, {"mask_version": 1}, {"width": 65}])
def test_n101_relabelled_frame(door, change):
    link, session = door.opened()
    frame = session.seal(HEAD, b"image")
    label = replace(FrameMetadata.parse(frame.metadata), **change).marshal()
    assert refusal(lambda: link.admit(label, frame.sealed)) == Reason.FRAME_AUTHENTICATION


def test_n101_a_camera_cannot_speak_for_another(door):
    """Sealed correctly by cam1, labelled as cam2 from the start."""
    link = door.link()
    session = door.session(link)
    session._camera = "camera.line-1.cam2"
    signed = session.opening(door.key)
    link.open(signed.opening, signed.signature)
    frame = session.seal(HEAD, b"image")
    assert refusal(lambda: link.admit(frame.metadata, frame.sealed)) == Reason.FRAME_LABEL
    assert link.claimed(frame.metadata) is None


def test_n102_frame_of_another_session(door):
    link, session = door.opened()
    other_link, _ = door.opened()
    frame = session.seal(HEAD, b"image")
    assert refusal(lambda: other_link.admit(frame.metadata, frame.sealed)) == Reason.FRAME_SESSION
    assert link.admit(frame.metadata, frame.sealed)


def test_n102_frame_for_another_gateway(door, keys):
    link, session = door.opened()
    other = Door(keys)
    frame = session.seal(HEAD, b"image")
    assert refusal(lambda: other.opened()[0].admit(frame.metadata, frame.sealed)) == Reason.FRAME_SESSION
    assert link is not None


def test_n102_every_session_has_a_fresh_secret_so_counters_may_start_at_zero(door):
    secrets_ = {door.session(door.link())._secret for _ in range(50)}
    kids = {door.opened()[1].kid for _ in range(20)}
    assert len(secrets_) == 50 and len(kids) == 20


def test_old_secret_ends_after_its_successor(door):
    link, first = door.opened()
    second = door.session(link)
    signed = second.opening(door.key)
    link.open(signed.opening, signed.signature)
    frame = first.seal(HEAD, b"on its way")
    assert link.admit(frame.metadata, frame.sealed)
    link._sessions[first.kid].closes_at_s = time.monotonic() - 1
    late = first.seal(HEAD, b"late")
    assert refusal(lambda: link.admit(late.metadata, late.sealed)) == Reason.FRAME_SESSION


@pytest.mark.parametrize("size", [(0, 0), (100_000, 100_000), (1, 64 * 1024 * 1024 + 1)])
def test_n103_announced_dimensions(door, size):
    link, session = door.opened()
    frame = session.seal(replace_head(width=size[0], height=size[1]), b"image")
    assert refusal(lambda: link.admit(frame.metadata, frame.sealed)) == Reason.IMAGE


def test_n103_unknown_encoding(door):
    link, session = door.opened()
    frame = session.seal(replace_head(encoding=9), b"image")
    assert refusal(lambda: link.admit(frame.metadata, frame.sealed)) == Reason.IMAGE


def test_n112_opening_replayed_on_the_same_stream(door):
    link = door.link()
    signed = door.session(link).opening(door.key)
    link.open(signed.opening, signed.signature)
    assert refusal(lambda: link.open(signed.opening, signed.signature)) == Reason.OPENING_REPLAYED


def test_n112_opening_replayed_on_another_stream(door):
    """A recorder replays opening and frames to the same gateway."""
    link = door.link()
    session = door.session(link)
    signed = session.opening(door.key)
    link.open(signed.opening, signed.signature)
    again = door.link()
    again.offer()
    assert refusal(lambda: again.open(signed.opening, signed.signature)) == Reason.OPENING_REPLAYED


def test_n112_one_encapsulation_opens_once(door):
    _, key = door.keys.offered
    from framegate_gateway.trust.keys import SUITE

    public = key.private.public_key()
    sealed = SUITE.encrypt(b"s" * 32, public, b"info")
    assert key.open(sealed, b"info") == b"s" * 32
    assert refusal(lambda: key.open(sealed, b"info")) == Reason.OPENING_REPLAYED


def test_opening_signed_by_another_key_or_for_another_source(door):
    link = door.link()
    session = door.session(link)
    signed = session.opening(SoftKey())
    assert refusal(lambda: link.open(signed.opening, signed.signature)) == Reason.OPENING
    session = door.session(link)
    signed = session.opening(door.key)
    other = signed.opening.replace(b"source-1", b"source-2")
    assert refusal(lambda: link.open(other, signed.signature)) == Reason.OPENING


def test_n113_grant_after_its_ttl(door):
    link = door.link()
    session = door.session(link)
    signed = session.opening(door.key)
    door.view.clock_offset_ms += 61_000
    assert refusal(lambda: link.open(signed.opening, signed.signature)) == Reason.GRANT_EXPIRED


def test_n113_session_ends_with_its_grant(door):
    link, session = door.opened()
    door.view.clock_offset_ms += 61_000
    frame = session.seal(HEAD, b"image")
    assert refusal(lambda: link.admit(frame.metadata, frame.sealed)) == Reason.GRANT_EXPIRED


def test_n113_camera_stops_sealing_when_its_grant_ends(door):
    _, session = door.opened()
    session.held = replace(session.held, ends_at_s=time.monotonic() - 0.1)
    assert refusal(lambda: session.seal(HEAD, b"image")) == Reason.GRANT_EXPIRED


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"camera": "camera.line-1.cam2"}, Reason.GRANT), ({"nonce": b"\0" * 32}, Reason.GRANT), ({"ttl_s": 3600}, Reason.GRANT_EXPIRED),
        ({"ttl_s": 0}, Reason.GRANT_EXPIRED), ({"issued_at_ms": 1}, Reason.GRANT_EXPIRED), ({"issued_at_ms": 2**45}, Reason.GRANT_EXPIRED),
        ({"hpke_kem": "P256"}, Reason.GRANT), ({"hpke_public": "00" * 20}, Reason.GRANT),
    ],
)  # fmt: skip
def test_n113_grants_that_a_camera_refuses(door, change, reason):
    assert refusal(lambda: door.hold(door.grant(**change))) == reason


def test_n113_grant_signed_by_another_key_of_the_fleet(door):
    signer = door.fleet.signing["challenge"]
    grant = Grant.parse_payload(__import__("framegate.signed.dsse", fromlist=["parse_envelope"]).parse_envelope(door.grant(), Grant.TYPE).payload)
    assert refusal(lambda: door.hold(grant.seal(signer.der, signer.sign))) == Reason.CERTIFICATE


def test_n113_grant_for_another_gateway_process(door, keys):
    """N121: a gateway process was replaced on an honest host: its keys are not the granted ones."""
    link = door.link()
    envelope = door.grant(publics_sha256="00" * 32)
    with pytest.raises(Refused):
        FrameSession(door.hold(envelope), link.offer(), "s", CAMERA, b"")


def test_grant_with_one_flipped_bit(door):
    envelope = door.grant()
    for at in range(0, len(envelope), 37):
        flipped = envelope[:at] + bytes([envelope[at] ^ 1]) + envelope[at + 1 :]
        with pytest.raises(FramegateError):
            door.hold(flipped)


def test_gateways_view_of_a_grant_needs_no_nonce(door):
    authorities = [k.certificate for k in door.fleet.issuing.values()]
    assert verify_grant(door.grant(), CAMERA, authorities, door.fleet.root.certificate, datetime.now(UTC), nonce=None).ttl_s == 60


def test_a_gateways_certificate_opens_no_stream(door):
    assert refusal(lambda: CameraLink(door.issue(HOST, door.key), door.keys, door.view)) == Reason.WRONG_ROLE


def test_sealer_and_opener_agree_and_count():
    sealer, opener = Sealer(b"k" * 32, 9), Opener(b"k" * 32, 9)
    assert opener.open(sealer.seal(b"x", b"m"), b"m") == (0, 0, b"x")
    sealer.counter = 2**32
    assert refusal(lambda: sealer.seal(b"x", b"m")) == Reason.FRAME_SESSION
    assert encode_header(9, 0)[0] == 0x80


def test_warrant_for_other_keys_is_refused(door, keys):
    other = GatewayKeys("a:1", "a:2", b"m" * 32)
    raw = other.newest.publics
    assert refusal(lambda: door.keys.accept(warrant_for(keys, raw), raw)) == Reason.CERTIFICATE


def test_metadata_that_is_garbage(door):
    link, session = door.opened()
    sealed = session._sealer.seal(b"image", b"garbage")
    assert refusal(lambda: link.admit(b"garbage", sealed)) == Reason.MALFORMED
    assert link.claimed(b"garbage") is None


def test_malformed_is_a_framegate_error():
    assert issubclass(Malformed, FramegateError)
    assert hashlib.sha256(b"").digest() == sha256(b"")


@pytest.mark.parametrize(
    ("demands", "changes", "reason"),
    [
        (Demands(models=frozenset({"aa"})), {"model_sha256": "bb"}, Reason.MODEL), (Demands(hosts=frozenset({"gateway.line-1.gw2"})), {}, Reason.GRANT),
        (Demands(), {"zone": "line-2"}, Reason.GRANT), (Demands(), {"host": "gateway.line-2.gw1"}, Reason.GRANT), (Demands(), {"host": "camera.line-1.cam2"}, Reason.GRANT),
    ],
)  # fmt: skip
def test_a_camera_refuses_a_gateway_that_is_not_the_approved_one_and_says_why(door, demands, changes, reason):
    authorities = tuple(k.certificate for k in door.fleet.issuing.values())
    with pytest.raises(Refused) as caught:
        hold_grant(door.grant(**changes), CAMERA, b"n" * 32, time.monotonic(), authorities, door.fleet.root.certificate, time.time_ns() // 1_000_000, demands)
    assert caught.value.reason == reason and caught.value.failures[0].hint


def test_frames_under_old_masks_leave_no_camera_and_enter_no_gateway(door):
    digest = b"m" * 32
    link = door.link()
    session = door.session(link, mask_version=2, mask_sha256=digest.hex())
    signed = session.opening(door.key)
    link.open(signed.opening, signed.signature)
    for old in ({}, {"mask_version": 1, "mask_sha256": b"o" * 32}, {"mask_version": 2, "mask_sha256": b"x" * 32}):
        assert refusal(lambda o=old: session.seal(replace_head(**o), b"image")) == Reason.MASK
    frame = session.seal(replace_head(mask_version=2, mask_sha256=digest), b"image")
    assert refusal(lambda: link.admit(frame.metadata, frame.sealed)) == Reason.MASK, "the gateway has not seen these masks signed"
    link._masks[digest] = (((0.0, 0.0), (1.0, 0.0), (1.0, 1.0)),)
    frame = session.seal(replace_head(mask_version=2, mask_sha256=digest, trigger_sequence=2), b"image 2")
    assert link.admit(frame.metadata, frame.sealed).masks == link._masks[digest]


def test_n109_the_same_image_under_another_trigger_is_a_frozen_camera(door):
    link, session = door.opened()
    for number, image, reason in ((1, b"a", None), (2, b"b", None), (3, b"a", Reason.FRAME_FROZEN), (4, b"c", None)):
        frame = session.seal(replace_head(trigger_sequence=number), image)
        if reason:
            assert refusal(lambda f=frame: link.admit(f.metadata, f.sealed)) == reason
        else:
            assert link.admit(frame.metadata, frame.sealed).image == image
