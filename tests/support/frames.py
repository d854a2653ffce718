"""A gateway's admission without a network."""

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from framegate.identity.certificates import spki_of
from framegate.signed.statement import Grant
from framegate.wire import Captured, GatewayPublics, sha256
from framegate_agent.camera.session import AskedGrant, FrameSession, hold_grant
from framegate_controller.ca.keys import FleetKeys
from framegate_gateway.admission.link import CameraLink, OpenedFrame
from framegate_gateway.trust.access import AccessView
from framegate_gateway.trust.feed import TrustView
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
    """A gateway's admission with a warrant, a feed that says who is trusted, and a camera with
    a certificate.
    """

    def __init__(self, fleet: FleetKeys) -> None:
        self.fleet, self.now_s = fleet, 1000.0
        self.view = TrustView(
            None, AccessView(None, lambda: fleet.root.certificate), monotonic=lambda: self.now_s
        )
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

    def issue(
        self,
        name: str,
        key: SoftKey,
        life: timedelta = timedelta(minutes=3),
        label: str = "device-ca",
    ):
        from framegate.identity.certificates import Purpose
        from framegate_controller.ca.issue import certify
        from framegate_controller.ca.template import leaf_template

        return certify(
            self.fleet.issuing[label],
            leaf_template(Purpose.DEVICE, name, key.private.public_key(), life, datetime.now(UTC)),
        )

    def trust(
        self,
        state: str = "trusted",
        *,
        remaining_ms: int = 60_000,
        host_state: str = "trusted",
        spki: bytes | None = None,
        snapshot: bool = True,
    ) -> None:
        self.revision += 1
        digest = sha256(spki_of(self.key.private.public_key())) if spki is None else spki
        devices = [
            pb.DeviceTrust(
                device=CAMERA,
                state=state,
                remaining_ms=remaining_ms,
                spki_sha256=digest,
                result_id="res",
                facts=facts_text(CAMERA, state=state),
            )
        ]
        devices.append(pb.DeviceTrust(device=HOST, state=host_state, remaining_ms=60_000))
        access = self.access if snapshot else None
        self.view.apply(
            pb.TrustUpdate(
                revision=self.revision,
                snapshot=snapshot,
                devices=devices,
                now_ms=time.time_ns() // 1_000_000,
                access=access,
            )
        )

    def grant(self, nonce: bytes = b"n" * 32, **changes) -> bytes:
        digest, key = self.keys.offered
        publics = GatewayPublics.parse(key.publics)
        grant = Grant(
            grant_id="g",
            camera=CAMERA,
            nonce=nonce.hex(),
            issued_at_ms=time.time_ns() // 1_000_000,
            ttl_s=60,
            host=HOST,
            result_id="r",
            zone="line-1",
            publics_sha256=digest.hex(),
            tls_spki_sha256="",
            hpke_kem=publics.hpke_kem,
            hpke_public=publics.hpke_public.hex(),
            address=publics.address,
            model_sha256="",
            policy="p",
            mask_version=0,
            mask_sha256="",
        )
        signer = self.fleet.signing["grant"]
        return replace(grant, **changes).seal(signer.der, signer.sign)

    def hold(self, envelope: bytes, nonce: bytes = b"n" * 32):
        authorities = tuple(k.certificate for k in self.fleet.issuing.values())
        return hold_grant(
            envelope,
            AskedGrant(CAMERA, nonce, time.monotonic()),
            authorities,
            self.fleet.root.certificate,
            time.time_ns() // 1_000_000,
        )

    def link(self) -> CameraLink:
        return CameraLink(self.certificate, self.keys, self.view)

    def session(self, link: CameraLink, **changes) -> FrameSession:
        envelope = self.grant(**changes)
        return FrameSession(
            self.hold(envelope),
            link.offer(),
            "source-1",
            CAMERA,
            spki_of(self.key.private.public_key()),
        )

    def opened(self) -> tuple[CameraLink, FrameSession]:
        link = self.link()
        session = self.session(link)
        signed = session.opening(self.key)
        assert link.open(signed.opening, signed.signature) == session.kid
        return link, session


@pytest.fixture
def door(keys: FleetKeys) -> Door:
    """A gateway that admits one trusted camera."""
    return Door(keys)


HEAD = Captured(
    part="p1",
    part_type="t",
    trigger_sequence=1,
    captured_at_ms=5,
    uncertainty_ms=1,
    encoding=1,
    width=64,
    height=64,
    mask_version=0,
    mask_sha256=b"",
    size=4,
)


def replace_head(**changes) -> Captured:
    return replace(HEAD, **changes)


def opened(link: CameraLink, frame: pb.SealedFrame) -> OpenedFrame:
    return link.open_frame(frame.metadata, frame.sealed)
