"""Elliptic-curve keys and certificates as PEM that a person names: bytes in, one clear error
out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from framegate.errors import Malformed, Reason, Refused
from framegate.identity.certificates import UNREADABLE

T = TypeVar("T")


def private_key(pem: bytes, where: object) -> ec.EllipticCurvePrivateKey:
    """The private key in `pem`, without a passphrase; `where` names it in errors. Raises Malformed
    or Refused (USAGE).
    """
    key = _read(lambda: load_pem_private_key(pem, None), where)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise Refused.of(
            Reason.USAGE, f"an elliptic-curve private key in {where}", type(key).__name__
        )
    return key


def public_key(pem: bytes, where: object) -> ec.EllipticCurvePublicKey:
    """The public key in `pem`; `where` names it in errors. Raises Malformed or Refused (USAGE)."""
    key = _read(lambda: load_pem_public_key(pem), where)
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise Refused.of(
            Reason.USAGE, f"an elliptic-curve public key in {where}", type(key).__name__
        )
    return key


def certificate(pem: bytes, where: object) -> x509.Certificate:
    """The certificate in `pem`; `where` names it in errors. Raises Malformed (USAGE)."""
    return _read(lambda: x509.load_pem_x509_certificate(pem), where)


def certificates(pem: bytes, where: object) -> tuple[x509.Certificate, ...]:
    """The certificates in `pem`, one after another; `where` names it in errors. Raises Malformed
    (USAGE).
    """
    return tuple(_read(lambda: x509.load_pem_x509_certificates(pem), where))


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """PKCS#8 PEM of `key`, as it is: whoever keeps it MUST keep it private."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _read(load: Callable[[], T], where: object) -> T:
    try:
        return load()
    except UNREADABLE as error:
        raise Malformed.of(
            Reason.USAGE,
            f"a PEM key or certificate in {where}, without a passphrase",
            type(error).__name__,
        ) from error
