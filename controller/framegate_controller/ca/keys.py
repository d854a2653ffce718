"""The fleet's keys as they are at one moment, and who holds them while they change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final, Protocol

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from framegate.identity.certificates import Purpose, common_name
from framegate.machines.ca import GenerationState

ISSUING: Final = MappingProxyType(
    {
        "device-ca": (Purpose.DEVICE,),
        "gateway-ca": (
            Purpose.GATEWAY,
            Purpose.VERDICT,
            Purpose.ENFORCER,
            Purpose.BACKEND,
            Purpose.INFERENCE,
        ),
        "server-ca": (Purpose.SERVER,),
        "operator-ca": (Purpose.OPERATOR,),
        "broker-ca": (Purpose.BROKER, Purpose.LINE),
    }
)
"""The issuing CAs, and what each signs for."""
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
"""The signing keys, and what each is for."""


class KeyStore(Protocol):
    """Holds P-256 private keys by label: files, a PKCS#11 token, a TPM.

    Whoever signs sees no difference.
    """

    place: str
    """Where, for people."""

    def make(self, label: str) -> ec.EllipticCurvePrivateKey:
        """A new key. Raises Refused where the label is taken."""

    def load(self, label: str) -> ec.EllipticCurvePrivateKey:
        """The key. Raises Unavailable."""

    def rename(self, label: str, new: str) -> None:
        """Give a key another label; what had that label is destroyed."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key and its certificate; `der` is the certificate's DER, which goes beside every
    signature.
    """

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    der: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "der", self.certificate.public_bytes(serialization.Encoding.DER))

    @property
    def pem(self) -> bytes:
        """The certificate's PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def sign(self, message: bytes) -> bytes:
        """DER ECDSA-SHA256 signature."""
        return self.key.sign(message, ec.ECDSA(hashes.SHA256()))

    def dated_ms(self, now_ms: int) -> int:
        """The moment that a signature of now says, ms: not before the certificate began, or nobody
        would ever accept what a controller signed whose clock was behind.
        """
        born = self.certificate.not_valid_before_utc
        return max(now_ms, int(born.timestamp() * 1000))


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One certificate of an issuing CA, and where it stands; a gone one signed until `gone_ms`."""

    label: str
    certificate: x509.Certificate
    state: GenerationState
    gone_ms: int = 0

    @property
    def serial(self) -> str:
        """Its certificate's number in hex, as events and people name it."""
        return f"{self.certificate.serial_number:x}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetKeys:
    """All keys of a fleet at one moment: `root`, issuing CAs and signing keys by label.

    `coming` are CAs that sign nothing yet, `gone` those that sign no more, `beside` those of other
    controllers under the same root; everybody knows them all the same. `factor_key` (32 bytes)
    seals operators' second factors. `key_store` holds the CAs' private keys, `folder` their
    certificates.
    """

    fleet: str
    root: SigningKey
    issuing: Mapping[str, SigningKey]
    signing: Mapping[str, SigningKey]
    factor_key: bytes = field(repr=False)
    key_store: KeyStore
    folder: Path
    coming: Mapping[str, SigningKey] = field(default_factory=lambda: MappingProxyType({}))
    gone: tuple[Generation, ...] = ()
    beside: tuple[x509.Certificate, ...] = ()

    own: tuple[x509.Certificate, ...] = field(init=False, repr=False, compare=False)
    """This controller's issuing CAs' certificates: present, coming, and gone ones that may still be
    shown.
    """
    intermediates: tuple[x509.Certificate, ...] = field(init=False, repr=False, compare=False)
    """The same of every controller of the fleet."""
    _ders: tuple[bytes, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """What every call asks for is put together once."""
        present = [k.certificate for k in self.issuing.values()]
        coming = [k.certificate for k in self.coming.values()]
        own = (*present, *coming, *(g.certificate for g in self.gone))
        everybody = (*own, *(c for c in self.beside if c not in own))
        object.__setattr__(self, "own", own)
        object.__setattr__(self, "intermediates", everybody)
        ders = tuple(c.public_bytes(serialization.Encoding.DER) for c in everybody)
        object.__setattr__(self, "_ders", ders)

    @property
    def authorities(self) -> list[bytes]:
        """The same in DER, as machines are told."""
        return list(self._ders)

    def generations(self, label: str) -> list[Generation]:
        """Every generation of the issuing CA `label`: the present one, the coming, the gone."""
        generations = [
            Generation(
                label=label,
                certificate=self.issuing[label].certificate,
                state=GenerationState.PRESENT,
            )
        ]
        if label in self.coming:
            coming = self.coming[label].certificate
            generations.append(
                Generation(label=label, certificate=coming, state=GenerationState.COMING)
            )
        return [*generations, *(g for g in self.gone if g.label == label)]

    def generations_pem(self, *labels: str) -> bytes:
        """The same of several CAs as one PEM bundle, which a TLS server trusts for its clients."""
        names = {f"{self.fleet} {label}" for label in labels}
        return b"".join(
            certificate.public_bytes(serialization.Encoding.PEM)
            for certificate in self.intermediates
            if common_name(certificate) in names
        )


class KeyRing(Protocol):
    """Who holds the fleet's keys while they change.

    `keys` is one moment's: whoever needs several of them for one thing reads it once.
    """

    @property
    def keys(self) -> FleetKeys:
        """The keys now."""

    def refresh(self) -> FleetKeys:
        """The keys as they lie on disk, which from here on are the keys now.

        Whoever changed them in a transaction MUST call this only once it is committed
        (`Transaction.when_committed`).
        """

    def meet(self, beside: tuple[x509.Certificate, ...]) -> bool:
        """From here on these are the issuing CAs of the fleet's other controllers; whether they
        were others before. That the root signed each, the caller MUST establish.
        """
