"""A gateway process's own keys: TLS and verdict keys for its life, an HPKE key that rotates. All in
memory, none on disk.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from hashlib import sha256 as _sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, hpke
from cryptography.hazmat.primitives.asymmetric import ec, mlkem, x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from framegate.errors import Reason, Refused
from framegate.identity.certificates import Purpose as P
from framegate.identity.certificates import (
    from_ms,
    issuer_of,
    load_authorities,
    load_certificate,
    verify_certificate,
)
from framegate.wire import GatewayPublics, Warrant, sha256

KEM: Final = "MLKEM768-X25519"
SUITE: Final = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
HPKE_LIFE_S: Final = 150.0
"""A key opens sessions as long as a grant that names it may run (120 s) and a little for the way.
"""
ROTATE_S: Final = 60.0
MAX_OPENINGS: Final = 100_000
"""Openings remembered for one HPKE key: 32 bytes each, far more than the cameras of a zone make in
its life.
"""


@dataclass
class HpkeKey:
    """One HPKE key pair under the publics that announced it, and the openings it has seen."""

    private: hpke.MLKEM768X25519PrivateKey
    publics: bytes
    made_at_s: float
    warranted: bool = False
    opened: set[bytes] = field(default_factory=set)

    def open(self, sealed: bytes, info: bytes) -> bytes:
        """The frame secret. Each encapsulation opens once in this key's life (N112). Raises
        Refused.
        """
        digest = sha256(sealed)
        if digest in self.opened or len(self.opened) >= MAX_OPENINGS:
            raise Refused.of(
                Reason.OPENING_REPLAYED, "an opening not seen before", "a repeated one"
            )
        try:
            secret = SUITE.decrypt(sealed, self.private, info)
        except (InvalidTag, ValueError) as error:
            raise Refused.of(
                Reason.OPENING,
                "a secret sealed for this session, grant, certificate and source",
                "another",
            ) from error
        if len(secret) != 32:
            raise Refused.of(Reason.OPENING, "a secret of 32 bytes", len(secret))
        self.opened.add(digest)
        return secret


def lives(certificate: x509.Certificate, at_ms: int) -> bool:
    """Whether it is of a time that `at_ms` (since the epoch) is in."""
    born, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return born <= from_ms(at_ms) <= ends


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the present warrant gives this process."""

    device: str
    zone: str
    tls: x509.Certificate
    verdict: x509.Certificate
    root: x509.Certificate
    authorities: tuple[x509.Certificate, ...]
    result_id: str
    fleet_address: str
    server_name: str

    def signs(self, now_ms: int) -> bool:
        """Whether the verdict key's certificate lives: what is signed under another is refused."""
        return lives(self.verdict, now_ms)

    def authority(self, fragment: str) -> bytes:
        """PEM of the issuing CA whose common name contains `fragment`."""
        authorities = [a for a in self.authorities if fragment in a.subject.rfc4514_string()]
        return b"".join(a.public_bytes(Encoding.PEM) for a in authorities)


class GatewayKeys:
    """The keys of this process and the certificates its host's attestation earned them."""

    def __init__(
        self,
        address: str,
        operator_address: str,
        model_digest: bytes,
        packages: tuple[str, ...] = (),
        *,
        purposes: tuple[P, P] = (P.GATEWAY, P.VERDICT),
    ) -> None:
        """`purposes` are those of the TLS and of the signing key, by what the host is enrolled
        as.
        """
        self._purposes = purposes
        self.tls_key, self.verdict_key = (
            ec.generate_private_key(ec.SECP256R1()),
            ec.generate_private_key(ec.SECP256R1()),
        )
        self._fixed = (address, operator_address, model_digest, secrets.token_bytes(16))
        self.model, self.code = model_digest.hex(), code_digest(packages)
        self._csrs = tuple(_csr(k) for k in (self.tls_key, self.verdict_key))
        self.hpke: OrderedDict[bytes, HpkeKey] = OrderedDict()
        self.credentials: Credentials | None = None
        self.refused = ""
        self.announce = asyncio.Event()
        self.rotate()

    def rotate(self) -> bytes:
        """Make a new HPKE key and return the publics that announce it; keys past their life are
        dropped.
        """
        now = time.monotonic()
        for digest in [d for d, k in self.hpke.items() if k.made_at_s < now - HPKE_LIFE_S]:
            del self.hpke[digest]
        first, second = mlkem.MLKEM768PrivateKey.generate(), x25519.X25519PrivateKey.generate()
        address, operator_address, model_digest, nonce = self._fixed
        raw = GatewayPublics(
            process_nonce=nonce,
            tls_csr=self._csrs[0],
            verdict_csr=self._csrs[1],
            hpke_kem=KEM,
            hpke_public=first.public_key().public_bytes_raw()
            + second.public_key().public_bytes_raw(),
            address=address,
            operator_address=operator_address,
            model_digest=model_digest,
            code_digest=self.code,
        ).marshal()
        self.hpke[sha256(raw)] = HpkeKey(hpke.MLKEM768X25519PrivateKey(first, second), raw, now)
        return raw

    def use_model(self, digest: bytes) -> None:
        """From here on new publics name this model; they are announced at once. Sessions under
        earlier publics keep the model those name.
        """
        if digest.hex() == self.model:
            return
        address, operator_address, _, nonce = self._fixed
        self._fixed, self.model = (address, operator_address, digest, nonce), digest.hex()
        self.announce.set()

    @property
    def newest(self) -> HpkeKey:
        """The last key made."""
        return next(reversed(self.hpke.values()))

    @property
    def offered(self) -> tuple[bytes, HpkeKey]:
        """(digest of publics, key) that new frame sessions use: the newest one the controller knows
        of.
        """
        for digest, key in reversed(self.hpke.items()):
            if key.warranted:
                return digest, key
        raise Refused.of(
            Reason.NO_GRANT,
            "keys that the controller has certified",
            "none yet",
            "the host has to be attested",
        )

    def accept(self, warrant: Warrant, publics: bytes) -> Credentials:
        """Credentials out of a warrant for `publics`, after verifying both certificates against the
        keys they are for. Raises Refused.
        """
        root = load_certificate(warrant.root)
        authorities = load_authorities(warrant.authorities, root)
        now = from_ms(time.time_ns() // 1_000_000)
        shown = (warrant.tls_certificate, warrant.verdict_certificate)
        tls, verdict = (
            verify_certificate(load_certificate(der), purpose, authorities, root, now)
            for der, purpose in zip(shown, self._purposes, strict=True)
        )
        if tls.key != self.tls_key.public_key() or verdict.key != self.verdict_key.public_key():
            raise Refused.of(Reason.CERTIFICATE, "certificates for this process's keys", "others")
        key = self.hpke.get(sha256(publics))
        if key is not None:
            key.warranted = True
        self.credentials = Credentials(
            warrant.device,
            warrant.zone,
            tls.certificate,
            verdict.certificate,
            root,
            authorities,
            warrant.result_id,
            warrant.fleet_address,
            warrant.server_name,
        )
        self.refused = ""
        return self.credentials

    def know(self, authorities: Sequence[bytes]) -> None:
        """Issuing CAs that the feed names, each signed by the root; a coming one is known before
        anything it signed arrives. Raises Malformed, Refused.
        """
        if self.credentials is None or {
            a.public_bytes(Encoding.DER) for a in self.credentials.authorities
        } == set(authorities):
            return
        self.credentials = replace(
            self.credentials, authorities=load_authorities(authorities, self.credentials.root)
        )

    def chain_pem(self) -> tuple[bytes, bytes]:
        """(key PEM, certificate chain PEM) for TLS. Raises Refused without credentials."""
        if self.credentials is None:
            raise Refused.of(Reason.CERTIFICATE, "a warrant of the host's agent", "none")
        key = self.tls_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        issuer = self.issuer_of(self.credentials.tls)
        chain = (self.credentials.tls, issuer)
        return key, b"".join(c.public_bytes(Encoding.PEM) for c in chain)

    def issuer_of(self, certificate: x509.Certificate) -> x509.Certificate:
        """The issuing CA that signed one of this process's certificates. Raises Refused."""
        authorities = self.credentials.authorities if self.credentials is not None else ()
        issuer = issuer_of(certificate, authorities)
        if issuer is None:
            raise Refused.of(Reason.CERTIFICATE, "the issuing CA of a certificate", "none known")
        return issuer

    def sign_verdict(self, message: bytes) -> bytes:
        """DER ECDSA-SHA256 signature by the verdict key."""
        return self.verdict_key.sign(message, ec.ECDSA(hashes.SHA256()))


def _csr(key: ec.EllipticCurvePrivateKey) -> bytes:
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.DER)
    )


@lru_cache(maxsize=4)
def code_digest(packages: tuple[str, ...] = ()) -> bytes:
    """SHA-256 over the gateway's own Python files, in path order, and those of the `packages` with
    further kinds of payloads: which gateway this is, quoted by its host.
    """
    digest = _sha256()
    folders = [Path(__file__).parents[1]]
    for name in sorted(packages):
        spec = find_spec(name)
        places = spec.submodule_search_locations if spec is not None else None
        folders += [Path(place) for place in places or ()]
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            digest.update(
                path.relative_to(folder).as_posix().encode() + b"\0" + sha256(path.read_bytes())
            )
    return digest.digest()
