"""What an adapter holds: its key and certificate, and the fleet's root and issuing CAs to verify
verdicts with.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from framegate.errors import Reason, Refused, Unavailable
from framegate.identity.certificates import common_name, load_authorities
from framegate_host.broker_tls import NamedContext, named_context
from framegate_host.certificate_end import BroughtCertificate, Life


@dataclass(frozen=True, slots=True)
class Credentials:
    """The folder that `framegate-controller line-certificate` wrote."""

    folder: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    root: x509.Certificate
    authorities: tuple[x509.Certificate, ...]

    @property
    def der(self) -> bytes:
        """The certificate's DER."""
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def brought(self) -> BroughtCertificate:
        """The certificate, as something that ends."""
        name = common_name(self.certificate)
        line = name.removeprefix("line.")
        do = f"framegate-controller line-certificate {line} --out FOLDER, and start this anew"
        return BroughtCertificate(name, lambda: Life.of(self.certificate), do)

    def sign(self, message: bytes) -> bytes:
        """DER ECDSA-SHA256 signature."""
        return self.key.sign(message, ec.ECDSA(hashes.SHA256()))

    def context(self, server_name: str) -> NamedContext:
        """TLS 1.3 to the broker whose certificate is for `server_name`."""
        context = named_context(server_name)
        context.load_verify_locations(cafile=str(self.folder / "authorities.pem"))
        context.load_cert_chain(str(self.folder / "line.pem"), str(self.folder / "line.key"))
        return context


def load_credentials(folder: Path, line: str) -> Credentials:
    """The credentials in `folder`, for `line`. Raises Unavailable or Refused, saying what to do."""
    hint = f"framegate-controller line-certificate {line} --out {shlex.quote(str(folder))}"
    try:
        if (folder / "line.key").stat().st_mode & 0o077:
            raise Refused.of(
                Reason.USAGE,
                f"{folder / 'line.key'} readable by its owner alone",
                "others can read it",
                f"chmod 600 {folder / 'line.key'}",
            )
        key = load_pem_private_key((folder / "line.key").read_bytes(), None)
        certificate = x509.load_pem_x509_certificates((folder / "line.pem").read_bytes())[0]
        root = x509.load_pem_x509_certificate((folder / "root.pem").read_bytes())
        issuing = x509.load_pem_x509_certificates((folder / "authorities.pem").read_bytes())
    except OSError as error:
        raise Unavailable.of(
            Reason.UNAVAILABLE,
            f"line.key, line.pem, root.pem, authorities.pem in {folder}",
            error,
            hint,
        ) from error
    except ValueError as error:
        raise Refused.of(Reason.CERTIFICATE, f"PEM files in {folder}", error, hint) from error
    name, own = common_name(certificate), certificate.public_key()
    if (
        name != f"line.{line}"
        or not isinstance(key, ec.EllipticCurvePrivateKey)
        or key.public_key() != own
    ):
        raise Refused.of(
            Reason.CERTIFICATE, f"a key and its certificate for line {line}", name, hint
        )
    return Credentials(
        folder,
        key,
        certificate,
        root,
        load_authorities([c.public_bytes(Encoding.DER) for c in issuing], root),
    )
