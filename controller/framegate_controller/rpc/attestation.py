"""Challenges and answers to evidence as messages, on both ports."""

from __future__ import annotations

from cryptography.hazmat.primitives.serialization import Encoding

from framegate_controller.context import Fleet
from framegate_controller.fleet.answer import Answer, GatewayWarrant
from framegate_controller.fleet.challenges import SignedChallenge
from framegate_proto.edge import to_failures
from framegate_proto.v1 import framegate_pb2 as pb


def to_challenge(challenge: SignedChallenge, with_offer: int = 0) -> pb.ChallengeReply:
    """A challenge, with the sealed state that comes back with its evidence, of which so many bytes
    may come in its offer.
    """
    return pb.ChallengeReply(
        challenge=challenge.challenge,
        signature=challenge.signature,
        certificate=challenge.certificate,
        state=challenge.state,
        with_offer=with_offer,
    )


def to_answer(answer: Answer, fleet: Fleet) -> pb.AttestationReply:
    """What evidence led to, and what every machine has to know of its fleet."""
    return pb.AttestationReply(
        device=answer.device,
        zone=answer.zone,
        state=answer.state,
        certificate=answer.certificate.public_bytes(Encoding.DER) if answer.certificate else b"",
        authorities=fleet.keys.authorities,
        result_id=answer.result_id,
        result_life_ms=fleet.timing.result_life_ms,
        attest_interval_ms=fleet.timing.interval_ms,
        failures=to_failures(answer.failures),
        retry_with_boot_log=answer.retry_with_boot_log,
        gateways=[_warrant(w) for w in answer.gateways],
        join_address=fleet.addresses.join,
        fleet_address=fleet.addresses.fleet,
    )


def _warrant(warrant: GatewayWarrant) -> pb.GatewayCertificates:
    return pb.GatewayCertificates(
        publics_sha256=warrant.publics_sha256,
        tls_certificate=warrant.tls.public_bytes(Encoding.DER),
        verdict_certificate=warrant.verdict.public_bytes(Encoding.DER),
    )
