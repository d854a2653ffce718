"""The evidence forge: a TPM made of software keys, whose every statement can be broken on purpose.
For tests; it proves nothing to anyone.

It does what an attacker with full control over a machine's software, but without a TPM that vouches
for it, could send, and what a sound TPM would send, so that a test can change one thing and leave
all else true.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFHMAC, CounterLocation, Mode
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.eventlog import parse_boot_log, replay
from framegate.evidence.activation import EvidencePromise, activation_mac
from framegate.identity.device_identity import iak_certify_data
from framegate.ima.entry import IMA_PCR
from framegate.profile.posture import Posture
from framegate.tpm.attest import (
    Attest,
    ClockInfo,
    PcrSelection,
    marshal_attest,
    marshal_ecdsa_signature,
)
from framegate.tpm.buffer import Buffer
from framegate.tpm.constants import TPM_GENERATED, TPM_RH_NULL, Alg, Attr, Curve, St
from framegate.tpm.policy import pcr_digest, policy_pcr
from framegate.tpm.public import (
    AES_128_CFB,
    AK_ATTRS,
    EK_POLICY_SECRET,
    TLS_ATTRS,
    Public,
    SymmetricCipher,
    marshal_public,
    parse_public,
)
from framegate.wire import (
    AttestHello,
    Challenge,
    Evidence,
    Hello,
    certify_data,
    quote_data,
    sha256,
    transcript,
)
from framegate_simulators.machine.boot import Firmware, boot_log, measurements
from framegate_simulators.machine.cloud import ChipWorks, InstanceWorks, RsaKey
from framegate_simulators.machine.ima import ImaMachine, files_of
from framegate_simulators.machine.tpm import TpmMaker

EK_ATTRS: Final = (
    Attr.FIXED_TPM
    | Attr.FIXED_PARENT
    | Attr.SENSITIVE_DATA_ORIGIN
    | Attr.ADMIN_WITH_POLICY
    | Attr.RESTRICTED
    | Attr.DECRYPT
)
PCRS: Final = tuple(range(8))
AttestChange = Callable[[Attest], Attest]


@dataclass
class Key:
    """A software key with the public area it claims to have."""

    private: ec.EllipticCurvePrivateKey
    public: Public

    @classmethod
    def make(
        cls,
        attributes: Attr,
        *,
        policy: bytes = b"",
        scheme: tuple[Alg, Alg] | None = (Alg.ECDSA, Alg.SHA256),
        symmetric: SymmetricCipher | None = None,
        curve: Curve = Curve.NIST_P256,
    ) -> Key:
        """A new key with these attributes."""
        private = ec.generate_private_key(
            ec.SECP256R1() if curve == Curve.NIST_P256 else ec.SECP384R1()
        )
        point, size = private.public_key().public_numbers(), 32 if curve == Curve.NIST_P256 else 48
        raw = marshal_public(
            attributes=attributes,
            curve=curve,
            x=point.x.to_bytes(size, "big"),
            y=point.y.to_bytes(size, "big"),
            auth_policy=policy,
            scheme=scheme,
            symmetric=symmetric,
        )
        return cls(private, parse_public(raw))

    def sign(self, message: bytes) -> bytes:
        """TPMT_SIGNATURE over `message`."""
        r, s = utils.decode_dss_signature(self.private.sign(message, ec.ECDSA(hashes.SHA256())))
        return marshal_ecdsa_signature(r, s)


def _same(value: Any) -> Any:
    return value


@dataclass
class Forge:
    """A machine without a TPM. Fields may be replaced before `hello`; hooks change statements just
    before they are signed.
    """

    maker: TpmMaker
    firmware: Firmware
    clock: ClockInfo = field(default_factory=lambda: ClockInfo(1000, 1, 0, True))
    firmware_version: int = 0x2019102300163636
    publics: tuple[bytes, ...] = ()
    posture: bytes = b""
    change_quote: AttestChange = _same
    change_certify: AttestChange = _same
    change_iak: AttestChange = _same
    iak: Key | RsaKey | None = None
    iak_certificates: tuple[bytes, ...] = ()
    change_evidence: Callable[[dict[str, Any]], dict[str, Any]] = _same

    def __post_init__(self) -> None:
        self.ek = Key.make(EK_ATTRS, policy=EK_POLICY_SECRET, scheme=None, symmetric=AES_128_CFB)
        self.ak = Key.make(AK_ATTRS)
        key = self.ek.private.public_key()
        self.ek_certificates: tuple[bytes, ...] = (self.maker.issue(key),)
        self.boot()
        if not self.posture:
            self.posture = Posture(
                "0.1.0", "0" * 64, "debian", "12", "6.1", "x86_64", 100, False
            ).marshal()

    @property
    def ek_sha256(self) -> bytes:
        """What a ticket is bound to."""
        return sha256(self.ek.public.spki())

    def boot(self, log: bytes | None = None) -> None:
        """Boot the present firmware, or pretend to have measured exactly `log`; makes a TLS key
        bound to the outcome.
        """
        self.log = boot_log(measurements(self.firmware)) if log is None else log
        self.pcrs: Mapping[int, bytes] = replay(parse_boot_log(self.log), Alg.SHA256)
        selection = PcrSelection(Alg.SHA256, PCRS)
        self.ima = ImaMachine.booted(
            self.pcrs, files_of(self.firmware.model, self.firmware.release)
        )
        full = {p: self.pcrs.get(p, bytes(32)) for p in PCRS}
        self.tls = Key.make(TLS_ATTRS, policy=policy_pcr(selection, full))

    def hello(self, code: bytes = b"") -> bytes:
        """A Hello of this machine."""
        return Hello(
            client_nonce=secrets.token_bytes(32),
            ticket_code=code,
            ek_certificates=self.ek_certificates,
            ek_public=self.ek.public.raw,
            ak_public=self.ak.public.raw,
            tls_public=self.tls.public.raw,
            manufacturer=0x46474154,
            firmware_version=self.firmware_version,
            boot_log_size=len(self.log),
            ima_log_size=len(self.ima.list_from()),
            iak_public=self.iak.public.raw if self.iak else b"",
            iak_certificates=self.iak_certificates,
        ).marshal()

    def attest_hello(self, *, known_log: bool = False) -> bytes:
        """An AttestHello; `known_log` claims the log the controller holds."""
        digest = sha256(self.log) if known_log else bytes(32)
        hello = AttestHello(
            client_nonce=secrets.token_bytes(32),
            reset_count=self.clock.reset_count,
            restart_count=self.clock.restart_count,
            boot_log_sha256=digest,
        )
        return hello.marshal()

    def answer(
        self, fleet: bytes, hello: bytes, challenge_bytes: bytes, *, join: bool = True
    ) -> tuple[bytes, bytes]:
        """(MAC, evidence) for a challenge; the MAC is empty on the fleet port."""
        challenge = Challenge.parse(challenge_bytes)
        t = transcript(fleet, hello, challenge_bytes)
        evidence = self.evidence(challenge, t, join=join)
        secret = self.activate(challenge.credential, challenge.encrypted_secret) if join else b""
        mac = activation_mac(secret, t, EvidencePromise.of(evidence)) if join else b""
        return mac, evidence

    def evidence(self, challenge: Challenge, t: bytes, *, join: bool = True) -> bytes:
        """The evidence, after every hook."""
        spki = self.tls.public.spki()
        selection = PcrSelection(Alg(challenge.bank), challenge.pcrs)
        full = {p: self.pcrs.get(p, bytes(32)) for p in selection.pcrs} | {
            IMA_PCR: self.ima.values[Alg.SHA256]
        }
        quote = self.change_quote(
            Attest(
                b"",
                TPM_GENERATED,
                St.ATTEST_QUOTE,
                self.ak.public.qualified_name(),
                quote_data(t, spki, sha256(self.log), self.posture, self.publics),
                self.clock,
                self.firmware_version,
                (selection,),
                pcr_digest(selection, full),
            )
        )
        certify = self.change_certify(
            Attest(
                b"",
                TPM_GENERATED,
                St.ATTEST_CERTIFY,
                self.ak.public.qualified_name(),
                certify_data(t, spki),
                self.clock,
                self.firmware_version,
                name=self.tls.public.name,
                certified_qualified_name=self.tls.public.qualified_name(TPM_RH_NULL),
            )
        )
        quote_bytes, certify_bytes = marshal_attest(quote), marshal_attest(certify)
        iak_bytes = marshal_attest(self.change_iak(self._vouch(t))) if self.iak and join else b""
        fields: dict[str, Any] = {
            "certify_attest": certify_bytes if join else b"",
            "certify_signature": self.ak.sign(certify_bytes) if join else b"",
            "quote_attest": quote_bytes,
            "quote_signature": self.ak.sign(quote_bytes),
            "boot_log": self.log if challenge.want_boot_log else b"",
            "boot_log_sha256": sha256(self.log),
            "ima_log": self.ima.list_from(challenge.ima_offset)
            if IMA_PCR in challenge.pcrs
            else b"",
            "posture": self.posture,
            "gateway_publics": self.publics,
            "csr": self.csr(self.tls) if join else b"",
            "iak_attest": iak_bytes,
            "iak_signature": self.iak.sign(iak_bytes) if self.iak else b"",
        }
        return Evidence(**self.change_evidence(fields)).marshal()

    def with_iak(self) -> Forge:
        """This forge without an EK certificate and with an IAK that the maker certified instead."""
        key = self.iak = Key.make(AK_ATTRS)
        self.ek_certificates, self.iak_certificates = (
            (),
            (self.maker.issue_iak(key.private.public_key()),),
        )
        return self

    def with_hcl_report(self, works: ChipWorks) -> Forge:
        """This forge as a confidential guest of Azure: its AK is vouched for by the chip's
        report.
        """
        key = self.iak = RsaKey.make()
        report = works.hcl_report(key.private.public_key())
        self.ek_certificates, self.iak_certificates = (), (report, *works.chain())
        return self

    def with_instance(self, works: InstanceWorks) -> Forge:
        """This forge as a virtual machine of Google: its AK is vouched for by a certificate."""
        key = self.iak = RsaKey.make()
        self.ek_certificates = ()
        self.iak_certificates = (works.issue(key.private.public_key()),)
        return self

    def _vouch(self, t: bytes) -> Attest:
        assert self.iak is not None
        public = self.ak.public
        return Attest(
            b"",
            TPM_GENERATED,
            St.ATTEST_CERTIFY,
            self.iak.public.qualified_name(),
            iak_certify_data(t, public.name),
            self.clock,
            self.firmware_version,
            name=public.name,
            certified_qualified_name=public.qualified_name(),
        )

    def csr(self, key: Key) -> bytes:
        """A certificate request signed by `key`."""
        return (
            x509.CertificateSigningRequestBuilder()
            .subject_name(x509.Name([]))
            .sign(key.private, hashes.SHA256())
            .public_bytes(Encoding.DER)
        )

    def activate(self, credential: bytes, encrypted_secret: bytes) -> bytes:
        """TPM2_ActivateCredential in software, for a P-256 EK. Raises ValueError where it was made
        for another EK or AK.
        """
        point = Buffer(encrypted_secret, "secret")
        x, y = point.tpm2b("x", 32), point.tpm2b("y", 32)
        peer = ec.EllipticCurvePublicNumbers(
            int.from_bytes(x, "big"), int.from_bytes(y, "big"), ec.SECP256R1()
        ).public_key()
        seed = ConcatKDFHash(
            hashes.SHA256(), 32, b"IDENTITY\0" + x.rjust(32, b"\0") + self.ek.public.x
        ).derive(self.ek.private.exchange(ec.ECDH(), peer))
        name = self.ak.public.name
        blob = Buffer(credential, "credential")
        outer = blob.tpm2b("integrity", 32)
        identity = blob.take(blob.left, "identity")
        if not hmac.compare_digest(
            hmac.digest(_kdfa(seed, b"INTEGRITY", b"", 32), identity + name, "sha256"), outer
        ):
            raise ValueError("integrity check failed")
        decryptor = Cipher(
            algorithms.AES(_kdfa(seed, b"STORAGE", name, 16)), CFB(b"\0" * 16)
        ).decryptor()
        return Buffer(decryptor.update(identity) + decryptor.finalize(), "identity").tpm2b(
            "secret", 32
        )

    def with_quote(self, **changes: Any) -> Forge:
        """This forge with members of the quote replaced before it is signed."""
        self.change_quote = lambda a: replace(a, **changes)
        return self

    def with_certify(self, **changes: Any) -> Forge:
        """This forge with members of the certification replaced before it is signed."""
        self.change_certify = lambda a: replace(a, **changes)
        return self

    def with_evidence(self, **changes: Any) -> Forge:
        """This forge with members of the evidence replaced after everything was signed; callables
        get the old value.
        """
        self.change_evidence = lambda p: {
            **p,
            **{k: v(p[k]) if callable(v) else v for k, v in changes.items()},
        }
        return self


def _kdfa(key: bytes, label: bytes, context: bytes, size: int) -> bytes:
    fixed = label + b"\0" + context + (size * 8).to_bytes(4, "big")
    return KBKDFHMAC(
        hashes.SHA256(),
        Mode.CounterMode,
        size,
        4,
        None,
        CounterLocation.BeforeFixed,
        None,
        None,
        fixed,
    ).derive(key)
