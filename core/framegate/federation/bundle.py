"""A fleet's trust bundle as other fleets get it: the JWK set of SPIFFE federation.

Source: SPIFFE Trust Domain and Bundle, 4 (SPIFFE Bundle Format), SPIFFE Federation, 5; RFC 7517,
RFC 7518, 6.2. Of a bundle the certificates of `use` x509-svid count, each a root of that fleet.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import FramegateError, Malformed, Reason
from framegate.identity.certificates import UNREADABLE
from framegate.identity.names import parse_name
from framegate.signed.dsse import strict_json

MAX_BUNDLE_BYTES: Final = 64 * 1024
"""A key with its certificate is some 1,500 bytes."""
MAX_ROOTS: Final = 8
"""A fleet has one; one that changes its root has two for a while."""
MAX_KEYS: Final = 32
"""Keys of every use: those of other uses (jwt-svid) are left out unread."""
MAX_SEQUENCE: Final = 2**53 - 1
"""What every reader of JSON keeps exactly (RFC 8259, 6)."""
USE: Final = "x509-svid"
REFRESH_S: Final = 300
"""How often this fleet's bundle is to be fetched, and one that does not say."""
MIN_REFRESH_S: Final = 10
MAX_REFRESH_S: Final = 24 * 3600
"""A peer that asks for more, or for less, does not get it: who is asked never is a day old."""
DOMAIN_SUFFIX: Final = ".framegate"
_P256_BYTES: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustBundle:
    """What a bundle says: `roots` are certificates (DER) that vouch for a fleet, by their digests'
    order. Made by `parse_bundle`. That the fleet is the one it calls itself, people establish.
    """

    fleet: str
    sequence: int
    refresh_s: int
    roots: tuple[bytes, ...]

    @property
    def trust_domain(self) -> str:
        """The fleet's name in SPIFFE IDs."""
        return f"{self.fleet}{DOMAIN_SUFFIX}"

    @property
    def endpoint_id(self) -> str:
        """The SPIFFE ID that the endpoint of this fleet's bundle must show (https_spiffe)."""
        return endpoint_id(self.fleet)

    @property
    def keys(self) -> frozenset[str]:
        """SHA-256 of every root, in hex."""
        return frozenset(hashlib.sha256(der).hexdigest() for der in self.roots)

    @property
    def certificates(self) -> tuple[x509.Certificate, ...]:
        """The roots, read."""
        return tuple(map(x509.load_der_x509_certificate, self.roots))

    @property
    def pems(self) -> tuple[bytes, ...]:
        """The roots in PEM, one each."""
        return tuple(c.public_bytes(Encoding.PEM) for c in self.certificates)


def endpoint_id(fleet: str) -> str:
    """The SPIFFE ID of the endpoint at which a fleet's bundle is fetched."""
    return f"spiffe://{fleet}{DOMAIN_SUFFIX}/controller"


def bundle_of(roots: Iterable[x509.Certificate], refresh_s: int = REFRESH_S) -> bytes:
    """The bundle that a fleet with these roots shows.

    Its sequence is when the newest began to count, in seconds since the epoch: it rises with every
    root, and nobody has to remember it.
    """
    ordered = sorted(roots, key=lambda c: c.public_bytes(Encoding.DER))
    body = {
        "keys": [_jwk(c) for c in ordered],
        "spiffe_sequence": max(int(c.not_valid_before_utc.timestamp()) for c in ordered),
        "spiffe_refresh_hint": refresh_s,
    }
    return json.dumps(body, indent=1).encode() + b"\n"


def parse_bundle(raw: bytes) -> TrustBundle:
    """The bundle in `raw`, whoever it came from.

    1. at most `MAX_BUNDLE_BYTES` of strict JSON: an object, no member twice;
    2. `keys` is a list of at most `MAX_KEYS`; those whose `use` is another are left out, as the
       format demands (4.2.2); 1 to `MAX_ROOTS` are left, none twice;
    3. each is a P-256 key (`kty` EC, `crv` P-256) with exactly one certificate in `x5c` (4.2.1),
       in the one base64 of its bytes, and `x` and `y` are that certificate's key;
    4. that certificate is a CA that signed itself;
    5. every certificate names the same fleet as its one organization, which is a name;
    6. `spiffe_sequence` is there, a whole number from 0 to `MAX_SEQUENCE`: without one nobody could
       tell an older bundle from a newer one; `spiffe_refresh_hint` is a whole number where it is
       there, and is kept within `MIN_REFRESH_S` and `MAX_REFRESH_S`.

    Raises Malformed (SITE_BUNDLE; TOO_LARGE), and nothing else.
    """
    if len(raw) > MAX_BUNDLE_BYTES:  # 1
        raise Malformed.of(
            Reason.TOO_LARGE, f"a bundle of at most {MAX_BUNDLE_BYTES} bytes", len(raw)
        )
    try:
        body = strict_json(raw)
    except FramegateError as error:
        raise _refused("a JWK set in JSON", error.failures[0].actual) from error
    if type(body) is not dict or type(body.get("keys")) is not list:
        raise _refused("a JWK set: an object with a list `keys`", type(body).__name__)
    listed = body["keys"]
    if len(listed) > MAX_KEYS:  # 2
        raise _refused(f"at most {MAX_KEYS} keys", len(listed))
    if not all(type(k) is dict for k in listed):
        raise _refused("keys that are objects", "something else in the list")
    certificates = [_root(k) for k in listed if k.get("use") == USE]
    roots = tuple(sorted({c.public_bytes(Encoding.DER) for c in certificates}))
    if len(roots) != len(certificates) or not 0 < len(roots) <= MAX_ROOTS:
        seen = f"{len(certificates)}, {len(roots)} of them different"
        raise _refused(f"1 to {MAX_ROOTS} different keys of use {USE}", seen)
    fleets = {_fleet(c) for c in certificates}  # 5
    if len(fleets) != 1:
        raise _refused("roots of one fleet", ", ".join(sorted(fleets)))
    sequence = _whole(body.get("spiffe_sequence"), "spiffe_sequence")  # 6
    hint = _whole(body.get("spiffe_refresh_hint", REFRESH_S), "spiffe_refresh_hint")
    refresh_s = min(max(hint, MIN_REFRESH_S), MAX_REFRESH_S)
    return TrustBundle(fleet=fleets.pop(), sequence=sequence, refresh_s=refresh_s, roots=roots)


def _root(jwk: dict[str, Any]) -> x509.Certificate:
    if jwk.get("kty") != "EC" or jwk.get("crv") != "P-256":  # 3
        raise _refused("a key of kty EC, crv P-256", f"{jwk.get('kty')!a}, {jwk.get('crv')!a}")
    chain = jwk.get("x5c")
    if type(chain) is not list or len(chain) != 1 or type(chain[0]) is not str:
        raise _refused("exactly one certificate in x5c", "another number of them")
    try:
        der = base64.b64decode(chain[0].encode(), validate=True)
        certificate = x509.load_der_x509_certificate(der)
        key = certificate.public_key()
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
        certificate.verify_directly_issued_by(certificate)  # 4
    except (*UNREADABLE, InvalidSignature, x509.ExtensionNotFound) as error:
        raise _refused("a certificate of a CA that signed itself", type(error).__name__) from error
    if base64.b64encode(der).decode() != chain[0]:
        raise _refused("the one base64 of a certificate", "another of the same bytes")
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise _refused("a P-256 certificate", type(key).__name__)
    if not constraints.value.ca:
        raise _refused("a certificate of a CA", "one of no CA")
    if (jwk.get("x"), jwk.get("y")) != _coordinates(key):
        raise _refused("x and y of the certificate's key", "those of another")
    return certificate


def _fleet(certificate: x509.Certificate) -> str:
    try:
        names = certificate.subject.get_attributes_for_oid(x509.NameOID.ORGANIZATION_NAME)
        (name,) = names
        return str(parse_name(str(name.value), "fleet"))
    except (*UNREADABLE, FramegateError) as error:
        raise _refused("a root that names one fleet", type(error).__name__) from error


def _jwk(certificate: x509.Certificate) -> dict[str, object]:
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise _refused("a P-256 root", type(key).__name__)
    x, y = _coordinates(key)
    der = base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()
    return {"kty": "EC", "crv": "P-256", "use": USE, "x": x, "y": y, "x5c": [der]}


def _coordinates(key: ec.EllipticCurvePublicKey) -> tuple[str, str]:
    numbers = key.public_numbers()
    return _url64(numbers.x), _url64(numbers.y)


def _url64(number: int) -> str:
    raw = number.to_bytes(_P256_BYTES, "big")
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _whole(value: object, what: str) -> int:
    if type(value) is not int or not 0 <= value <= MAX_SEQUENCE:
        raise _refused(f"{what}: a whole number from 0 to 2^53 - 1", ascii(value)[:40])
    return value


def _refused(expected: str, actual: object) -> Malformed:
    hint = "framegate site bundle --out FILE writes one, at the other site"
    return Malformed.of(Reason.SITE_BUNDLE, expected, actual, hint)
