"""N101, N102, N112: frames and openings replayed, changed or moved to another session."""

from dataclasses import replace

import pytest

from framegate.errors import Reason
from framegate.wire import FrameMetadata
from support.frames import HEAD, Door, replace_head
from support.refusals import refused


def test_n101_replayed_and_reordered_frames(door):
    link, session = door.opened()
    frames = [session.seal(replace_head(trigger_sequence=n), b"image%d" % n) for n in range(3)]
    assert link.admit(link.open_frame(frames[0].metadata, frames[0].sealed))
    assert (
        refused(lambda: link.admit(link.open_frame(frames[0].metadata, frames[0].sealed)))
        == Reason.FRAME_REPLAYED
    )
    assert link.admit(link.open_frame(frames[2].metadata, frames[2].sealed)).missing == 1
    assert (
        refused(lambda: link.admit(link.open_frame(frames[1].metadata, frames[1].sealed)))
        == Reason.FRAME_REPLAYED
    )


def test_n101_truncated_and_flipped_frames(door):
    link, session = door.opened()
    frame = session.seal(HEAD, b"image bytes")
    for at in range(len(frame.sealed)):
        flipped = frame.sealed[:at] + bytes([frame.sealed[at] ^ 1]) + frame.sealed[at + 1 :]
        assert refused(lambda f=flipped: link.open_frame(frame.metadata, f)) in {
            Reason.FRAME_AUTHENTICATION,
            Reason.FRAME_SESSION,
            Reason.MALFORMED,
        }
        assert refused(lambda n=at: link.open_frame(frame.metadata, frame.sealed[:n])) in {
            Reason.FRAME_AUTHENTICATION,
            Reason.FRAME_SESSION,
            Reason.MALFORMED,
        }
    assert link.admit(link.open_frame(frame.metadata, frame.sealed)), (
        "forged frames must not push the real one out"
    )


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
    assert refused(lambda: link.open_frame(label, frame.sealed)) == Reason.FRAME_AUTHENTICATION


def test_n101_a_camera_cannot_speak_for_another(door):
    """Sealed correctly by cam1, labelled as cam2 from the start."""
    link = door.link()
    session = door.session(link)
    session._camera = "camera.line-1.cam2"
    signed = session.opening(door.key)
    link.open(signed.opening, signed.signature)
    frame = session.seal(HEAD, b"image")
    assert (
        refused(lambda: link.admit(link.open_frame(frame.metadata, frame.sealed)))
        == Reason.FRAME_LABEL
    )


def test_n102_frame_of_another_session(door):
    link, session = door.opened()
    other_link, _ = door.opened()
    frame = session.seal(HEAD, b"image")
    assert (
        refused(lambda: other_link.admit(other_link.open_frame(frame.metadata, frame.sealed)))
        == Reason.FRAME_SESSION
    )
    assert link.admit(link.open_frame(frame.metadata, frame.sealed))


def test_n102_frame_for_another_gateway(door, keys):
    link, session = door.opened()
    other = Door(keys)
    frame = session.seal(HEAD, b"image")
    assert (
        refused(lambda: other.opened()[0].open_frame(frame.metadata, frame.sealed))
        == Reason.FRAME_SESSION
    )
    assert link is not None


def test_n102_every_session_has_a_fresh_secret_so_counters_may_start_at_zero(door):
    secrets_ = {door.session(door.link())._secret for _ in range(50)}
    kids = {door.opened()[1].kid for _ in range(20)}
    assert len(secrets_) == 50 and len(kids) == 20


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
