"""Streams from cameras: sessions, grants, and who opens one."""

import time
from datetime import UTC, datetime

import pytest

from framegate.errors import FramegateError, Reason
from framegate.identity.certificates import spki_of
from framegate.signed.dsse import parse_envelope
from framegate.signed.mask import MaskRegions
from framegate.signed.statement import Grant, verify_grant
from framegate.wire import MAX_FRAME_BYTES, Captured, FrameMetadata, opening_info
from framegate_agent.camera.session import FrameSession, HeldGrant
from framegate_gateway.admission.link import CameraLink
from framegate_gateway.trust.keys import GatewayKeys
from framegate_simulators.fixtures.gateway import warrant_for
from support.frames import CAMERA, HEAD, HOST, SoftKey, replace_head
from support.refusals import refused


def test_a_sound_frame_is_admitted_once_and_in_order(door):
    link, session = door.opened()
    for number in range(3):
        frame = session.seal(replace_head(trigger_sequence=number), b"image%d" % number)
        admitted = link.admit(link.open_frame(frame.metadata, frame.sealed))
        assert (
            admitted.image,
            admitted.counter,
            admitted.missing,
            admitted.metadata.trigger_sequence,
        ) == (b"image%d" % number, number, 0, number)


def test_old_secret_ends_after_its_successor(door):
    link, first = door.opened()
    second = door.session(link)
    signed = second.opening(door.key)
    link.open(signed.opening, signed.signature)
    frame = first.seal(HEAD, b"on its way")
    assert link.admit(link.open_frame(frame.metadata, frame.sealed))
    link._sessions[first.kid].closes_at_s = time.monotonic() - 1
    late = first.seal(HEAD, b"late")
    assert (
        refused(lambda: link.admit(link.open_frame(late.metadata, late.sealed)))
        == Reason.FRAME_SESSION
    )


def test_n112_of_two_offers_the_later_alone_is_answered(door):
    link = door.link()
    first, second = door.session(link), door.session(link)
    for session, good in ((first, False), (second, True)):
        signed = session.opening(door.key)
        if good:
            assert link.open(signed.opening, signed.signature) == session.kid
        else:
            said = refused(lambda s=signed: link.open(s.opening, s.signature))
            assert said == Reason.OPENING_REPLAYED


def test_a_successor_closes_what_was_open_before_it(door, monkeypatch):
    monkeypatch.setattr("framegate_gateway.admission.link.OVERLAP_S", 0.0)
    link, first = door.opened()
    second = door.session(link)
    signed = second.opening(door.key)
    link.open(signed.opening, signed.signature)
    late, fresh = first.seal(HEAD, b"late"), second.seal(HEAD, b"fresh")
    assert refused(lambda: link.open_frame(late.metadata, late.sealed)) == Reason.FRAME_SESSION
    assert link.admit(link.open_frame(fresh.metadata, fresh.sealed))


def test_opening_signed_by_another_key_or_for_another_source(door):
    link = door.link()
    session = door.session(link)
    signed = session.opening(SoftKey())
    assert refused(lambda: link.open(signed.opening, signed.signature)) == Reason.OPENING
    session = door.session(link)
    signed = session.opening(door.key)
    other = signed.opening.replace(b"source-1", b"source-2")
    assert refused(lambda: link.open(other, signed.signature)) == Reason.OPENING


@pytest.mark.parametrize(
    "other", [{"host": "gateway.line-1.gw2"}, {"zone": "line-2"}, {"publics_sha256": "00" * 32}]
)
def test_n112_a_grant_for_another_host_zone_or_process_opens_nothing(door, other):
    """Of a camera that was made to look at nothing itself."""
    link = door.link()
    offer, envelope = link.offer(), door.grant(**other)
    own = spki_of(door.key.private.public_key())
    session = FrameSession(door.hold(door.grant()), offer, "source-1", CAMERA, own)
    payload = parse_envelope(envelope, Grant.TYPE).payload
    session.lease = HeldGrant(Grant.parse_payload(payload), envelope, time.monotonic() + 60)
    session._info = opening_info(offer, payload, own, "source-1")
    signed = session.opening(door.key)
    assert refused(lambda: link.open(signed.opening, signed.signature)) == Reason.GRANT


def test_grant_with_one_flipped_bit(door):
    envelope = door.grant()
    for at in range(0, len(envelope), 37):
        flipped = envelope[:at] + bytes([envelope[at] ^ 1]) + envelope[at + 1 :]
        with pytest.raises(FramegateError):
            door.hold(flipped)


def test_gateways_view_of_a_grant_needs_no_nonce(door):
    authorities = [k.certificate for k in door.fleet.issuing.values()]
    assert (
        verify_grant(
            door.grant(),
            CAMERA,
            authorities,
            door.fleet.root.certificate,
            datetime.now(UTC),
            nonce=None,
        ).ttl_s
        == 60
    )


def test_a_gateways_certificate_opens_no_stream(door):
    assert (
        refused(lambda: CameraLink(door.issue(HOST, door.key), door.keys, door.view))
        == Reason.WRONG_ROLE
    )


def test_warrant_for_other_keys_is_refused(door, keys):
    other = GatewayKeys("a:1", "a:2", b"m" * 32)
    raw = other.newest.publics
    assert refused(lambda: door.keys.accept(warrant_for(keys, raw), raw)) == Reason.CERTIFICATE


def test_metadata_that_is_garbage(door):
    link, session = door.opened()
    sealed = session._sealer.seal(b"image", b"garbage")
    assert refused(lambda: link.open_frame(b"garbage", sealed)) == Reason.MALFORMED


def test_a_frame_over_the_limit_is_not_even_looked_at(door):
    link, _ = door.opened()
    assert refused(lambda: link.open_frame(b"", bytes(MAX_FRAME_BYTES + 1))) == (
        Reason.FRAME_TOO_LARGE
    )


def test_frames_under_old_masks_leave_no_camera_and_enter_no_gateway(door):
    digest = b"m" * 32
    link = door.link()
    session = door.session(link, mask_version=2, mask_sha256=digest.hex())
    signed = session.opening(door.key)
    link.open(signed.opening, signed.signature)
    for old in (
        {},
        {"mask_version": 1, "mask_sha256": b"o" * 32},
        {"mask_version": 2, "mask_sha256": b"x" * 32},
    ):
        assert refused(lambda o=old: session.seal(replace_head(**o), b"image")) == Reason.MASK
    frame = session.seal(replace_head(mask_version=2, mask_sha256=digest), b"image")
    assert (
        refused(lambda: link.admit(link.open_frame(frame.metadata, frame.sealed))) == Reason.MASK
    ), "the gateway has not seen these masks signed"
    link._masks[digest] = MaskRegions((((0.0, 0.0), (1.0, 0.0), (1.0, 1.0)),))
    frame = session.seal(
        replace_head(mask_version=2, mask_sha256=digest, trigger_sequence=2), b"image 2"
    )
    assert link.admit(link.open_frame(frame.metadata, frame.sealed)).masks == (
        link._masks[digest].polygons
    )


def by_hand(of: FrameSession, **changes) -> tuple[bytes, bytes]:
    """Metadata and sealed frame of a camera that checks nothing itself."""
    said = {name: getattr(HEAD, name) for name in Captured.__dataclass_fields__ if name != "size"}
    body = {**said, "session": of.session, "device": CAMERA, **changes}
    metadata = FrameMetadata(**body).marshal()
    return metadata, of._sealer.seal(b"image", metadata)


@pytest.mark.parametrize("label", [{"session": b"s" * 16}, {"device": "camera.line-1.cam2"}, {}])
def test_n101_a_frame_labelled_as_another_session_or_camera_is_none(door, label):
    link, session = door.opened()
    frame = by_hand(session, **label)
    if label:
        assert refused(lambda: link.open_frame(*frame)) == Reason.FRAME_LABEL
    else:
        assert link.admit(link.open_frame(*frame)).image == b"image"


OLDER, OTHER, GRANTED, LATER = (letter * 32 for letter in (b"1", b"o", b"2", b"3"))


@pytest.mark.parametrize(
    ("version", "digest", "good"),
    [(1, OLDER, False), (2, OTHER, False), (0, b"", False), (2, GRANTED, True), (3, LATER, True)],
)
def test_masks_that_were_signed_once_are_not_those_in_force(door, version, digest, good):
    """The gateway saw all of them signed: what its grant says is the least that is masked."""
    link = door.link()
    session = door.session(link, mask_version=2, mask_sha256=GRANTED.hex())
    signed = session.opening(door.key)
    link.open(signed.opening, signed.signature)
    for known in (OLDER, OTHER, GRANTED, LATER):
        link._masks[known] = MaskRegions()
    opened = link.open_frame(*by_hand(session, mask_version=version, mask_sha256=digest))
    if good:
        assert link.admit(opened).metadata.mask_version == version
    else:
        assert refused(lambda: link.admit(opened)) == Reason.MASK
