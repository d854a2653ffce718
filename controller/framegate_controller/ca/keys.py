"""The fleet's keys on disk: one root, one issuing CA for each kind of certificate, one key for each kind of signature."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.x509.oid import NameOID

from framegate.errors import Reason, Refused, Unavailable
from framegate.identity.certificates import TLS_USAGE, Purpose
from framegate_controller.ca.keyring import FileKeyring, Keyring, open_keyring, read_passphrase

ROOT_DAYS: Final = 3650
ISSUING_DAYS: Final = 730
"""An issuing CA outlives everything it signs by far and is rotated long before the root."""

BACKDATED: Final = timedelta(minutes=5)
"""How long before its making a certificate counts: clocks differ."""
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
    {
        "challenge": Purpose.CHALLENGE,
        "grant": Purpose.GRANT,
        "profile": Purpose.PROFILE,
        "log": Purpose.LOG,
        "mask": Purpose.MASK,
        "result": Purpose.RESULT,
        "policy": Purpose.POLICY,
        "approval": Purpose.APPROVAL,
        "model": Purpose.MODEL,
        "part": Purpose.PART,
    }
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


@dataclass(slots=True)
class FleetKeys:
    """All keys of a fleet: `root`, issuing CAs and signing keys by name. `others` are certificates of issuing CAs that sign no more, or not yet, and are
    known to everybody all the same. `factor_key` (32 bytes) seals operators' second factors."""

    fleet: str
    root: SigningKey
    issuing: dict[str, SigningKey]
    signing: dict[str, SigningKey]
    factor_key: bytes
    keyring: Keyring
    next: dict[str, SigningKey] = field(default_factory=dict)
    others: list[x509.Certificate] = field(default_factory=list)

    @property
    def intermediates(self) -> tuple[x509.Certificate, ...]:
        """The issuing CAs' certificates: present, coming and gone ones whose certificates still live."""
        return (*(k.certificate for k in self.issuing.values()), *self.others)

    @property
    def authorities(self) -> list[bytes]:
        """The same in DER, as machines are told."""
        return [c.public_bytes(serialization.Encoding.DER) for c in self.intermediates]

    def generations(self, label: str) -> list[x509.Certificate]:
        """Every certificate of the issuing CA `label`, the present one first: what a TLS server trusts for clients of that kind."""
        name = self.issuing[label].certificate.subject
        return [self.issuing[label].certificate, *(c for c in self.others if c.subject == name)]

    def generations_pem(self, *labels: str) -> bytes:
        """The same as one PEM bundle over several CAs."""
        return b"".join(c.public_bytes(serialization.Encoding.PEM) for label in labels for c in self.generations(label))


def found_fleet(folder: Path, fleet: str, ca_keys: str = "", passphrase_file: Path | None = None) -> FleetKeys:
    """Make a fleet's keys in `folder` (0700, keys 0600 and encrypted). Raises Refused where one is already there: keys are never overwritten.

    `ca_keys` says where the CAs' private keys are held (`open_keyring`); `passphrase_file` what the files are encrypted with.
    """
    if (folder / "root.pem").exists():
        raise Refused.of(Reason.CONFLICT, f"no fleet in {folder}", "a root key", "use another --state folder, or keep this fleet")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    passphrase = read_passphrase(folder, passphrase_file, make=True)
    keyring = open_keyring(ca_keys, folder, passphrase)
    now = datetime.now(UTC)
    root_key = keyring.make("root")
    name = _name(f"{fleet} fleet root", fleet)
    root = SigningKey(root_key, _ca(name, name, root_key.public_key(), now, ROOT_DAYS, None, 1).sign(root_key, hashes.SHA256()))
    (folder / "root.pem").write_bytes(root.pem)
    for label in ISSUING:
        key = keyring.make(label)
        (folder / f"{label}.pem").write_bytes(SigningKey(key, issuing_certificate(root, fleet, label, key.public_key(), now)).pem)
    files = FileKeyring(folder, passphrase)
    for label in SIGNING:
        key = files.make(label)
        (folder / f"{label}.pem").write_bytes(SigningKey(key, signing_certificate(root, fleet, label, key.public_key(), now)).pem)
    files.make("factors")
    (folder / "held").write_text(ca_keys)
    (folder / "fleet").write_text(fleet)
    return load_fleet(folder, passphrase_file)


def load_fleet(folder: Path, passphrase_file: Path | None = None) -> FleetKeys:
    """The fleet's keys in `folder`. Raises Unavailable where there is none or its key store is away, Refused where a key file can be read by others."""
    if not (folder / "fleet").exists():
        raise Unavailable.of(Reason.UNAVAILABLE, f"a fleet in {folder}", "none", f"framegate-controller init --state {folder}")
    fleet = (folder / "fleet").read_text().strip()
    passphrase = read_passphrase(folder, passphrase_file)
    held = (folder / "held").read_text().strip() if (folder / "held").exists() else ""
    keyring, files = open_keyring(held, folder, passphrase), FileKeyring(folder, passphrase)
    for label in ISSUING:
        _finish_switch(folder, label, keyring)
    issuing = {label: SigningKey(keyring.load(label), _certificate(folder, label)) for label in ISSUING}
    signing = {label: SigningKey(files.load(label), _certificate(folder, label)) for label in SIGNING}
    factor = files.load("factors")
    number = factor.private_numbers().private_value.to_bytes(32, "big")
    factor_key = HKDF(hashes.SHA256(), 32, None, b"framegate/v1/factors").derive(number)
    keys = FleetKeys(fleet, SigningKey(keyring.load("root"), _certificate(folder, "root")), issuing, signing, factor_key, keyring)
    for label in ISSUING:
        if (folder / f"{label}.next.pem").exists():
            keys.next[label] = SigningKey(keyring.load(f"{label}.next"), _certificate(folder, f"{label}.next"))
            keys.others.append(keys.next[label].certificate)
        keys.others += [x509.load_pem_x509_certificate(p.read_bytes()) for p in sorted(folder.glob(f"{label}.old-*.pem"))]
    return keys


def _finish_switch(folder: Path, label: str, keyring: Keyring) -> None:
    """A controller that died between the two steps of a switch left the new key under the old certificate: put the new one beside it."""
    coming = folder / f"{label}.next.pem"
    if not coming.exists():
        return
    try:
        present = keyring.load(label)
    except Unavailable:  # a token that lost the old key and had not yet renamed the new one
        keyring.rename(f"{label}.next", label)
        present = keyring.load(label)
    if present.public_key() == _certificate(folder, f"{label}.next").public_key():
        coming.replace(folder / f"{label}.pem")


def issuing_certificate(root: SigningKey, fleet: str, label: str, key: ec.EllipticCurvePublicKey, now: datetime) -> x509.Certificate:
    """A certificate by the root for the issuing CA `label`; every generation has the same name."""
    usages = [usage for p in ISSUING[label] for usage in (p.value, *TLS_USAGE.get(p, ()))]
    builder = _ca(_name(f"{fleet} {label}", fleet), root.certificate.subject, key, now, ISSUING_DAYS, usages, 0)
    return builder.sign(root.key, hashes.SHA256())


def signing_certificate(root: SigningKey, fleet: str, label: str, key: ec.EllipticCurvePublicKey, now: datetime) -> x509.Certificate:
    """A certificate by the root for the signing key `label`."""
    builder = x509.CertificateBuilder().subject_name(_name(f"{fleet} {label} key", fleet)).issuer_name(root.certificate.subject).public_key(key)
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - BACKDATED).not_valid_after(now + timedelta(days=ISSUING_DAYS))
    builder = builder.add_extension(x509.BasicConstraints(False, None), critical=True).add_extension(x509.ExtendedKeyUsage([SIGNING[label].value]), critical=False)
    return builder.sign(root.key, hashes.SHA256())


def _certificate(folder: Path, label: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / f"{label}.pem").read_bytes())


def _name(common_name: str, fleet: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, fleet), x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _ca(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, days: int, usages: list[x509.ObjectIdentifier] | None, path_length: int
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - BACKDATED).not_valid_after(now + timedelta(days=days))
    builder = builder.add_extension(x509.BasicConstraints(True, path_length), critical=True)
    usage = dict.fromkeys(("content_commitment", "data_encipherment", "key_agreement", "key_encipherment", "encipher_only", "decipher_only"), False)
    builder = builder.add_extension(x509.KeyUsage(**usage, digital_signature=True, key_cert_sign=True, crl_sign=True), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    return builder if usages is None else builder.add_extension(x509.ExtendedKeyUsage(sorted(set(usages), key=lambda o: o.dotted_string)), critical=False)
