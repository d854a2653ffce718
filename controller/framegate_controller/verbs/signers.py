"""Signers of firmware profiles: whose word counts no more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from framegate.identity.certificates import common_name, load_certificate
from framegate.registry.rollout import RevokedSigner
from framegate_controller.fleet.profiles import revoke_signer
from framegate_controller.people.authority import Aim
from framegate_controller.store.ports import Transaction
from framegate_controller.verbs.verb import MAX_REASON, Call, Outcome, Verb
from framegate_proto.v1 import framegate_pb2 as pb


@dataclass(frozen=True, slots=True)
class RevokeSigner(Verb[RevokedSigner]):
    """A profile signer's word counts no more, for what is signed already too."""

    certificate: x509.Certificate
    name: str
    why: str

    @classmethod
    def parse(cls, request: pb.RevokeSignerRequest) -> Self:
        """Raises Malformed, Refused (CERTIFICATE)."""
        certificate = load_certificate(request.certificate)
        return cls(certificate, common_name(certificate), request.reason[:MAX_REASON])

    @property
    def reason(self) -> str:
        """See `Verb.reason`."""
        return self.why

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`. That the name is a signer's of this fleet, `run` establishes."""
        printed = self.certificate.fingerprint(hashes.SHA256()).hex()
        summary = f"revoke the profile signer {self.name}, sha256 {printed}"
        return Aim("signer.revoke", target=self.name, summary=summary)

    def run(self, tx: Transaction, call: Call) -> Outcome[RevokedSigner]:
        """See `Verb.run`."""
        return Outcome(revoke_signer(tx, call.fleet.keys, self.certificate, self.why))
