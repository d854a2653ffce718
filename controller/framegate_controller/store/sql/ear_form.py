"""A signed result (EAR) without what its row says anyhow: its header, which all results of one key
share, stands once, and its claims are compressed against the row's own members.

What comes back is the very text that was signed. A text that would not come back so is not packed.
"""

from __future__ import annotations

import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final, NamedTuple, Protocol

from framegate.evidence.ear import MAX_EAR_BYTES
from framegate.wire import sha256

SIGNATURE_BYTES: Final = 64
"""Of ES256 (RFC 7518 3.4)."""
_CLAIMS: Final = (
    b'"firmware":"","manufacturer":"","ak-name":"000b","ek-sha256":"","endorsement":'
    b'"EK hash pinned by an operator","reset-count":1,"restart-count":0}}}}'
    b'{"eat_profile":"tag:ietf.org,2026:rats/ear#01","iat":17,"exp":17,"sub":"","jti":"",'
    b'"ear.verifier-id":{"developer":"Framegate","build":"controller '
    b'"},"submods":{"framegate":{"ear.status":"affirming","ear.trustworthiness-vector":'
    b'{"instance-identity":2,"configuration":2,"executables":2,"file-system":2,"hardware":2,'
    b'"runtime-opaque":0},'
    b'"ear.appraisal-policy-id":" sha256:","framegate.evidence-sha256":"",'
    b'"framegate.failures":[],"framegate.findings":[],"framegate.tpm":{'
)
"""What claims have in common. It is part of the form: rows are read with it for ever."""


class ResultRow(Protocol):
    """The members of a result's row that its claims repeat."""

    @property
    def id(self) -> str:
        """The result's, `jti`."""

    @property
    def device(self) -> str:
        """`sub`."""

    @property
    def profile(self) -> str:
        """Its label."""

    @property
    def profile_sha256(self) -> bytes:
        """Of its TOML."""

    @property
    def evidence_sha256(self) -> bytes:
        """Of the evidence."""

    @property
    def ak_public(self) -> bytes:
        """TPM2B_PUBLIC's content, whose SHA-256 is in the AK's name."""


class PackedEar(NamedTuple):
    """An EAR's header as text, and the rest of it packed."""

    header: str
    packed: bytes


def packed_ear(ear: str, row: ResultRow) -> PackedEar | None:
    """The EAR of `row` packed; None where it would not come back byte for byte."""
    header, _, rest = ear.partition(".")
    claims, _, signature = rest.partition(".")
    try:
        raw, signed = _decoded(claims), _decoded(signature)
    except ValueError:
        return None
    if len(signed) != SIGNATURE_BYTES:
        return None
    deflate = zlib.compressobj(level=9, wbits=-15, zdict=_dictionary(row))
    packed = PackedEar(header, signed + deflate.compress(raw) + deflate.flush())
    return packed if unpacked_ear(packed.packed, header, row) == ear else None


def unpacked_ear(packed: bytes, header: str, row: ResultRow) -> str:
    """The EAR as it was signed. Empty where the row was changed so that there is none: whoever
    shows it says that none is kept.
    """
    inflate = zlib.decompressobj(wbits=-15, zdict=_dictionary(row))
    try:
        claims = inflate.decompress(packed[SIGNATURE_BYTES:], MAX_EAR_BYTES)
    except zlib.error:
        return ""
    if not inflate.eof:
        return ""
    return f"{header}.{_encoded(claims)}.{_encoded(packed[:SIGNATURE_BYTES])}"


def _dictionary(row: ResultRow) -> bytes:
    hexes = (row.profile_sha256.hex(), row.evidence_sha256.hex(), sha256(row.ak_public).hex())
    return "\n".join((*hexes, row.id, row.device, row.profile)).encode() + _CLAIMS


def _decoded(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _encoded(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()
