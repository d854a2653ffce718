"""What a sign-in brings: a certificate for a key made here, looked at before it is used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import Reason, Refused
from framegate.identity.certificates import Purpose, load_certificate, verify_certificate
from framegate.identity.pem import private_pem


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionCredential:
    """A person's session: chain and key in PEM, the issuing CAs, when it ends, and where the fleet
    says that it is served (empty: where it was). Made by `session_credential` only.
    """

    operator: str
    certificate: bytes
    key: bytes
    authorities: tuple[x509.Certificate, ...]
    expires_ms: int
    fleet_address: str

    @property
    def authorities_pem(self) -> bytes:
        """The issuing CAs in PEM."""
        return b"".join(c.public_bytes(Encoding.PEM) for c in self.authorities)


def certificate_request(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A certificate request that names nobody: the controller knows who signs in."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def session_credential(
    root: x509.Certificate, key: ec.EllipticCurvePrivateKey, session: Any
) -> SessionCredential:
    """The credential in `session` (a SignedIn).

    1. its certificate is an operator's, of an issuing CA of this fleet; 2. it is for this key;
    3. it names the person whom the controller says to have signed in. Raises Malformed, Refused
    (CERTIFICATE).
    """
    issuing = tuple(load_certificate(der) for der in session.authorities)
    certificate = load_certificate(session.certificate)
    begins = certificate.not_valid_before_utc
    verified = verify_certificate(certificate, Purpose.OPERATOR, issuing, root, begins)  # 1
    name = f"operator.{session.operator}"
    if verified.key != key.public_key() or verified.common_name != name:  # 2, 3
        wanted = f"a certificate for the key of this sign-in and {session.operator}"
        raise Refused.of(Reason.CERTIFICATE, wanted, verified.common_name)
    issuer = load_certificate(session.issuer)
    return SessionCredential(
        operator=session.operator,
        certificate=certificate.public_bytes(Encoding.PEM) + issuer.public_bytes(Encoding.PEM),
        key=private_pem(key),
        authorities=issuing,
        expires_ms=session.expires_ms,
        fleet_address=session.fleet_address,
    )
