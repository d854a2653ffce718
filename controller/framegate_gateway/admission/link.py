"""One camera's connection: its certificate, its frame sessions, and the checks that every message
passes.
"""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.codec import MOST_WHOLE
from framegate.errors import Reason, Refused
from framegate.identity.certificates import (
    Purpose,
    VerifiedCertificate,
    from_ms,
    load_certificate,
    verify_certificate,
)
from framegate.identity.names import Kind, split_device_id
from framegate.payload.kinds import BUILT_IN, Kinds, regions_of
from framegate.sframe import Opener, parse_header
from framegate.signed.dsse import parse_envelope
from framegate.signed.mask import MaskRegions, verify_masks
from framegate.signed.statement import Grant, verify_grant
from framegate.wire import (
    LABEL_OPENING,
    MAX_FRAME_BYTES,
    RECENT_FRAMES,
    FrameMetadata,
    Opening,
    SessionOffer,
    opening_info,
    sha256,
)
from framegate_gateway.admission.admitted import Admitted, GrantFacts, OpenedFrame
from framegate_gateway.admission.camera_head import TakenHead, verify_camera_head
from framegate_gateway.trust.feed import Standing, TrustView
from framegate_gateway.trust.keys import GatewayKeys, HpkeKey

OVERLAP_S: Final = 2.0
"""How long an old frame secret still opens frames after its successor is accepted: those already on
the way.
"""
KEPT_MASKS: Final = 4
"""Masks of one connection: those in force, those before them, and room."""
_KIDS: Final = count(secrets.randbits(32) << 16)
"""Key ids of this process, never reused, starting where no earlier process did."""


@dataclass
class _Session:
    session: bytes
    opener: Opener
    source: str
    grant_ends_ms: int
    grant: GrantFacts
    closes_at_s: float = float("inf")
    recent: OrderedDict[bytes, tuple[int, str, str]] = field(default_factory=OrderedDict)


class CameraLink:
    """Admission for one connection of one camera. Every method raises Malformed or Refused and then
    leaves the link as it was. `signed_off` tells that the camera has signed for the session it
    opened last, as it does when it leaves in peace.
    """

    def __init__(
        self,
        certificate: x509.Certificate,
        keys: GatewayKeys,
        view: TrustView,
        kinds: Kinds = BUILT_IN,
    ) -> None:
        self._keys, self._view, self._kinds = keys, view, kinds
        self._identity = self._verified(certificate)
        if split_device_id(self._identity.common_name).kind != Kind.CAMERA:
            raise Refused.of(
                Reason.WRONG_ROLE, "a camera's certificate", self._identity.common_name
            )
        self.device = self._identity.common_name
        self._spki_sha256 = sha256(self._identity.spki)
        self.source = ""
        self.opened = b""
        self.signed_off = False
        self.policies: tuple[str, ...] = ()
        self._model = ""
        self._masks = OrderedDict({b"": MaskRegions()})
        self._offers: dict[bytes, tuple[bytes, HpkeKey]] = {}
        self._sessions: dict[int, _Session] = {}

    def offer(self) -> bytes:
        """A fresh session offer; it replaces one that was not answered, so at most one waits."""
        digest, key = self._keys.offered
        record = SessionOffer(
            session=secrets.token_bytes(16),
            nonce=secrets.token_bytes(32),
            kid=next(_KIDS),
            publics_sha256=digest,
        )
        raw = record.marshal()
        self._offers = {record.session: (raw, key)}
        return raw

    def open(self, opening_bytes: bytes, signature: bytes) -> int:
        """Accept an opening; returns its key id.

        1. the sender stands (`standing`);
        2. it answers the offer that waits, which is spent by this;
        3. its grant is the controller's, for this camera, runs, and names this process, host, model
           and zone;
        4. the camera's TPM key signed label, info and encapsulation;
        5. the encapsulation was not seen before and opens under that info; 6. older secrets close
           within `OVERLAP_S`.
        """
        self.standing()  # 1
        opening = Opening.parse(opening_bytes)
        waiting = self._offers.pop(opening.session, None)
        if waiting is None:  # 2
            raise Refused.of(
                Reason.OPENING_REPLAYED,
                "an answer to the offer that waits",
                "another session",
                "open the stream again",
            )
        raw_offer, key = waiting
        offer = SessionOffer.parse(raw_offer)
        credentials = self._keys.credentials
        if credentials is None:
            raise Refused.of(
                Reason.NOT_TRUSTED, "a host in standing", self._keys.refused or "no warrant"
            )
        now = self._now()
        grant = verify_grant(
            opening.grant, self.device, credentials.authorities, credentials.root, now, nonce=None
        )  # 3
        wanted = (offer.publics_sha256.hex(), credentials.device, credentials.zone)
        if (grant.publics_sha256, grant.host, grant.zone) != wanted:
            raise Refused.of(
                Reason.GRANT,
                "a grant for this gateway process",
                f"{grant.host} {grant.publics_sha256[:16]}",
            )
        payload = parse_envelope(opening.grant, Grant.TYPE).payload
        info = opening_info(raw_offer, payload, self._identity.spki, opening.source)
        try:  # 4
            self._identity.key.verify(
                signature,
                LABEL_OPENING + info + sha256(opening.sealed_secret),
                ec.ECDSA(hashes.SHA256()),
            )
        except InvalidSignature as error:
            raise Refused.of(
                Reason.OPENING, "the camera's signature over this opening", "another"
            ) from error
        secret = key.open(opening.sealed_secret, info)  # 5
        closing = time.monotonic() + OVERLAP_S
        for old in self._sessions.values():  # 6
            old.closes_at_s = min(old.closes_at_s, closing)
        self._sessions = {
            k: s for k, s in self._sessions.items() if s.closes_at_s > time.monotonic()
        }
        self.source = opening.source
        facts = GrantFacts(
            grant.policy,
            sha256(payload).hex(),
            grant.mask_version,
            grant.mask_sha256,
            grant.model_sha256,
        )
        self._model = grant.model_sha256
        self._sessions[offer.kid] = _Session(
            offer.session,
            Opener(secret, offer.kid),
            opening.source,
            grant.issued_at_ms + grant.ttl_s * 1000,
            facts,
        )
        self.opened, self.signed_off = offer.session, False
        return offer.kid

    def head(self, head_bytes: bytes, signature: bytes, tree: bytes) -> TakenHead:
        """A head that this camera signed over one of its sessions, which may be an earlier
        connection's (`verify_camera_head`). That the session was this camera's, the store knows.
        """
        taken = verify_camera_head(head_bytes, signature, tree, self.device, self._identity.key)
        self.signed_off = self.signed_off or taken.session == self.opened
        return taken

    def refresh(self, der: bytes) -> None:
        """A fresh certificate in-band: of the same device and the same key, alive now. Raises
        Refused.
        """
        fresh = self._verified(load_certificate(der))
        if fresh.common_name != self.device or fresh.spki != self._identity.spki:
            raise Refused.of(
                Reason.CERTIFICATE, "a certificate of this device and key", fresh.common_name
            )
        self._identity = fresh

    def take_masks(self, envelope: bytes) -> None:
        """Masks this camera takes frames under, as the controller signed them. Raises Malformed or
        Refused.
        """
        credentials = self._keys.credentials
        if credentials is None:
            raise Refused.of(
                Reason.NOT_TRUSTED,
                "a gateway's host in standing",
                self._keys.refused or "no warrant",
            )
        masks = verify_masks(
            envelope, self.device, 0, credentials.authorities, credentials.root, self._now()
        )
        self._masks[masks.sha256] = masks.regions
        if len(self._masks) > KEPT_MASKS:
            self._masks.popitem(last=False)

    def standing(self) -> Standing:
        """That the sender may send now: host in standing, certificate alive, feed heard, device
        trusted by its present key, allowed by policy. Raises Refused.
        """
        credentials = self._keys.credentials
        if credentials is None:
            raise Refused.of(
                Reason.NOT_TRUSTED,
                "a gateway's host in standing",
                self._keys.refused or "no warrant",
            )
        now = self._now()
        for certificate, whose in (
            (credentials.tls, "gateway"),
            (self._identity.certificate, "camera"),
        ):
            if certificate.not_valid_after_utc <= now:
                raise Refused.of(
                    Reason.CERTIFICATE_EXPIRED,
                    f"a {whose} certificate that lives",
                    "expired",
                    "it is renewed with the next attestation",
                )
        self._view.require(credentials.device)
        standing = self._view.require(self.device, self._spki_sha256)
        self.policies = self._view.access.inspect(
            self.device, standing.facts, self.model, credentials.zone
        )
        return standing

    def open_frame(self, metadata_bytes: bytes, sealed: bytes) -> OpenedFrame:
        """Open one sealed frame. What fails here is nobody's word: it is counted and not answered,
        so that whoever has no session's key cannot make a gateway sign or keep anything.

        1. size;
        2. a session of this link whose opening was accepted and that has not been closed;
        3. counter, tag over header and exact metadata (`Opener.open`);
        4. the metadata, out of the authenticated bytes, parse, are of this device and session, and
           name a trigger that a line can know.
        """
        if len(sealed) > MAX_FRAME_BYTES:  # 1
            raise Refused.of(
                Reason.FRAME_TOO_LARGE, f"at most {MAX_FRAME_BYTES} bytes", len(sealed)
            )
        kid = parse_header(sealed[:17]).kid
        session = self._sessions.get(kid)
        if session is None or session.closes_at_s <= time.monotonic():  # 2
            raise Refused.of(
                Reason.FRAME_SESSION, "an open frame session of this connection", f"key id {kid}"
            )
        counter, missing, image = session.opener.open(sealed, metadata_bytes)  # 3
        metadata = FrameMetadata.parse(metadata_bytes)
        if metadata.device != self.device or metadata.session != session.session:  # 4
            raise Refused.of(
                Reason.FRAME_LABEL, f"a frame of {self.device} in this session", metadata.device
            )
        if metadata.trigger_sequence > MOST_WHOLE:
            raise Refused.of(
                Reason.FRAME_LABEL, f"a trigger of at most {MOST_WHOLE}", metadata.trigger_sequence
            )
        return OpenedFrame(metadata, metadata_bytes, image, counter, missing, kid, session.source)

    def admit(self, frame: OpenedFrame) -> Admitted:
        """Admit one frame that opened, in this order; nothing is decoded before the last check.

        1. the sender stands now;
        2. the session's grant runs;
        3. an encoding of a kind of payload that is known here, and claimed dimensions within its
           limits; captured as lately as its kind wants it;
        4. taken under the masks the grant names, or later ones, which this link has seen signed,
           and which say what of this kind is masked;
        5. not the very bytes of a recent frame under another trigger: no sensor gives one image
           twice (N109).

        The worker reads kind and dimensions from the payload's own header before decoding and
        compares; that the session's model takes this kind, its engine says.
        """
        standing, metadata = self.standing(), frame.metadata  # 1
        session = self._sessions.get(frame.kid)
        if session is None or session.grant_ends_ms <= self._view.now_ms():  # 2
            raise Refused.of(Reason.GRANT_EXPIRED, "a grant that runs", "ended")
        kind = self._kinds.claimed(metadata, self._view.now_ms())  # 3
        masks = regions_of(kind, self._masks_of(metadata, session.grant))  # 4
        digest = sha256(frame.image)
        trigger = (metadata.trigger_sequence, metadata.part_type, metadata.part)
        if session.recent.setdefault(digest, trigger) != trigger:  # 5
            raise Refused.of(
                Reason.FRAME_FROZEN,
                "a new image for a new trigger",
                "the bytes of an earlier frame",
                "look at the camera: its picture stands still",
            )
        if len(session.recent) > RECENT_FRAMES:
            session.recent.popitem(last=False)
        return Admitted(
            metadata,
            frame.metadata_bytes,
            frame.image,
            digest,
            frame.counter,
            frame.missing,
            standing,
            session.grant,
            masks,
            self._decided,
        )

    def _masks_of(self, metadata: FrameMetadata, grant: GrantFacts) -> MaskRegions:
        regions = self._masks.get(metadata.mask_sha256)
        stale = (
            regions is None
            or metadata.mask_version < grant.mask_version
            or (
                metadata.mask_version == grant.mask_version
                and metadata.mask_sha256.hex() != grant.mask_sha256
            )
        )
        if stale or regions is None:
            raise Refused.of(
                Reason.MASK,
                f"masks of version {grant.mask_version}",
                f"version {metadata.mask_version}",
                "the camera takes them with its next grant",
            )
        return regions

    @property
    def _decided(self) -> str:
        """The policy that admitted the last message, and which of its policies."""
        policy = self._view.access.policy
        return f"{policy.label} {','.join(self.policies)}"[:200] if policy is not None else ""

    @property
    def model(self) -> str:
        """Digest (hex) of the model that this camera's latest grant names; before the first, of the
        one in force.
        """
        return self._model or self._keys.model

    @property
    def certified_from_ms(self) -> int:
        """From when on that certificate counts."""
        return int(self._identity.certificate.not_valid_before_utc.timestamp() * 1000)

    def session_certificate(self) -> bytes:
        """DER of the certificate this connection stands under now."""
        return self._identity.certificate.public_bytes(Encoding.DER)

    def _verified(self, certificate: x509.Certificate) -> VerifiedCertificate:
        credentials = self._keys.credentials
        if credentials is None:
            raise Refused.of(
                Reason.NOT_TRUSTED,
                "a gateway's host in standing",
                self._keys.refused or "no warrant",
            )
        return verify_certificate(
            certificate, Purpose.DEVICE, credentials.authorities, credentials.root, self._now()
        )

    def _now(self) -> datetime:
        return from_ms(self._view.now_ms())
