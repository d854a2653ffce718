"""TPM makers whose word counts for the EKs of machines that join."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from framegate.errors import Malformed, Reason
from framegate.identity.certificates import UNREADABLE
from framegate.identity.endorsement import load_maker_certificate
from framegate.registry.device import TpmMaker
from framegate_controller.fleet.makers import add_maker
from framegate_controller.people.authority import Aim
from framegate_controller.store.ports import Transaction
from framegate_controller.verbs.verb import Call, Outcome, Verb
from framegate_proto.v1 import framegate_pb2 as pb

MAX_SUBJECT: Final = 200
"""Characters of a certificate's subject, in what approvers read."""


@dataclass(frozen=True, slots=True)
class AddTpmMaker(Verb[TpmMaker]):
    """Trust a TPM maker's CA; `subject` as its certificate says it."""

    certificate: x509.Certificate
    subject: str

    @classmethod
    def parse(cls, request: pb.TpmCa) -> Self:
        """Read as makers write them, DER or not. Raises Malformed (CERTIFICATE; USAGE where it says
        more than the certificate).
        """
        if request != pb.TpmCa(certificate=request.certificate):
            expected = "a certificate alone: its subject and digest are read from it"
            raise Malformed.of(Reason.USAGE, expected, "other members as well")
        try:
            certificate = load_maker_certificate(request.certificate).certificate
            return cls(certificate, certificate.subject.rfc4514_string()[:MAX_SUBJECT])
        except (Malformed, *UNREADABLE) as error:
            raise Malformed.of(
                Reason.CERTIFICATE, "a TPM maker's certificate, DER", str(error)
            ) from error

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        printed = self.certificate.fingerprint(hashes.SHA256()).hex()
        summary = f"trust the TPM maker {self.subject}, sha256 {printed}"
        return Aim("trust.add", target=printed, summary=summary)

    def run(self, tx: Transaction, call: Call) -> Outcome[TpmMaker]:
        """See `Verb.run`."""
        return Outcome(add_maker(tx, self.certificate))


@dataclass(frozen=True, slots=True)
class ListTpmMakers(Verb[list[TpmMaker]]):
    """The makers' CAs that are trusted."""

    @classmethod
    def parse(cls, _request: pb.ListRequest) -> Self:
        """Nothing is asked for."""
        return cls()

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        return Aim("trust.show")

    def run(self, tx: Transaction, call: Call) -> Outcome[list[TpmMaker]]:
        """See `Verb.run`."""
        return Outcome(tx.makers.all())
