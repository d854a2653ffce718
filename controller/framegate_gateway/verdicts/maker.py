"""Make and sign verdicts: the receipt's leaf is durable first, then everyone who is owed the
verdict gets it.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final, NamedTuple, Protocol

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import FramegateError, Reason, Refused, Unavailable
from framegate.looks.kinds import AT_THE_GATE, KINDS
from framegate.payload.contract import PICTURE_NAME
from framegate.signed.dsse import pae, seal_envelope
from framegate.signed.receipt import (
    Provenance,
    TriggerGap,
    event_leaf,
    gap_leaf,
    verdict_leaf,
)
from framegate.signed.statement import Outcome, Verdict
from framegate.wire import FrameMetadata
from framegate_gateway.admission.admitted import Admitted
from framegate_gateway.inference.inspection import Inspection
from framegate_gateway.inference.models import Models
from framegate_gateway.receipts.rows import EVENT, GAP, VERDICT, LeafRow, Seal
from framegate_gateway.receipts.store import ReceiptStore
from framegate_gateway.trust.feed import TrustView
from framegate_gateway.trust.keys import Credentials, GatewayKeys
from framegate_gateway.verdicts.journal import Journal, KeptFrame
from framegate_gateway.verdicts.publish import Publisher
from framegate_gateway.verdicts.traffic import Traffic

log = logging.getLogger(__name__)
VERDICT_LIFE_MS: Final = 30_000
"""A part on a conveyor waits seconds; a verdict that arrives later must not open a gate."""


_NOT_INSPECTED: Final = Inspection((), "", 0)


_REVIEWED: Final = frozenset(k.reason for look, k in KINDS.items() if look not in AT_THE_GATE)


def _for_review(reason: Reason, admitted: Admitted | None) -> KeptFrame | None:
    """A frame that a second look withheld, for somebody to look at."""
    if admitted is None or reason not in _REVIEWED:
        return None
    metadata = admitted.metadata
    return KeptFrame(admitted.image, metadata.encoding, (), metadata.part_type)


@lru_cache(maxsize=8)
def _der(certificate: x509.Certificate) -> bytes:
    """Remembered: it stands in every verdict, and is another with each warrant."""
    return certificate.public_bytes(Encoding.DER)


class FrameKeeper(Protocol):
    """Where inspected frames go to rest; never waits."""

    def keep(self, verdict: Verdict, image: bytes, encoding: int, mask_version: int) -> None:
        """Take a frame, or drop and count it."""


@dataclass(frozen=True, slots=True)
class _Frame:
    """What is known of the frame behind a verdict."""

    metadata: FrameMetadata
    metadata_bytes: bytes = b""
    image_sha256: str = ""
    counter: int = 0
    admitted: Admitted | None = None
    model: str = ""


class _Signed(NamedTuple):
    """A verdict, the bytes that were signed, the envelope in which it leaves, and its seal."""

    verdict: Verdict
    payload: bytes
    envelope: bytes
    seal: Seal


class VerdictMaker:
    """Signs verdicts for one gateway process. PASS and DEFECT need an admitted frame and an
    inspection; everything else is UNINSPECTED.
    """

    def __init__(
        self,
        keys: GatewayKeys,
        view: TrustView,
        models: Models,
        journal: Journal,
        publisher: Publisher | None,
        receipts: ReceiptStore,
        vault: FrameKeeper | None = None,
    ) -> None:
        self._keys, self._view, self._journal, self._publisher, self._receipts, self._vault = (
            keys,
            view,
            journal,
            publisher,
            receipts,
            vault,
        )
        self._models = models
        self._last: Credentials | None = None

    @property
    def traffic(self) -> Traffic:
        """What each camera has sent lately."""
        return self._journal.traffic

    async def inspected(self, admitted: Admitted, inspection: Inspection, took_ms: float) -> bytes:
        """The signed verdict on an inspected frame. Raises Unavailable (RECEIPT) where its receipt
        cannot be kept: then it does not exist.
        """
        outcome = Outcome.DEFECT if inspection.defects else Outcome.PASS
        frame = _Frame(
            admitted.metadata,
            admitted.metadata_bytes,
            admitted.image_sha256.hex(),
            admitted.counter,
            admitted,
        )
        verdict, envelope = await self._made(frame, outcome, "", inspection, took_ms)
        kept = (
            KeptFrame(
                admitted.image,
                admitted.metadata.encoding,
                inspection.defects,
                admitted.metadata.part_type,
            )
            if inspection.defects
            else None
        )
        if self._vault is not None:
            self._vault.keep(
                verdict, admitted.image, admitted.metadata.encoding, admitted.metadata.mask_version
            )
        self._journal.add(verdict, envelope, kept)
        self._journal.took(took_ms / 1000)
        return envelope

    async def uninspected(
        self,
        metadata: FrameMetadata,
        reason: Reason,
        counter: int = 0,
        admitted: Admitted | None = None,
        model: str = "",
    ) -> bytes:
        """The signed verdict on a frame that was refused or could not be inspected. The caller MUST
        have opened it with its session's key: a claim gets no verdict.

        `model` is the digest (hex) that the sender's grant names, where there is one.
        """
        if admitted is None:
            frame = _Frame(metadata, counter=counter, model=model)
        else:
            frame = _Frame(
                metadata,
                admitted.metadata_bytes,
                admitted.image_sha256.hex(),
                admitted.counter,
                admitted,
            )
        try:
            verdict, envelope = await self._made(frame, Outcome.UNINSPECTED, reason.value)
        except Unavailable as error:
            if error.reason != Reason.RECEIPT:
                raise
            # a full disk must not silence the gateway: what diverts the part may leave without a
            # receipt, what lets it pass may not
            signed = self._signed(frame, Outcome.UNINSPECTED, Reason.RECEIPT.value)
            verdict, envelope = signed.verdict, signed.envelope
            self._publish(verdict, envelope)
        self._journal.add(verdict, envelope, _for_review(reason, admitted))
        return envelope

    async def gap(self, gap: TriggerGap) -> None:
        """The receipt of triggers that never came: one leaf, no verdict. They count as UNINSPECTED
        here whether or not the leaf could be kept; the line has diverted their parts by itself.
        """
        try:
            credentials = self._credentials()
            number, now = self._receipts.next_number(), self._view.now_ms()
            identifier = secrets.token_hex(16)
            leaf = gap_leaf(number, identifier, credentials.device, credentials.zone, now, gap)
            await self._receipts.append(
                LeafRow(
                    number,
                    identifier,
                    GAP,
                    gap.device,
                    b"",
                    0,
                    "",
                    now,
                    leaf,
                )
            )
        except FramegateError as error:
            log.warning("a gap of %s has no receipt: %s", gap.device, error)
        self._journal.gap(gap.device, gap.count, self._view.now_ms())

    def looked_at(self, device: str, part_type: str, inspection: Inspection) -> None:
        """Tell of what second looks saw beside a frame's verdict."""
        self._journal.looked_at(device, part_type, inspection)

    def unanswered(self, device: str, reason: Reason) -> None:
        """Count what is not answered: it did not open, or its camera's budget is spent."""
        self._journal.not_answered(device, reason)

    def opening_refused(self, device: str, error: FramegateError) -> None:
        """Tell of a conversation that ended before an opening was accepted."""
        if self._journal.sightings is not None:
            self._journal.sightings.opening_refused(device, error)

    async def event(
        self, identifier: str, event: str, actor: str, detail: Mapping[str, Any]
    ) -> None:
        """A leaf for something else that happened here: an export, an erasure. Raises Unavailable
        (RECEIPT) where it cannot be kept.
        """
        credentials = self._credentials()
        number, now = self._receipts.next_number(), self._view.now_ms()
        leaf = event_leaf(number, identifier, credentials.device, now, event, actor, detail)
        await self._receipts.append(
            LeafRow(
                number,
                identifier,
                EVENT,
                str(detail.get("device", "")),
                b"",
                0,
                str(detail.get("part", "")),
                now,
                leaf,
            )
        )

    async def _made(
        self,
        frame: _Frame,
        outcome: Outcome,
        reason: str,
        inspection: Inspection = _NOT_INSPECTED,
        took_ms: float = 0.0,
    ) -> tuple[Verdict, bytes]:
        verdict, payload, envelope, seal = self._signed(frame, outcome, reason, inspection)
        number = self._receipts.next_number()
        behind = replace(
            self._provenance(frame), guarded_by=inspection.guarded_by, backend=inspection.backend
        )
        version = frame.metadata.mask_version if frame.metadata_bytes else 0
        leaf = verdict_leaf(
            number, verdict, payload, frame.metadata_bytes, behind, took_ms, mask_version=version
        )
        await self._receipts.append(
            LeafRow(
                number,
                verdict.verdict_id,
                VERDICT,
                verdict.device,
                frame.metadata.session,
                verdict.counter,
                verdict.part,
                verdict.issued_at_ms,
                leaf,
                payload,
                frame.metadata_bytes,
                envelope,
                seal,
            )
        )
        self._publish(verdict, envelope)
        return verdict, envelope

    def _signed(
        self,
        frame: _Frame,
        outcome: Outcome,
        reason: str,
        inspection: Inspection = _NOT_INSPECTED,
    ) -> _Signed:
        credentials = self._credentials()
        if outcome != Outcome.UNINSPECTED and self._keys.credentials is None:
            raise Refused.of(
                Reason.NOT_TRUSTED, "a host in standing", self._keys.refused or "no warrant"
            )
        now, m = self._view.now_ms(), frame.metadata
        verdict = Verdict(
            verdict_id=secrets.token_hex(16),
            gateway=credentials.device,
            device=m.device,
            zone=credentials.zone,
            part=m.part,
            part_type=m.part_type,
            trigger_sequence=m.trigger_sequence,
            outcome=outcome.value,
            reason=reason,
            defects=inspection.defects,
            model_sha256=self._model(frame),
            golden_sha256=inspection.golden_sha256,
            inspected_percent=inspection.inspected_percent,
            inspected_of=inspection.inspected_of.value,
            input_sha256=frame.image_sha256,
            result_id=frame.admitted.standing.result_id if frame.admitted else "",
            session=m.session.hex(),
            counter=frame.counter,
            issued_at_ms=now,
            valid_until_ms=now + VERDICT_LIFE_MS,
            stage=self._view.access.stage(credentials.zone, now).mark,
            payload_kind=self._payload_kind(m.encoding),
        )
        payload = verdict.payload()
        seal = Seal(self._keys.sign_verdict(pae(Verdict.TYPE, payload)), _der(credentials.verdict))
        envelope = seal_envelope(Verdict.TYPE, payload, seal.certificate, lambda _: seal.signature)
        return _Signed(verdict, payload, envelope, seal)

    def _payload_kind(self, encoding: int) -> str:
        """What a verdict says of it: nothing of a picture, and of what nobody here knows."""
        name = self._models.kinds.name_of(encoding)
        return "" if name == PICTURE_NAME else name

    def _credentials(self) -> Credentials:
        credentials = self._keys.credentials or self._last
        if credentials is None:
            raise Refused.of(
                Reason.NOT_TRUSTED, "a host in standing", self._keys.refused or "no warrant"
            )
        # a host that lost its standing may still say UNINSPECTED while its certificate lives
        self._last = credentials
        return credentials

    def _model(self, frame: _Frame) -> str:
        """The digest a verdict names: that of the model the frame's grant is for, which is the one
        that inspected it.
        """
        return (
            frame.admitted.grant.model_sha256
            if frame.admitted is not None
            else frame.model or self._models.bundle.digest.hex()
        )

    def _provenance(self, frame: _Frame) -> Provenance:
        admitted, credentials, own = frame.admitted, self._credentials(), self._keys.code.hex()
        bundle, name = (
            self._models.bundle_of(self._model(frame)),
            self._models.name_of(self._model(frame)),
        )
        isolation = self._models.isolation_of(self._model(frame))
        provider = self._models.provider_of(self._model(frame))
        if admitted is None:
            return Provenance(
                gateway_result_id=credentials.result_id,
                model_id=name,
                code_sha256=own,
                training_sha256=bundle.training_sha256,
                isolation=isolation,
                provider=provider,
            )
        standing, grant = admitted.standing, admitted.grant
        return Provenance(
            evidence_sha256=standing.evidence_sha256,
            firmware_profile=standing.firmware_profile,
            firmware_profile_sha256=standing.firmware_profile_sha256,
            gateway_result_id=credentials.result_id,
            policy=admitted.policy or grant.policy,
            grant_sha256=grant.grant_sha256,
            model_id=name,
            code_sha256=own,
            mask_sha256=admitted.metadata.mask_sha256.hex(),
            training_sha256=bundle.training_sha256,
            isolation=isolation,
            provider=provider,
        )

    def _publish(self, verdict: Verdict, envelope: bytes) -> None:
        if self._publisher is not None:
            self._publisher.publish(verdict, envelope)
