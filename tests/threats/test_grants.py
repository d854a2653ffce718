"""N113, N121: grants that are late, forged or for another gateway."""

import time
from dataclasses import replace

import pytest

from framegate.errors import Reason, Refused
from framegate.signed.statement import Grant
from framegate_agent.camera.session import FrameSession
from support.frames import CAMERA, HEAD
from support.refusals import refused


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
    assert (
        refused(lambda: link.admit(link.open_frame(frame.metadata, frame.sealed)))
        == Reason.GRANT_EXPIRED
    )


def test_n113_camera_stops_sealing_when_its_grant_ends(door):
    _, session = door.opened()
    session.lease = replace(session.lease, ends_at_s=time.monotonic() - 0.1)
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
