"""Elliptic-curve keys out of PEM files that a person names."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from framegate.errors import Reason, Unavailable
from framegate.identity import pem


def read_private_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """The private key in `path`. Raises Malformed, Refused or Unavailable (USAGE)."""
    return pem.private_key(_read(path), path)


def read_public_key(path: Path) -> ec.EllipticCurvePublicKey:
    """The public key in `path`. Raises Malformed, Refused or Unavailable (USAGE)."""
    return pem.public_key(_read(path), path)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        came, hint = error.strerror or error, "name the PEM file that it is in"
        raise Unavailable.of(Reason.USAGE, f"a key in {path}", came, hint) from error
