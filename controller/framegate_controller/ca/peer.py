"""Who is at the other end of a connection.

Established from the certificate it presented, anew for every call and every stream message.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from framegate.errors import Reason, Refused
from framegate.identity.certificates import Purpose, VerifiedCertificate
from framegate_controller.ca.chains import VerifiedChains
from framegate_controller.ca.keys import FleetKeys

_CHAINS = VerifiedChains()


@dataclass(frozen=True, slots=True)
class Peer:
    """A peer's verified certificate and its network address."""

    identity: VerifiedCertificate
    address: str

    @property
    def name(self) -> str:
        """The certificate's common name: a device id, or operator.<name>."""
        return self.identity.common_name


def known_peer(
    certificate: x509.Certificate, keys: FleetKeys, now: datetime, purpose: Purpose
) -> VerifiedCertificate | None:
    """The same where it was established before and holds at `now`; None where it takes looking."""
    return _CHAINS.known(certificate, purpose, keys, now)


def verify_peer(
    certificate: x509.Certificate, address: str, keys: FleetKeys, now: datetime, *purposes: Purpose
) -> Peer:
    """The peer, whose certificate must chain to this fleet at `now` and be for one of `purposes`.

    Anything else is refused: a device's certificate names one purpose, so it never opens an
    operator's call, and an operator's never a device's (N80, N81). Raises Refused: WRONG_ROLE where
    the certificate is of this fleet and for something else.
    """
    problem = Refused.of(Reason.UNAUTHENTICATED, "a certificate of this fleet", "another")
    for purpose in purposes:
        try:
            identity = _CHAINS.verify(certificate, purpose, keys, now)
        except Refused as error:
            problem = error
        else:
            return Peer(identity, address)
    for purpose in set(Purpose) - set(purposes):  # it has one purpose at most
        try:
            other = _CHAINS.verify(certificate, purpose, keys, now)
        except Refused:
            continue
        wanted = "a certificate for " + " or ".join(p.name.lower() for p in purposes)
        actual = f"{other.common_name}, which is for {purpose.name.lower()}"
        raise Refused.of(Reason.WRONG_ROLE, wanted, actual)
    raise problem
