"""A monitoring system's own authority, and who it gives certificates to."""

import ssl
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.identity.key_usage import key_usage
from framegate.identity.pem import private_pem


def issued(name, by=None, *, ca=False):
    """(key, certificate) of a monitoring system's own CA."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    issuer_key, issuer = by if by else (key, None)
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        # RFC 5280, 4.2.1.1 and 4.2.1.3: Python 3.13 insists
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            critical=False,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            key_usage(*("key_cert_sign", "crl_sign") if ca else ("digital_signature",)),
            critical=True,
        )
        .sign(issuer_key, hashes.SHA256())
    )
    return key, built


def folder_of(path, pair, clients: bytes):
    path.mkdir(exist_ok=True)
    (path / "metrics.key").write_bytes(private_pem(pair[0]))
    (path / "metrics.pem").write_bytes(pair[1].public_bytes(Encoding.PEM))
    (path / "clients.pem").write_bytes(clients)
    return path


def client(path, authority, pair=None, pem=None):
    context = ssl.create_default_context(cadata=authority[1].public_bytes(Encoding.PEM).decode())
    if pair:
        pem = (private_pem(pair[0]), pair[1].public_bytes(Encoding.PEM))
    if pem:
        (path / "client.pem").write_bytes(pem[0] + pem[1])
        context.load_cert_chain(path / "client.pem")
    return context
