"""Who is at the other end of a connection: established from the certificate it presented, anew for every call and every stream message."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from framegate.errors import Reason, Refused
from framegate.identity.certificates import Purpose, VerifiedCertificate, verify_certificate
from framegate_controller.ca.keys import FleetKeys


@dataclass(frozen=True, slots=True)
class Peer:
    """A peer's verified certificate and its network address."""

    identity: VerifiedCertificate
    address: str

    @property
    def name(self) -> str:
        """The certificate's common name: a device id, or operator.<name>."""
        return self.identity.common_name


def verify_peer(certificate: x509.Certificate, address: str, keys: FleetKeys, now: datetime, *purposes: Purpose) -> Peer:
    """The peer, whose certificate must chain to this fleet at `now` and be for one of `purposes`; anything else is refused.

    A device's certificate names one purpose, so it never opens an operator's call, and an operator's never a device's (N80, N81).
    Raises Refused: WRONG_ROLE where the certificate is of this fleet and for something else.
    """
    problem: Refused | None = None
    for purpose in purposes:
        try:
            return Peer(verify_certificate(certificate, purpose, keys.intermediates, keys.root.certificate, now), address)
        except Refused as error:
            problem = error
    for purpose in Purpose:
        if purpose not in purposes:
            try:
                other = verify_certificate(certificate, purpose, keys.intermediates, keys.root.certificate, now)
            except Refused:
                continue
            wanted = " or ".join(p.name.lower() for p in purposes)
            raise Refused.of(Reason.WRONG_ROLE, f"a certificate for {wanted}", f"{other.common_name}, which is for {purpose.name.lower()}")
    raise problem or Refused.of(Reason.UNAUTHENTICATED, "a certificate of this fleet", "another")
