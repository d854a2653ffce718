"""Reviews: a person's word on a verdict, into the record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from framegate.errors import Malformed, Reason, Refused
from framegate.identity.certificates import common_name, from_ms
from framegate.record.review_events import VerdictReviewed
from framegate.signed.dsse import envelope_certificate, parse_envelope
from framegate.signed.statement import CLOCK_SLACK_MS, Verdict
from framegate.wire import sha256
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.people.authority import Aim
from framegate_controller.store.ports import Transaction
from framegate_controller.verbs.verb import Call, Outcome, Verb
from framegate_proto.v1 import framegate_pb2 as pb

MAX_VERDICT_BYTES: Final = 64 * 1024
"""A verdict with a hundred defects has a quarter of that."""
MAX_NOTE: Final = 500


@dataclass(frozen=True, slots=True)
class ReviewVerdict(Verb[Verdict]):
    """Say of a verdict, which is shown as it was signed, whether it was right."""

    envelope: bytes
    claimed: Verdict
    right: bool
    note: str

    @classmethod
    def parse(cls, request: pb.ReviewVerdictRequest) -> Self:
        """Raises Malformed (USAGE, ENVELOPE)."""
        if len(request.verdict) > MAX_VERDICT_BYTES or len(request.note) > MAX_NOTE:
            wanted = f"a verdict of {MAX_VERDICT_BYTES} bytes, a note of {MAX_NOTE} characters"
            came = f"{len(request.verdict)}, {len(request.note)}"
            raise Malformed.of(Reason.USAGE, wanted, came)
        claimed = Verdict.parse_payload(parse_envelope(request.verdict, Verdict.TYPE).payload)
        return cls(request.verdict, claimed, request.right, request.note)

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`; the zone that it claims to be of, which `run` establishes."""
        said = "right" if self.right else "wrong"
        about = f"{self.claimed.outcome} on {self.claimed.part} was {said}"
        return Aim("verdict.review", self.claimed.zone, self.claimed.verdict_id[:32], about)

    def run(self, tx: Transaction, call: Call) -> Outcome[Verdict]:
        """See `Verb.run`. Raises Malformed or Refused (VERDICT)."""
        verdict = signed_verdict(self.envelope, call.fleet.keys, tx.now_ms)
        tx.record(
            VerdictReviewed(
                device=verdict.device,
                verdict_id=verdict.verdict_id,
                sha256=sha256(self.envelope).hex(),
                line=verdict.zone,
                part=verdict.part,
                part_type=verdict.part_type,
                outcome=verdict.outcome,
                because=verdict.reason,
                right=self.right,
                note=self.note,
            )
        )
        return Outcome(verdict)


def signed_verdict(envelope: bytes, keys: FleetKeys, now_ms: int) -> Verdict:
    """A verdict of this fleet, however old.

    1. it is signed by a key whose certificate is this fleet's, for verdicts (`Statement.verify`, at
       a moment at which that lived);
    2. it was made while that lived, and not in the future;
    3. the certificate names the gateway that it claims to be of.

    Raises Malformed or Refused (VERDICT).
    """
    certificate = envelope_certificate(parse_envelope(envelope, Verdict.TYPE))
    born, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    at = min(max(from_ms(now_ms), born), ends)
    verdict, signer = Verdict.verify(envelope, keys.intermediates, keys.root.certificate, at)  # 1
    made = verdict.issued_at_ms
    if not born <= from_ms(made) <= ends or made > now_ms + CLOCK_SLACK_MS:  # 2
        wanted = "a verdict of the past, made while its signer's certificate lived"
        raise Refused.of(Reason.VERDICT, wanted, f"made at {made}, now {now_ms}")
    if common_name(signer) != verdict.gateway:  # 3
        raise Refused.of(Reason.VERDICT, f"a signature of {verdict.gateway}", common_name(signer))
    return verdict
