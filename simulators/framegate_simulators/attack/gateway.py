"""N89, N112, N114 and N115: the gateway's door, its trust feed, verdicts it never signed."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.identity.certificates import Purpose, from_ms, verify_certificate
from framegate.signed.statement import verify_verdict
from framegate_controller.ca.issue import certify
from framegate_controller.ca.open import found_fleet
from framegate_controller.ca.template import leaf_template
from framegate_gateway.admission.link import CameraLink
from framegate_gateway.trust.access import AccessView
from framegate_gateway.trust.feed import TrustView
from framegate_proto.trust_feed import SILENCE_S
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_simulators.attack.target import Seen, Target, attempt, reason_of
from framegate_simulators.fixtures.access import access_update
from framegate_simulators.fixtures.camera import SoftwareCamera
from framegate_simulators.fixtures.frames import captured, passed
from framegate_simulators.fixtures.gateway import CAMERA, warranted


class _Door:
    """A gateway's door with a camera that is trusted: the product's own admission, keys and trust
    view.
    """

    def __init__(self, t: Target) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="fg-"))
        self.fleet = t.keys
        self.camera = SoftwareCamera(self.folder, self.fleet)
        self.keys, self.view = warranted(self.fleet, self.camera.certificate, bytes(32))

    def opened(self) -> tuple[CameraLink, Any, pb.SignedOpening]:
        link = CameraLink(self.camera.certificate, self.keys, self.view)
        session = self.camera.session(link.offer(), self.keys.newest.publics)
        signed = session.opening(self.camera)
        link.open(signed.opening, signed.signature)
        return link, session, signed


_HEAD = captured(1, 5, part="p", captured_at_ms=1, uncertainty_ms=1, width=64, height=64)


@attempt("N89", "the controller falls silent behind a gate without grace")
def n89(t: Target) -> Seen:
    door, now = _Door(t), [0.0]
    view = TrustView(
        None, AccessView(None, lambda: t.keys.root.certificate), monotonic=lambda: now[0]
    )
    never = reason_of(lambda: view.require(CAMERA))
    view.apply(
        pb.TrustUpdate(
            revision=1,
            snapshot=True,
            devices=[pb.DeviceTrust(device=CAMERA, state="trusted", remaining_ms=600_000)],
            access=access_update(t.keys),
        )
    )
    view.require(CAMERA)
    now[0] = SILENCE_S + 0.1
    silent = reason_of(lambda: view.require(CAMERA))
    door.view.disconnected()
    return Seen(
        never.refused and silent.refused, f"{never.reason}; after {SILENCE_S:g} s {silent.reason}"
    )


@attempt("N112", "a recorded opening and its frames, sent again on the same stream and on another")
def n112(t: Target) -> Seen:
    door = _Door(t)
    link, session, signed = door.opened()
    frame = session.seal(_HEAD, b"image")
    link.admit(link.open_frame(frame.metadata, frame.sealed))
    fresh = CameraLink(door.camera.certificate, door.keys, door.view)
    fresh.offer()
    seen = [
        reason_of(lambda: link.open(signed.opening, signed.signature)),
        reason_of(lambda: fresh.open(signed.opening, signed.signature)),
        reason_of(lambda: link.admit(link.open_frame(frame.metadata, frame.sealed))),
    ]
    return Seen(all(s.refused for s in seen), "; ".join(s.reason for s in seen))


@attempt(
    "N114",
    "a PASS forged by other keys of the fleet, altered, out of its time, for another gateway",
)
def n114(t: Target) -> Seen:
    fleet, now = t.keys, time.time_ns() // 1_000_000
    digest = "ab" * 32
    verdict = passed(
        now,
        verdict_id="ab" * 16,
        session="ab" * 16,
        model_sha256=digest,
        golden_sha256=digest,
        input_sha256=digest,
    )

    def signer(label: str, purpose: Purpose, name: str) -> tuple[bytes, Callable[[bytes], bytes]]:
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = certify(
            fleet.issuing[label],
            leaf_template(purpose, name, key.public_key(), timedelta(minutes=5), datetime.now(UTC)),
        )
        return leaf.public_bytes(Encoding.DER), lambda m: key.sign(m, ec.ECDSA(hashes.SHA256()))

    def check(envelope: bytes, at_ms: int = now) -> Seen:
        return reason_of(
            lambda: verify_verdict(
                envelope, fleet.intermediates, fleet.root.certificate, from_ms(at_ms)
            )
        )

    good = verdict.seal(*signer("gateway-ca", Purpose.VERDICT, "gateway.line-1.gw1"))
    sound = check(good)
    seen = [
        check(verdict.seal(*signer(*who)))
        for who in (
            ("device-ca", Purpose.DEVICE, CAMERA),
            ("gateway-ca", Purpose.GATEWAY, "gateway.line-1.gw1"),
            ("gateway-ca", Purpose.VERDICT, "gateway.line-1.gw2"),
        )
    ]
    seen += [check(good, now + 31_000), check(good.replace(b'"sig":"M', b'"sig":"N'))]
    return Seen(
        not sound.refused and all(s.refused for s in seen),
        "; ".join(dict.fromkeys(s.reason for s in seen)),
    )


@attempt(
    "N115",
    "a controller whose feed goes back, and a challenge key of another fleet in front of an agent",
)
def n115(t: Target) -> Seen:
    view = TrustView(
        Path(tempfile.mkdtemp(prefix="fg-")) / "revision",
        AccessView(None, lambda: t.keys.root.certificate),
    )
    access = access_update(t.keys)
    view.apply(pb.TrustUpdate(revision=7, snapshot=True, access=access))
    back = reason_of(lambda: view.apply(pb.TrustUpdate(revision=6, snapshot=True, access=access)))
    other = found_fleet(Path(tempfile.mkdtemp(prefix="fg-")) / "keys", "plant")
    certificate = other.signing["challenge"].certificate
    rogue = reason_of(
        lambda: verify_certificate(
            certificate, Purpose.CHALLENGE, (), t.context.root_certificate, datetime.now(UTC)
        )
    )
    return Seen(back.refused and rogue.refused, f"{back.reason}; {rogue.reason}")
