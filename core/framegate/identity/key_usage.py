"""Key usages of certificates (RFC 5280, 4.2.1.3)."""

from __future__ import annotations

from typing import Final

from cryptography import x509

_EVERY: Final = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


def key_usage(*named: str) -> x509.KeyUsage:
    """Exactly the usages that are named, as `cryptography` names them."""
    return x509.KeyUsage(**{name: name in named for name in _EVERY})
