"""Make and sign verdicts, and hand each to everyone who is owed it: the stream's answer, the journal, the broker."""

from __future__ import annotations

import secrets
from typing import Any, Final

from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import Reason, Refused
from framegate.statements import Outcome, Verdict
from framegate.wire import FrameMetadata, sha256
from framegate_gateway.admission.link import Admitted
from framegate_gateway.feed import TrustView
from framegate_gateway.inference.engine import Engine, Inspection
from framegate_gateway.keys import Credentials, GatewayKeys
from framegate_gateway.verdicts.journal import Journal, KeptFrame
from framegate_gateway.verdicts.publish import Publisher

VERDICT_LIFE_MS: Final = 30_000
"""A part on a conveyor waits seconds; a verdict that arrives later must not open a gate."""


class VerdictMaker:
    """Signs verdicts for one gateway process. PASS and DEFECT need an admitted frame and an inspection; everything else is UNINSPECTED."""

    def __init__(self, keys: GatewayKeys, view: TrustView, engine: Engine, journal: Journal, publisher: Publisher | None) -> None:
        self._keys, self._view, self._journal, self._publisher = keys, view, journal, publisher
        self._model = engine.bundle.digest.hex()
        self._last: Credentials | None = None

    def inspected(self, admitted: Admitted, inspection: Inspection) -> bytes:
        """The signed verdict on an inspected frame."""
        outcome = Outcome.DEFECT if inspection.defects else Outcome.PASS
        envelope, verdict = self._sign(
            admitted.metadata, outcome, "", inspection.defects, golden=inspection.golden_sha256, image=sha256(admitted.image).hex(),
            result_id=admitted.standing.result_id, counter=admitted.counter,
        )  # fmt: skip
        frame = KeptFrame(admitted.image, admitted.metadata.encoding, inspection.defects) if inspection.defects else None
        self._journal.add(verdict, envelope, frame)
        return envelope

    def uninspected(self, metadata: FrameMetadata, reason: Reason, counter: int = 0) -> bytes:
        """The signed verdict on a frame that was refused or could not be inspected; `metadata` may be no more than a claim."""
        envelope, verdict = self._sign(metadata, Outcome.UNINSPECTED, reason.value, (), golden="", image="", result_id="", counter=counter)
        self._journal.add(verdict, envelope, None)
        return envelope

    def _sign(
        self, metadata: FrameMetadata, outcome: Outcome, reason: str, defects: tuple[dict[str, Any], ...], *, golden: str, image: str, result_id: str, counter: int
    ) -> tuple[bytes, Verdict]:
        credentials = self._keys.credentials or self._last
        if credentials is None or (outcome != Outcome.UNINSPECTED and self._keys.credentials is None):
            raise Refused.of(Reason.NOT_TRUSTED, "a host in standing", self._keys.refused or "no warrant")
        self._last = credentials  # a host that lost its standing may still say UNINSPECTED while its certificate lives
        now = self._view.now_ms()
        verdict = Verdict(
            verdict_id=secrets.token_hex(16), gateway=credentials.device, device=metadata.device, zone=credentials.zone, part=metadata.part,
            part_type=metadata.part_type, trigger_sequence=metadata.trigger_sequence, outcome=outcome.value, reason=reason, defects=defects,
            model_sha256=self._model, golden_sha256=golden, input_sha256=image, result_id=result_id, session=metadata.session.hex(), counter=counter,
            issued_at_ms=now, valid_until_ms=now + VERDICT_LIFE_MS,
        )  # fmt: skip
        envelope = verdict.seal(credentials.verdict.public_bytes(Encoding.DER), self._keys.sign_verdict)
        if self._publisher is not None:
            self._publisher.publish(verdict, envelope)
        return envelope, verdict
