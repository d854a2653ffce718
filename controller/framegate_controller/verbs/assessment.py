"""Goals put in force, and what only a person knows, said and signed."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.access.caller import OPERATOR_PREFIX
from framegate.assessment.framework import sayable
from framegate.assessment.goals import Goal, parse_goals
from framegate.assessment.statement import PostureStatement, parse_said, verify_posture
from framegate.errors import Malformed, Reason, Refused
from framegate.record.assessment_events import GoalsSet, PostureStated
from framegate.signed.dsse import envelope_certificate, parse_envelope
from framegate.wire import sha256
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.people.authority import Aim
from framegate_controller.store.ports import Transaction
from framegate_controller.verbs.verb import Call, Outcome, Verb
from framegate_proto.v1 import framegate_pb2 as pb

MAX_ENVELOPE = 24 * 1024
"""Of a statement's envelope: quoted, it has to fit into an entry of the record."""


@dataclass(frozen=True, slots=True)
class GoalsInForce:
    """How many goals are in force, and the entry of the record that has them."""

    index: int
    goals: int


@dataclass(frozen=True, slots=True)
class SetGoals(Verb[GoalsInForce]):
    """Put goals in force; they replace all of before, exactly as they were approved."""

    text: str
    goals: tuple[Goal, ...]

    @classmethod
    def parse(cls, request: pb.SetGoalsRequest) -> Self:
        """Raises Malformed (USAGE): nobody is asked to approve what are no goals."""
        return cls(request.text, parse_goals(request.text))

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        return Aim("goal.set", target="goals", summary=f"{len(self.goals)} goals")

    def run(self, tx: Transaction, call: Call) -> Outcome[GoalsInForce]:
        """See `Verb.run`."""
        digest = sha256(self.text.encode()).hex()
        index = tx.record(GoalsSet(goals=len(self.goals), sha256=digest, text=self.text))
        return Outcome(GoalsInForce(index, len(self.goals)))


@dataclass(frozen=True, slots=True)
class Stated:
    """What was said, until when, and the entry of the record that has it."""

    index: int
    about: tuple[str, ...]
    expires_ms: int


@dataclass(frozen=True, slots=True)
class StatePosture(Verb[Stated]):
    """Say what only a person knows; the file is signed with the key of the caller's session."""

    envelope: bytes

    @classmethod
    def parse(cls, request: pb.StatePostureRequest) -> Self:
        """Raises Malformed (TOO_LARGE, ENVELOPE)."""
        if len(request.envelope) > MAX_ENVELOPE:
            wanted = f"an envelope of at most {MAX_ENVELOPE} bytes"
            raise Malformed.of(Reason.TOO_LARGE, wanted, len(request.envelope))
        parse_envelope(request.envelope, PostureStatement.TYPE)
        return cls(request.envelope)

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        digest = sha256(self.envelope).hex()[:16]
        return Aim("posture.state", target="statement", summary=f"statement {digest}")

    def run(self, tx: Transaction, call: Call) -> Outcome[Stated]:
        """See `Verb.run`.

        1. it is signed with a session's key of this fleet, today (`verify_posture`); 2. by the
        caller; 3. its file holds (`parse_said`). Raises Malformed or Refused (SIGNATURE).
        """
        keys = call.fleet.keys
        issuer = _issuer(self.envelope, keys)
        said = verify_posture(self.envelope, issuer, keys.root.certificate, tx.now_ms)  # 1
        if OPERATOR_PREFIX + said.operator != call.actor:  # 2
            wanted = f"a statement signed by {call.actor}"
            raise Refused.of(Reason.SIGNATURE, wanted, f"one by {said.operator[:60]!a}")
        told = parse_said(said.text, sayable(), tx.now_ms)  # 3
        about = tuple(s.about for s in told)
        expires_ms = max(s.expires_ms for s in told)
        event = PostureStated(
            statements=len(told),
            about=about,
            expires_ms=expires_ms,
            envelope=self.envelope.decode("ascii"),
            issuer=base64.b64encode(issuer.public_bytes(Encoding.DER)).decode(),
        )
        return Outcome(Stated(tx.record(event), about, expires_ms))


def _issuer(envelope: bytes, keys: FleetKeys) -> x509.Certificate:
    """The issuing authority that the signer's certificate names: a stranger's word, to be
    verified.
    """
    certificate = envelope_certificate(parse_envelope(envelope, PostureStatement.TYPE))
    for known in keys.intermediates:
        if known.subject == certificate.issuer and _key_id(known) == _issuer_id(certificate):
            return known
    named = certificate.issuer.rfc4514_string()
    wanted, hint = "a certificate of this fleet's operators", "framegate login NAME"
    raise Refused.of(Reason.CERTIFICATE, wanted, ascii(named)[:80], hint)


def _key_id(certificate: x509.Certificate) -> bytes | None:
    try:
        return certificate.extensions.get_extension_for_class(
            x509.SubjectKeyIdentifier
        ).value.digest
    except x509.ExtensionNotFound:
        return None


def _issuer_id(certificate: x509.Certificate) -> bytes | None:
    try:
        return certificate.extensions.get_extension_for_class(
            x509.AuthorityKeyIdentifier
        ).value.key_identifier
    except x509.ExtensionNotFound:
        return None
