"""The fleet's keys on disk: one root, one issuing CA for each kind of certificate, one key for each kind of signature."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from framegate.certificates import TLS_USAGE, Purpose
from framegate.errors import Reason, Refused, Unavailable

ROOT_DAYS: Final = 3650
ISSUING_DAYS: Final = 730
"""An issuing CA outlives everything it signs by far and is rotated long before the root."""

ISSUING: Final = MappingProxyType(
    {
        "device-ca": (Purpose.DEVICE,),
        "gateway-ca": (Purpose.GATEWAY, Purpose.VERDICT),
        "server-ca": (Purpose.SERVER,),
        "operator-ca": (Purpose.OPERATOR,),
        "broker-ca": (Purpose.BROKER, Purpose.LINE),
    }
)
SIGNING: Final = MappingProxyType(
    {"challenge": Purpose.CHALLENGE, "grant": Purpose.GRANT, "profile": Purpose.PROFILE, "log": Purpose.LOG, "mask": Purpose.MASK, "result": Purpose.RESULT}
)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key and its certificate."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def der(self) -> bytes:
        """The certificate's DER."""
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def pem(self) -> bytes:
        """The certificate's PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def sign(self, message: bytes) -> bytes:
        """DER ECDSA-SHA256 signature."""
        return self.key.sign(message, ec.ECDSA(hashes.SHA256()))


@dataclass(frozen=True, slots=True)
class FleetKeys:
    """All keys of a fleet: `root`, issuing CAs and signing keys by name."""

    fleet: str
    root: SigningKey
    issuing: Mapping[str, SigningKey]
    signing: Mapping[str, SigningKey]

    @property
    def intermediates(self) -> tuple[x509.Certificate, ...]:
        """The issuing CAs' certificates."""
        return tuple(k.certificate for k in self.issuing.values())


def found_fleet(folder: Path, fleet: str) -> FleetKeys:
    """Make a fleet's keys in `folder` (0700, keys 0600). Raises Refused where one is already there: keys are never overwritten."""
    if (folder / "root.key").exists():
        raise Refused.of(Reason.CONFLICT, f"no fleet in {folder}", "a root key", "use another --state folder, or keep this fleet")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    now = datetime.now(UTC)
    root_key = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"{fleet} fleet root", fleet)
    root = SigningKey(root_key, _ca(name, name, root_key.public_key(), now, ROOT_DAYS, None, 1).sign(root_key, hashes.SHA256()))
    _write(folder, "root", root)
    for label, purposes in ISSUING.items():
        key = ec.generate_private_key(ec.SECP256R1())
        usages = [usage for p in purposes for usage in (p.value, *TLS_USAGE.get(p, ()))]
        builder = _ca(_name(f"{fleet} {label}", fleet), name, key.public_key(), now, ISSUING_DAYS, usages, 0)
        _write(folder, label, SigningKey(key, builder.sign(root_key, hashes.SHA256())))
    for label, purpose in SIGNING.items():
        key = ec.generate_private_key(ec.SECP256R1())
        builder = x509.CertificateBuilder().subject_name(_name(f"{fleet} {label} key", fleet)).issuer_name(name).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(minutes=5)).not_valid_after(now + timedelta(days=ISSUING_DAYS))
        builder = builder.add_extension(x509.BasicConstraints(False, None), critical=True).add_extension(x509.ExtendedKeyUsage([purpose.value]), critical=False)
        _write(folder, label, SigningKey(key, builder.sign(root_key, hashes.SHA256())))
    (folder / "fleet").write_text(fleet)
    return load_fleet(folder)


def load_fleet(folder: Path) -> FleetKeys:
    """The fleet's keys in `folder`. Raises Unavailable where there is none, Refused where a key file can be read by others."""
    if not (folder / "fleet").exists():
        raise Unavailable.of(Reason.UNAVAILABLE, f"a fleet in {folder}", "none", f"framegate-controller init --state {folder}")
    issuing, signing = ({label: _read(folder, label) for label in labels} for labels in (ISSUING, SIGNING))
    return FleetKeys((folder / "fleet").read_text().strip(), _read(folder, "root"), MappingProxyType(issuing), MappingProxyType(signing))


def write_private(path: Path, data: bytes) -> None:
    """Write a secret file that only its owner can read, from its first byte on."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as out:
        os.fchmod(out.fileno(), 0o600)
        out.write(data)
        out.flush()
        os.fsync(out.fileno())


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """PKCS#8 PEM of `key`."""
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _write(folder: Path, label: str, pair: SigningKey) -> None:
    write_private(folder / f"{label}.key", private_pem(pair.key))
    (folder / f"{label}.pem").write_bytes(pair.pem)


def _read(folder: Path, label: str) -> SigningKey:
    path = folder / f"{label}.key"
    if path.stat().st_mode & 0o077:
        raise Refused.of(Reason.CONFLICT, f"{path} readable by its owner alone", oct(path.stat().st_mode & 0o777), f"chmod 600 {path}")
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise Refused.of(Reason.CONFLICT, f"an EC key in {path}", type(key).__name__)
    return SigningKey(key, x509.load_pem_x509_certificate((folder / f"{label}.pem").read_bytes()))


def _name(common_name: str, fleet: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, fleet), x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _ca(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, days: int, usages: list[x509.ObjectIdentifier] | None, path_length: int
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(minutes=5)).not_valid_after(now + timedelta(days=days))
    builder = builder.add_extension(x509.BasicConstraints(True, path_length), critical=True)
    usage = dict.fromkeys(("content_commitment", "data_encipherment", "key_agreement", "key_encipherment", "encipher_only", "decipher_only"), False)
    builder = builder.add_extension(x509.KeyUsage(**usage, digital_signature=True, key_cert_sign=True, crl_sign=True), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    return builder if usages is None else builder.add_extension(x509.ExtendedKeyUsage(sorted(set(usages), key=lambda o: o.dotted_string)), critical=False)
