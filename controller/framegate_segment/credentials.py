"""What an enforcer holds: its key and certificate, the fleet's root and its issuing CAs."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from framegate.errors import FramegateError, Reason, Refused, Unavailable
from framegate.identity.certificates import common_name, load_authorities
from framegate.identity.enforcer import EnforcerName, parse_enforcer
from framegate_host.certificate_end import BroughtCertificate, Life
from framegate_proto.fleet_channel import FleetCaller

_FILES = "enforcer.key, enforcer.pem, root.pem, authorities.pem"


@dataclass(frozen=True, slots=True)
class EnforcerCredentials:
    """The folder that `framegate-controller enforcer-certificate` wrote; `caller` is what TLS
    takes of it.
    """

    name: str
    zone: str
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    root: x509.Certificate
    caller: FleetCaller

    @property
    def der(self) -> bytes:
        """The certificate's DER."""
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def brought(self) -> BroughtCertificate:
        """The certificate, as something that ends."""
        _, _, own = self.name.rpartition(".")
        do = (
            f"framegate-controller enforcer-certificate {own} --zone {self.zone} --out FOLDER, and"
            " start this anew"
        )
        return BroughtCertificate(self.name, lambda: Life.of(self.certificate), do)

    def sign(self, message: bytes) -> bytes:
        """DER ECDSA-SHA256 signature."""
        return self.key.sign(message, ec.ECDSA(hashes.SHA256()))


def load_credentials(folder: Path) -> EnforcerCredentials:
    """The credentials in `folder`.

    1. the key is its owner's alone; 2. it is the certificate's; 3. that is an enforcer's; 4. the
    issuing CAs are signed by the root. Raises Unavailable or Refused, saying what to do.
    """
    quoted = shlex.quote(str(folder))
    hint = f"framegate-controller enforcer-certificate NAME --zone ZONE --out {quoted}"
    key_file = folder / "enforcer.key"
    try:
        if key_file.stat().st_mode & 0o077:  # 1
            wanted = f"{key_file} readable by its owner alone"
            raise Refused.of(Reason.USAGE, wanted, "others can read it", f"chmod 600 {key_file}")
        key_pem, chain_pem = key_file.read_bytes(), (folder / "enforcer.pem").read_bytes()
        key = load_pem_private_key(key_pem, None)
        certificate = x509.load_pem_x509_certificates(chain_pem)[0]
        root = x509.load_pem_x509_certificate((folder / "root.pem").read_bytes())
        issuing = x509.load_pem_x509_certificates((folder / "authorities.pem").read_bytes())
    except OSError as error:
        raise Unavailable.of(
            Reason.UNAVAILABLE, f"{_FILES} in {folder}", error.strerror or error, hint
        ) from error
    except ValueError as error:
        raise Refused.of(Reason.CERTIFICATE, f"PEM files in {folder}", error, hint) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or (
        key.public_key() != certificate.public_key()
    ):  # 2
        raise Refused.of(Reason.CERTIFICATE, "a key and its certificate", "another's", hint)
    named = _named(certificate, hint)  # 3
    authorities = load_authorities([c.public_bytes(Encoding.DER) for c in issuing], root)  # 4
    servers = [a for a in authorities if "server-ca" in a.subject.rfc4514_string()]
    return EnforcerCredentials(
        name=common_name(certificate),
        zone=named.zone,
        key=key,
        certificate=certificate,
        root=root,
        caller=FleetCaller(
            b"".join(a.public_bytes(Encoding.PEM) for a in servers), key_pem, chain_pem
        ),
    )


def _named(certificate: x509.Certificate, hint: str) -> EnforcerName:
    try:
        return parse_enforcer(common_name(certificate))
    except FramegateError as error:
        wanted = "an enforcer's certificate"
        raise Refused.of(Reason.CERTIFICATE, wanted, common_name(certificate), hint) from error
