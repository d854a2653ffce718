"""Providers of virtual machines: a chip maker whose chips report confidential guests, and whoever
certifies the attestation keys of virtual TPMs. SIMULATED: true in form, signed by keys made here.
"""

from __future__ import annotations

import base64
import json
import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import tpm2_pytss as tss
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from framegate.cloud.hcl_report import MAGIC
from framegate.cloud.instance_info import INSTANCE_INFO
from framegate.cloud.snp_report import REPORT_BYTES
from framegate.identity.endorsement import EK_USAGE
from framegate.identity.key_usage import key_usage
from framegate.tpm.buffer import tpm2b
from framegate.tpm.constants import Alg, Attr
from framegate.tpm.public import AK_ATTRS, Public, marshal_public_rsa, parse_public
from framegate.wire import sha256
from framegate_agent.tpm.endorsement import HCL_KEY, HCL_REPORT
from framegate_simulators.machine.tpm import Swtpm, certificate_builder, nv_store

CHIP: Final = bytes(range(64))
TCB: Final = bytes.fromhex("04000000000018db")
POLICY: Final = 0x3001F
_ARC: Final = "1.3.6.1.4.1.3704.1"
_PSS: Final = padding.PSS(padding.MGF1(hashes.SHA384()), 48)


@dataclass
class RsaKey:
    """A software key with the public area of an RSA attestation key, as virtual TPMs have them."""

    private: rsa.RSAPrivateKey
    public: Public

    @classmethod
    def make(cls, attributes: Attr = AK_ATTRS) -> RsaKey:
        """A new key of 2048 bits."""
        private = rsa.generate_private_key(65537, 2048)
        modulus = private.public_key().public_numbers().n.to_bytes(256, "big")
        scheme = (Alg.RSASSA, Alg.SHA256)
        raw = marshal_public_rsa(attributes=attributes, modulus=modulus, scheme=scheme)
        return cls(private, parse_public(raw))

    def sign(self, message: bytes) -> bytes:
        """TPMT_SIGNATURE over `message`."""
        signature = self.private.sign(message, padding.PKCS1v15(), hashes.SHA256())
        return struct.pack(">HH", Alg.RSASSA, Alg.SHA256) + tpm2b(signature)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(subject: str, issuer: str, key: Any, *, ca: bool) -> x509.CertificateBuilder:
    return certificate_builder(_name(subject), _name(issuer), key, ca=ca)


class ChipWorks:
    """A maker of processors: its root key (ARK), the key below it (ASK), one chip (VCEK)."""

    def __init__(self) -> None:
        root, signing = rsa.generate_private_key(65537, 2048), rsa.generate_private_key(65537, 2048)
        self.chip = ec.generate_private_key(ec.SECP384R1())
        self.root = self._signed(_builder("ARK", "ARK", root.public_key(), ca=True), root)
        self._signing = self._signed(_builder("ASK", "ARK", signing.public_key(), ca=True), root)
        self._signing_key, self._root_key = signing, root

    @staticmethod
    def _signed(builder: x509.CertificateBuilder, key: rsa.RSAPrivateKey) -> x509.Certificate:
        return builder.sign(key, hashes.SHA384(), rsa_padding=_PSS)

    def chain(self, chip: bytes = CHIP, tcb: bytes = TCB) -> tuple[bytes, ...]:
        """DER of the chip's certificate and of the key above it."""
        builder = _builder("VCEK", "ASK", self.chip.public_key(), ca=False)
        levels = {"3.1": tcb[0], "3.2": tcb[1], "3.3": tcb[6], "3.8": tcb[7]}
        said = {name: _integer(level) for name, level in levels.items()} | {"4": chip}
        for name, value in said.items():
            oid = x509.ObjectIdentifier(f"{_ARC}.{name}")
            builder = builder.add_extension(x509.UnrecognizedExtension(oid, value), critical=False)
        vcek = self._signed(builder, self._signing_key)
        return tuple(c.public_bytes(Encoding.DER) for c in (vcek, self._signing))

    def revocation_list(
        self, *revoked: bytes, days: tuple[float, float] = (-1, 30), **changed: Any
    ) -> bytes:
        """DER list of the root, of these certificates (DER); alive between `days` from now.
        `changed`: `issuer`, a name; `key`, another one; `critical`, an extension to add.
        """
        begins, ends = (datetime.now(UTC) + timedelta(days=d) for d in days)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(_name(changed.get("issuer", "ARK")))
            .last_update(begins)
            .next_update(ends)
        )
        for der in revoked:
            serial = x509.load_der_x509_certificate(der).serial_number
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(begins)
            builder = builder.add_revoked_certificate(entry.build())
        if "critical" in changed:
            builder = builder.add_extension(changed["critical"], critical=True)
        key = changed.get("key", self._root_key)
        made = builder.sign(key, hashes.SHA384(), rsa_padding=_PSS)
        return made.public_bytes(Encoding.DER)

    def report(self, bound: bytes, *, policy: int = POLICY, vmpl: int = 0) -> bytes:
        """A report of a guest that binds `bound` (64 bytes)."""
        raw = bytearray(REPORT_BYTES)
        struct.pack_into("<IIQ", raw, 0, 3, 0, policy)
        struct.pack_into("<II", raw, 0x30, vmpl, 1)
        raw[0x50:0x90], raw[0x180:0x188], raw[0x1A0:0x1E0] = bound, TCB, CHIP
        return self.signed(bytes(raw))

    def signed(self, raw: bytes) -> bytes:
        """`raw` under the chip's signature."""
        signature = self.chip.sign(raw[:0x2A0], ec.ECDSA(hashes.SHA384()))
        r, s = utils.decode_dss_signature(signature)
        tail = r.to_bytes(72, "little") + s.to_bytes(72, "little")
        return raw[:0x2A0] + tail.ljust(REPORT_BYTES - 0x2A0, b"\0")

    def hcl_report(self, key: rsa.RSAPublicKey, **changed: Any) -> bytes:
        """An HCL report that binds `key` as the virtual TPM's attestation key; `changed` are
        members of the run-time data.
        """
        data = runtime_data(key, **changed)
        return wrapped(self.report(sha256(data) + bytes(32)), data)


def runtime_data(key: rsa.RSAPublicKey, **changed: Any) -> bytes:
    """What an HCL report binds: the virtual TPM's keys, and how the machine is set up."""
    numbers = key.public_numbers()
    ak = {"kid": "HCLAkPub", "key_ops": ["sign"], "kty": "RSA"}
    ak |= {"e": _url64(numbers.e), "n": _url64(numbers.n)}
    body = {"keys": [ak], "vm-configuration": {"vmUniqueId": "SIMULATED-1"}, "user-data": "00"}
    return json.dumps(body | changed, separators=(",", ":")).encode()


def wrapped(hardware: bytes, data: bytes, *, kind: int = 2) -> bytes:
    """A hardware's report and run-time data in the form of the NV index."""
    end = 32 + REPORT_BYTES + 20 + len(data)
    header = struct.pack("<4sIII16x", MAGIC, 2, end, 2)
    runtime = struct.pack("<5I", 20 + len(data), 1, kind, 1, len(data))
    return (header + hardware + runtime + data).ljust(2600, b"\0")


class InstanceWorks:
    """Whoever certifies the attestation keys of virtual machines, as Google does."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder("Instances CA", "Instances CA", self._key.public_key(), ca=True)
        self.root = builder.sign(self._key, hashes.SHA256())

    def issue(self, key: Any, *, production: bool = True, info: bytes | None = None) -> bytes:
        """DER certificate of the attestation key of an instance."""
        said = instance_info(production=production) if info is None else info
        return (
            _builder("instance", "Instances CA", key, ca=False)
            .add_extension(key_usage("digital_signature"), critical=True)
            .add_extension(x509.ExtendedKeyUsage([EK_USAGE]), critical=False)
            .add_extension(x509.UnrecognizedExtension(INSTANCE_INFO, said), critical=False)
            .sign(self._key, hashes.SHA256())
            .public_bytes(Encoding.DER)
        )


def instance_info(*, production: bool = True, name: str = "models-1") -> bytes:
    """The extension that names an instance."""
    security = _tlv(0xA0, _integer(0)) + _tlv(0xA1, _tlv(0x01, b"\xff" if production else b"\0"))
    body = (
        _tlv(0x0C, b"europe-west3-a")
        + _integer(77)
        + _tlv(0x0C, b"plant-models")
        + _integer(12)
        + _tlv(0x0C, name.encode())
        + _tlv(0xA0, _tlv(0x30, security))
    )
    return _tlv(0x30, body)


def _tlv(tag: int, content: bytes) -> bytes:
    size = len(content)
    length = bytes([size]) if size < 0x80 else bytes([0x81, size])
    return bytes([tag]) + length + content


def _integer(value: int) -> bytes:
    return _tlv(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _url64(number: int) -> str:
    raw = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def manufacture_guest(swtpm: Swtpm, works: ChipWorks) -> None:
    """Give a running `swtpm` what the virtual TPM of a confidential guest of Azure has: an RSA
    attestation key, and the report that binds it.
    """
    template = marshal_public_rsa(
        attributes=AK_ATTRS, modulus=bytes(256), scheme=(Alg.RSASSA, Alg.SHA256)
    )
    with swtpm.esys() as esys:
        public = tss.TPM2B_PUBLIC(publicArea=tss.TPMT_PUBLIC.unmarshal(template)[0])
        handle, primary, *_ = esys.create_primary(
            tss.TPM2B_SENSITIVE_CREATE(), public, tss.ESYS_TR.ENDORSEMENT
        )
        key = parse_public(bytes(primary.publicArea.marshal())).key()
        if not isinstance(key, rsa.RSAPublicKey):
            raise TypeError("the template is of an RSA key")
        esys.evict_control(tss.ESYS_TR.OWNER, handle, HCL_KEY)
        esys.flush_context(handle)
        # an index of swtpm has 2,048 bytes: without the zeros behind it
        nv_store(esys, HCL_REPORT, works.hcl_report(key).rstrip(b"\0"))
