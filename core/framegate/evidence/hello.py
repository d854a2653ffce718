"""A Hello and its keys, read strictly and before anybody is known: all that can be said of one
without a registry.
"""

from __future__ import annotations

from typing import NamedTuple

from framegate.errors import Malformed, Reason
from framegate.tpm.public import Public, parse_public, require_ak, require_ek, require_tls_key
from framegate.wire import MAX_HELLO_BYTES, Hello


class HelloKeys(NamedTuple):
    """The keys of a Hello, parsed, whose templates were checked."""

    ek: Public
    ak: Public
    tls: Public


def parse_hello(data: bytes) -> Hello:
    """The Hello in `data`, of at most `MAX_HELLO_BYTES`. Raises Malformed."""
    if len(data) > MAX_HELLO_BYTES:
        raise Malformed.of(
            Reason.TOO_LARGE, f"a Hello of at most {MAX_HELLO_BYTES} bytes", len(data)
        )
    return Hello.parse(data)


def keys_of(hello: Hello) -> HelloKeys:
    """Its keys, after:

    1. EK, AK and TLS key are whole public areas;
    2. the EK is a restricted decryption key;
    3. the AK is a restricted signing key;
    4. the TLS key is fixed to its TPM. Which policy it must have is known only after replay.

    Raises Malformed, EvidenceRejected.
    """
    keys = HelloKeys(
        parse_public(hello.ek_public),
        parse_public(hello.ak_public),
        parse_public(hello.tls_public),
    )  # 1
    require_ek(keys.ek)  # 2
    require_ak(keys.ak)  # 3
    require_tls_key(keys.tls, keys.tls.auth_policy)  # 4
    return keys
