"""A frame session: verify the grant, open the session, seal frames, read verdicts. Nothing is
sealed before the grant holds.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric import mlkem, x25519

from framegate.errors import Malformed, Reason, Refused
from framegate.identity.certificates import from_ms
from framegate.identity.names import Kind, split_device_id
from framegate.sframe import Sealer
from framegate.signed.dsse import parse_envelope
from framegate.signed.statement import Grant, verify_grant
from framegate.wire import (
    Captured,
    FrameMetadata,
    Opening,
    SessionOffer,
    frame_leaf,
    opening_info,
    sha256,
)
from framegate_agent.camera.heads import HeadSpool, OwedSession
from framegate_agent.signing import KeyInTpm, sign_opening
from framegate_proto.v1 import framegate_pb2 as pb

KEM_HYBRID: Final = "MLKEM768-X25519"
"""The only KEM a camera accepts: a recorded stream stays closed to a later quantum computer. There
is no silent fallback.
"""
_MLKEM_PUBLIC: Final = 1184


@dataclass(frozen=True, slots=True)
class HeldGrant:
    """A verified grant, its envelope, and the monotonic time at which it ends, counted from when
    the camera drew its nonce.
    """

    grant: Grant
    envelope: bytes
    ends_at_s: float

    @property
    def alive(self) -> bool:
        """Whether frames may still be sealed under it."""
        return time.monotonic() < self.ends_at_s


@dataclass(frozen=True, slots=True)
class Demands:
    """What this camera asks of a gateway beyond the controller's word; empty: nothing more.
    `models` in hex, `hosts` as device ids.
    """

    models: frozenset[str] = frozenset()
    hosts: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class AskedGrant:
    """What a camera asked the controller for, and when: the nonce that it drew at this monotonic
    second, for itself, with these demands.
    """

    camera: str
    nonce: bytes
    drawn_at_s: float
    demands: Demands = Demands()


def hold_grant(
    envelope: bytes,
    asked: AskedGrant,
    intermediates: tuple[x509.Certificate, ...],
    root: x509.Certificate,
    now_ms: int,
) -> HeldGrant:
    """The grant that came for `asked`, after `verify_grant` and this camera's own demands: zone,
    host, model, its KEM, a key of the right size. Raises Malformed or Refused.
    """
    camera, demands, now = asked.camera, asked.demands, from_ms(now_ms)
    grant = verify_grant(envelope, camera, intermediates, root, now, nonce=asked.nonce)
    zone, host = split_device_id(camera).zone, split_device_id(grant.host)
    if grant.zone != zone or (host.kind, host.zone) != (Kind.GATEWAY, zone):
        raise Refused.of(
            Reason.GRANT,
            f"a gateway of zone {zone}",
            f"{grant.host} of zone {grant.zone}",
            "the controller granted across zones",
        )
    if demands.models and grant.model_sha256 not in demands.models:
        raise Refused.of(
            Reason.MODEL,
            "a gateway with an approved model",
            f"{grant.host} runs {grant.model_sha256[:16]}",
            "approve it on the camera: framegate-agent run --model SHA256",
        )
    if demands.hosts and grant.host not in demands.hosts:
        raise Refused.of(
            Reason.GRANT,
            f"a gateway on {' or '.join(sorted(demands.hosts))}",
            grant.host,
            "approve it on the camera: framegate-agent run --gateway ID",
        )
    if grant.hpke_kem != KEM_HYBRID:
        raise Refused.of(
            Reason.GRANT,
            f"KEM {KEM_HYBRID}",
            grant.hpke_kem,
            "the gateway is too old for this camera",
        )
    _hpke_key(grant)
    return HeldGrant(grant, envelope, asked.drawn_at_s + grant.ttl_s)


class FrameSession:
    """One frame secret towards one gateway. Use `opening()` once, then `seal()` for every frame;
    `owed` is then to be signed for.

    Each sealed frame is a leaf of a tree; the head that the TPM signs at the end says which frames
    this camera really made, and in what order.
    """

    def __init__(
        self,
        lease: HeldGrant,
        offer: bytes,
        source: str,
        camera: str,
        camera_spki: bytes,
        spool: HeadSpool | None = None,
    ) -> None:
        self.lease, self._source, self._camera = lease, source, camera
        parsed = SessionOffer.parse(offer)
        if parsed.publics_sha256.hex() != lease.grant.publics_sha256:
            raise Refused.of(
                Reason.GRANT,
                "an offer of the granted gateway process",
                "another process",
                "wait for a new grant",
            )
        self.session, self.kid = parsed.session, parsed.kid
        payload = parse_envelope(lease.envelope, Grant.TYPE).payload
        self._info = opening_info(offer, payload, camera_spki, source)
        self._secret = secrets.token_bytes(32)
        self._sealer = Sealer(self._secret, self.kid)
        self.owed = (
            spool.begin(lease.grant.host, self.session, camera, self._info)
            if spool
            else OwedSession(lease.grant.host, self.session, camera, self._info)
        )

    def opening(self, key: KeyInTpm) -> pb.SignedOpening:
        """The opening, signed by the TPM. Blocks for one signature."""
        suite = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
        sealed = suite.encrypt(self._secret, _hpke_key(self.lease.grant), self._info)
        record = Opening(
            session=self.session,
            grant=self.lease.envelope,
            source=self._source,
            sealed_secret=sealed,
        )
        return pb.SignedOpening(
            opening=record.marshal(), signature=sign_opening(key, self._info, sha256(sealed))
        )

    def seal(self, head: Captured, image: bytes) -> pb.SealedFrame:
        """The frame, sealed with exactly the metadata it carries. Raises Refused where the grant
        has ended.
        """
        if not self.lease.alive:
            raise Refused.of(
                Reason.GRANT_EXPIRED,
                "a grant that runs",
                "ended",
                "a new one comes with the gateway's next attestation",
            )
        grant = self.lease.grant
        if head.mask_version < grant.mask_version or (
            head.mask_version == grant.mask_version and head.mask_sha256.hex() != grant.mask_sha256
        ):
            raise Refused.of(
                Reason.MASK,
                f"a frame under masks of version {grant.mask_version}",
                f"version {head.mask_version}",
                "the next frame has them",
            )
        metadata = FrameMetadata(
            session=self.session,
            device=self._camera,
            part=head.part,
            part_type=head.part_type,
            trigger_sequence=head.trigger_sequence,
            captured_at_ms=head.captured_at_ms,
            uncertainty_ms=head.uncertainty_ms,
            encoding=head.encoding,
            width=head.width,
            height=head.height,
            mask_version=head.mask_version,
            mask_sha256=head.mask_sha256,
        ).marshal()
        sealed = self._sealer.seal(image, metadata)
        self.owed.sealed(frame_leaf(metadata, sha256(image)))
        return pb.SealedFrame(metadata=metadata, sealed=sealed)


def _hpke_key(grant: Grant) -> hpke.MLKEM768X25519PublicKey:
    try:
        raw = bytes.fromhex(grant.hpke_public)
    except ValueError as error:
        raise Malformed.of(
            Reason.GRANT, "an HPKE key in hexadecimal", "other characters"
        ) from error
    if len(raw) != _MLKEM_PUBLIC + 32:
        raise Malformed.of(Reason.GRANT, f"an HPKE key of {_MLKEM_PUBLIC + 32} bytes", len(raw))
    return hpke.MLKEM768X25519PublicKey(
        mlkem.MLKEM768PublicKey.from_public_bytes(raw[:_MLKEM_PUBLIC]),
        x25519.X25519PublicKey.from_public_bytes(raw[_MLKEM_PUBLIC:]),
    )
