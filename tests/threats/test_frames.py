"""N82, N89, N100 to N103, N108, N109, N112, N113, N115: frames, sessions, grants, hostile
images.
"""

import asyncio
import os
import time
from dataclasses import replace
from datetime import timedelta

import cv2
import numpy as np
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import Reason, Refused
from framegate.signed.statement import Grant
from framegate.wire import ENCODING_JPEG, ENCODING_PNG, FrameMetadata
from framegate_agent.camera.session import FrameSession
from framegate_agent.camera.sources import encoded
from framegate_gateway.inference.engine import DEPTH
from framegate_gateway.inference.inspector import golden_of
from framegate_gateway.trust.access import AccessView
from framegate_gateway.trust.feed import SILENCE_S, TrustView
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_simulators.boards.boards import draw_board
from framegate_simulators.fixtures.access import access_update
from support.boards import moved
from support.engine import png_that_claims, refused_image
from support.frames import CAMERA, HEAD, Door, SoftKey, replace_head
from support.refusals import refused


async def test_n103_image_bombs_and_broken_images(engine):
    assert "opens nothing" in engine.isolation and "not dumpable" in engine.isolation
    jpeg = encoded(draw_board(5, design=1, defects=0).frame)
    assert (
        await refused_image(
            engine, png_that_claims(100_000, 100_000), ENCODING_PNG, (100_000, 100_000)
        )
        == Reason.IMAGE
    )
    assert (
        await refused_image(engine, png_that_claims(100_000, 100_000), ENCODING_PNG) == Reason.IMAGE
    )
    assert await refused_image(engine, jpeg[:100]) == Reason.IMAGE
    assert await refused_image(engine, jpeg, ENCODING_PNG) == Reason.IMAGE
    assert await refused_image(engine, jpeg, size=(320, 640)) == Reason.IMAGE
    assert await refused_image(engine, b"") == Reason.IMAGE
    assert await refused_image(engine, os.urandom(5000)) == Reason.IMAGE
    assert await refused_image(engine, b"GIF89a" + bytes(100)) == Reason.IMAGE
    small = cv2.imencode(".jpg", np.zeros((64, 64), np.uint8))[1].tobytes()
    assert await refused_image(engine, small, size=(64, 64)) == Reason.IMAGE, (
        "not of the golden image's size"
    )
    assert await refused_image(engine, jpeg, part="unknown") == Reason.PART_UNKNOWN
    assert await refused_image(engine, jpeg, part="../../etc/passwd") == Reason.PART_UNKNOWN
    assert (await engine.inspect("cam", "drawn-1", jpeg, ENCODING_JPEG, 640, 640)) is not None, (
        "the child lives on"
    )


async def test_n108_devices_take_turns(engine):
    jpeg = encoded(draw_board(5, design=1, defects=0).frame)
    order: list[str] = []

    async def one(device: str) -> None:
        await engine.inspect(device, "drawn-1", jpeg, ENCODING_JPEG, 640, 640)
        order.append(device)

    greedy = [asyncio.create_task(one("greedy")) for _ in range(8)]
    await asyncio.sleep(0)
    modest = asyncio.create_task(one("modest"))
    await asyncio.gather(*greedy, modest)
    assert order.index("modest") <= DEPTH + 1, order


BOARD = draw_board(77, design=1, defects=8, clean_capture=True)


SPOILT = {
    "covered": (lambda i: np.full_like(i, 9), Reason.IMAGE_COVERED),
    "dark": (lambda i: (i * 0.3).astype(np.uint8), Reason.IMAGE_EXPOSURE),
    "over-exposed": (
        lambda i: np.clip(i.astype(int) + 150, 0, 255).astype(np.uint8),
        Reason.IMAGE_EXPOSURE,
    ),
    "defocused": (lambda i: cv2.GaussianBlur(i, (0, 0), 6), Reason.IMAGE_DEFOCUS),
    "another part": (
        lambda i: draw_board(3, design=44, defects=0, clean_capture=True).frame,
        Reason.REGISTRATION,
    ),
    "upside down": (lambda i: i[::-1].copy(), Reason.REGISTRATION),
    "out of its place": (lambda i: moved(i, 120, 80), Reason.REGISTRATION),
}


@pytest.mark.parametrize("case", SPOILT)
def test_N109_frames_that_show_nothing_worth_inspecting(inspector, case):
    spoil, reason = SPOILT[case]
    with pytest.raises(Refused) as caught:
        inspector.prepare(spoil(BOARD.frame), golden_of(BOARD.golden))
    assert caught.value.reason == reason, str(caught.value)


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
        assert refused(lambda: link.admit(frame.metadata, frame.sealed)) == reason
    door.trust()
    assert link.admit(frame.metadata, frame.sealed).image == b"image"


def test_n100_result_that_ran_out(door):
    link, session = door.opened()
    door.trust(remaining_ms=500)
    door.now_s += 0.6
    frame = session.seal(HEAD, b"image")
    assert refused(lambda: link.admit(frame.metadata, frame.sealed)) == Reason.STALE


def test_n100_host_that_lost_its_standing(door):
    link, session = door.opened()
    door.trust(host_state="suspect")
    frame = session.seal(HEAD, b"image")
    assert refused(lambda: link.admit(frame.metadata, frame.sealed)) == Reason.SUSPECT
    door.keys.credentials = None
    assert refused(lambda: link.admit(frame.metadata, frame.sealed)) == Reason.NOT_TRUSTED


def test_n100_an_earlier_key_of_the_same_camera(door):
    link, _ = door.opened()
    door.trust(spki=b"x" * 32)
    assert refused(link.standing) == Reason.CERTIFICATE


def test_n82_certificate_that_expires_on_an_open_channel(door):
    door.certificate = door.issue(CAMERA, door.key, timedelta(seconds=2))
    link, session = door.opened()
    frame = session.seal(HEAD, b"image")
    door.view.clock_offset_ms += 3000
    assert refused(lambda: link.admit(frame.metadata, frame.sealed)) == Reason.CERTIFICATE_EXPIRED
    door.view.clock_offset_ms -= 3000
    fresh = door.issue(CAMERA, door.key)
    link.refresh(fresh.public_bytes(Encoding.DER))
    door.view.clock_offset_ms += 3000
    assert link.admit(frame.metadata, frame.sealed).image == b"image"


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
    frame = session.seal(HEAD, b"image")
    door.now_s += SILENCE_S + 0.1
    assert refused(lambda: link.admit(frame.metadata, frame.sealed)) == Reason.TRUST_FEED
    door.trust()
    assert link.admit(frame.metadata, frame.sealed)


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
        refused(lambda: view.apply(pb.TrustUpdate(revision=6, snapshot=True))) == Reason.TRUST_FEED
    )
    restarted = TrustView(file, AccessView(None, lambda: root))
    assert (
        refused(lambda: restarted.apply(pb.TrustUpdate(revision=6, snapshot=True)))
        == Reason.TRUST_FEED
    )
    assert not restarted.open


def test_n115_a_change_before_a_snapshot(door):
    view = TrustView(None, AccessView(None, lambda: door.fleet.root.certificate))
    assert refused(lambda: view.apply(pb.TrustUpdate(revision=1))) == Reason.TRUST_FEED
    door.view.disconnected()
    assert refused(lambda: door.trust(snapshot=False)) == Reason.TRUST_FEED


def test_n101_replayed_and_reordered_frames(door):
    link, session = door.opened()
    frames = [session.seal(replace_head(trigger_sequence=n), b"image%d" % n) for n in range(3)]
    assert link.admit(frames[0].metadata, frames[0].sealed)
    assert (
        refused(lambda: link.admit(frames[0].metadata, frames[0].sealed)) == Reason.FRAME_REPLAYED
    )
    assert link.admit(frames[2].metadata, frames[2].sealed).missing == 1
    assert (
        refused(lambda: link.admit(frames[1].metadata, frames[1].sealed)) == Reason.FRAME_REPLAYED
    )


def test_n101_truncated_and_flipped_frames(door):
    link, session = door.opened()
    frame = session.seal(HEAD, b"image bytes")
    for at in range(len(frame.sealed)):
        flipped = frame.sealed[:at] + bytes([frame.sealed[at] ^ 1]) + frame.sealed[at + 1 :]
        assert refused(lambda f=flipped: link.admit(frame.metadata, f)) in {
            Reason.FRAME_AUTHENTICATION,
            Reason.FRAME_SESSION,
            Reason.MALFORMED,
        }
        assert refused(lambda n=at: link.admit(frame.metadata, frame.sealed[:n])) in {
            Reason.FRAME_AUTHENTICATION,
            Reason.FRAME_SESSION,
            Reason.MALFORMED,
        }
    assert link.admit(frame.metadata, frame.sealed), "forged frames must not push the real one out"


@pytest.mark.parametrize(
    "change",
    [
        {"part": "p2"},
        {"device": "camera.line-1.cam2"},
        {"captured_at_ms": 6},
        {"trigger_sequence": 2},
        {"mask_version": 1},
        {"width": 65},
    ],
)
def test_n101_relabelled_frame(door, change):
    link, session = door.opened()
    frame = session.seal(HEAD, b"image")
    label = replace(FrameMetadata.parse(frame.metadata), **change).marshal()
    assert refused(lambda: link.admit(label, frame.sealed)) == Reason.FRAME_AUTHENTICATION


def test_n101_a_camera_cannot_speak_for_another(door):
    """Sealed correctly by cam1, labelled as cam2 from the start."""
    link = door.link()
    session = door.session(link)
    session._camera = "camera.line-1.cam2"
    signed = session.opening(door.key)
    link.open(signed.opening, signed.signature)
    frame = session.seal(HEAD, b"image")
    assert refused(lambda: link.admit(frame.metadata, frame.sealed)) == Reason.FRAME_LABEL
    assert link.claimed(frame.metadata) is None


def test_n102_frame_of_another_session(door):
    link, session = door.opened()
    other_link, _ = door.opened()
    frame = session.seal(HEAD, b"image")
    assert refused(lambda: other_link.admit(frame.metadata, frame.sealed)) == Reason.FRAME_SESSION
    assert link.admit(frame.metadata, frame.sealed)


def test_n102_frame_for_another_gateway(door, keys):
    link, session = door.opened()
    other = Door(keys)
    frame = session.seal(HEAD, b"image")
    assert (
        refused(lambda: other.opened()[0].admit(frame.metadata, frame.sealed))
        == Reason.FRAME_SESSION
    )
    assert link is not None


def test_n102_every_session_has_a_fresh_secret_so_counters_may_start_at_zero(door):
    secrets_ = {door.session(door.link())._secret for _ in range(50)}
    kids = {door.opened()[1].kid for _ in range(20)}
    assert len(secrets_) == 50 and len(kids) == 20


@pytest.mark.parametrize("size", [(0, 0), (100_000, 100_000), (1, 64 * 1024 * 1024 + 1)])
def test_n103_announced_dimensions(door, size):
    link, session = door.opened()
    frame = session.seal(replace_head(width=size[0], height=size[1]), b"image")
    assert refused(lambda: link.admit(frame.metadata, frame.sealed)) == Reason.IMAGE


def test_n103_unknown_encoding(door):
    link, session = door.opened()
    frame = session.seal(replace_head(encoding=9), b"image")
    assert refused(lambda: link.admit(frame.metadata, frame.sealed)) == Reason.IMAGE


def test_n112_opening_replayed_on_the_same_stream(door):
    link = door.link()
    signed = door.session(link).opening(door.key)
    link.open(signed.opening, signed.signature)
    assert refused(lambda: link.open(signed.opening, signed.signature)) == Reason.OPENING_REPLAYED


def test_n112_opening_replayed_on_another_stream(door):
    """A recorder replays opening and frames to the same gateway."""
    link = door.link()
    session = door.session(link)
    signed = session.opening(door.key)
    link.open(signed.opening, signed.signature)
    again = door.link()
    again.offer()
    assert refused(lambda: again.open(signed.opening, signed.signature)) == Reason.OPENING_REPLAYED


def test_n112_one_encapsulation_opens_once(door):
    _, key = door.keys.offered
    from framegate_gateway.trust.keys import SUITE

    public = key.private.public_key()
    sealed = SUITE.encrypt(b"s" * 32, public, b"info")
    assert key.open(sealed, b"info") == b"s" * 32
    assert refused(lambda: key.open(sealed, b"info")) == Reason.OPENING_REPLAYED


def test_n113_grant_after_its_ttl(door):
    link = door.link()
    session = door.session(link)
    signed = session.opening(door.key)
    door.view.clock_offset_ms += 61_000
    assert refused(lambda: link.open(signed.opening, signed.signature)) == Reason.GRANT_EXPIRED


def test_n113_session_ends_with_its_grant(door):
    link, session = door.opened()
    door.view.clock_offset_ms += 61_000
    frame = session.seal(HEAD, b"image")
    assert refused(lambda: link.admit(frame.metadata, frame.sealed)) == Reason.GRANT_EXPIRED


def test_n113_camera_stops_sealing_when_its_grant_ends(door):
    _, session = door.opened()
    session.held = replace(session.held, ends_at_s=time.monotonic() - 0.1)
    assert refused(lambda: session.seal(HEAD, b"image")) == Reason.GRANT_EXPIRED


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"camera": "camera.line-1.cam2"}, Reason.GRANT),
        ({"nonce": b"\0" * 32}, Reason.GRANT),
        ({"ttl_s": 3600}, Reason.GRANT_EXPIRED),
        ({"ttl_s": 0}, Reason.GRANT_EXPIRED),
        ({"issued_at_ms": 1}, Reason.GRANT_EXPIRED),
        ({"issued_at_ms": 2**45}, Reason.GRANT_EXPIRED),
        ({"hpke_kem": "P256"}, Reason.GRANT),
        ({"hpke_public": "00" * 20}, Reason.GRANT),
    ],
)
def test_n113_grants_that_a_camera_refuses(door, change, reason):
    assert refused(lambda: door.hold(door.grant(**change))) == reason


def test_n113_grant_signed_by_another_key_of_the_fleet(door):
    signer = door.fleet.signing["challenge"]
    grant = Grant.parse_payload(
        __import__("framegate.signed.dsse", fromlist=["parse_envelope"])
        .parse_envelope(door.grant(), Grant.TYPE)
        .payload
    )
    assert refused(lambda: door.hold(grant.seal(signer.der, signer.sign))) == Reason.CERTIFICATE


def test_n113_grant_for_another_gateway_process(door, keys):
    """N121: a gateway process was replaced on an honest host: its keys are not the granted ones."""
    link = door.link()
    envelope = door.grant(publics_sha256="00" * 32)
    with pytest.raises(Refused):
        FrameSession(door.hold(envelope), link.offer(), "s", CAMERA, b"")


def test_n109_the_same_image_under_another_trigger_is_a_frozen_camera(door):
    link, session = door.opened()
    for number, image, reason in (
        (1, b"a", None),
        (2, b"b", None),
        (3, b"a", Reason.FRAME_FROZEN),
        (4, b"c", None),
    ):
        frame = session.seal(replace_head(trigger_sequence=number), image)
        if reason:
            assert refused(lambda f=frame: link.admit(f.metadata, f.sealed)) == reason
        else:
            assert link.admit(frame.metadata, frame.sealed).image == image
