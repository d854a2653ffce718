"""DSSE: signed envelopes whose payload is read only after the signature over it held.

Source: secure-systems-lab/dsse, protocol.md v1.0.2. ECDSA P-256 with SHA-256; the signer's
certificate travels beside the signature.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from framegate.errors import FramegateError, Malformed, Reason, Refused

MAX_ENVELOPE_BYTES: Final = 512 * 1024
"""A firmware profile with some thousand digests; everything else is a few kilobytes."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """An envelope that has been read but not verified: what it says is a stranger's word."""

    payload_type: str
    payload: bytes
    signature: bytes
    certificate: bytes


MAX_JSON_DEPTH: Final = 32
"""Nothing of ours nests deeper than six; recursion in the JSON reader costs stack."""


def pae(payload_type: str, payload: bytes) -> bytes:
    """Pre-authentication encoding: the bytes that are signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def seal_envelope(
    payload_type: str, payload: bytes, certificate_der: bytes, sign: Callable[[bytes], bytes]
) -> bytes:
    """The JSON envelope of `payload`; `sign` gives a DER ECDSA-SHA256 signature over the bytes
    handed to it.
    """
    signature = sign(pae(payload_type, payload))
    body = {
        "payloadType": payload_type,
        "payload": _b64(payload),
        "signatures": [{"sig": _b64(signature), "cert": _b64(certificate_der)}],
    }
    return json.dumps(body, separators=(",", ":")).encode()


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _raw(text: str) -> bytes:
    raw = base64.b64decode(text.encode(), validate=True)
    if _b64(raw) != text:
        raise ValueError("another base64 of the same bytes")
    return raw


def parse_envelope(data: bytes, payload_type: str) -> Envelope:
    """The envelope in `data`, which must be of `payload_type` with exactly one signature. Raises
    Malformed. Nothing is verified.
    """
    if len(data) > MAX_ENVELOPE_BYTES:
        raise Malformed.of(
            Reason.TOO_LARGE, f"an envelope of at most {MAX_ENVELOPE_BYTES} bytes", len(data)
        )
    body = strict_json(data)
    try:
        (signature,) = body["signatures"]
        if set(body) != {"payloadType", "payload", "signatures"} or set(signature) != {
            "sig",
            "cert",
        }:
            raise KeyError("members")
        envelope = Envelope(
            str(body["payloadType"]),
            _raw(body["payload"]),
            _raw(signature["sig"]),
            _raw(signature["cert"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError, binascii.Error) as error:
        raise Malformed.of(
            Reason.ENVELOPE,
            "a DSSE envelope with one signature and its certificate",
            type(error).__name__,
        ) from error
    if envelope.payload_type != payload_type:
        raise Malformed.of(Reason.ENVELOPE, payload_type, ascii(envelope.payload_type[:80]))
    return envelope


def envelope_type(data: bytes) -> str:
    """The payload type that the envelope in `data` names: a stranger's word, to choose a reader by.
    Raises Malformed.
    """
    body = strict_json(data[: MAX_ENVELOPE_BYTES + 1])
    named = body.get("payloadType") if type(body) is dict else None
    if type(named) is not str:
        raise Malformed.of(Reason.ENVELOPE, "a DSSE envelope", type(body).__name__)
    return named


def verify_envelope(envelope: Envelope, key: ec.EllipticCurvePublicKey) -> bytes:
    """The payload, after its signature by `key` held. The caller MUST have established whose `key`
    that is and what it may sign.
    """
    try:
        key.verify(
            envelope.signature,
            pae(envelope.payload_type, envelope.payload),
            ec.ECDSA(hashes.SHA256()),
        )
    except InvalidSignature as error:
        raise Refused.of(
            Reason.SIGNATURE, f"a signature of the {envelope.payload_type} key", "another"
        ) from error
    return envelope.payload


def envelope_certificate(envelope: Envelope) -> x509.Certificate:
    """The certificate beside the signature, unverified. Raises Malformed."""
    try:
        return x509.load_der_x509_certificate(envelope.certificate)
    except ValueError as error:
        raise Malformed.of(Reason.ENVELOPE, "a DER certificate", "other bytes") from error


def strict_json(data: bytes) -> Any:
    """The JSON value in `data`: UTF-8, no repeated member, no NaN, at most 32 levels. Raises
    Malformed.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) != len(pairs):
            raise Malformed.of(Reason.MALFORMED, "each JSON member once", "a repeated one")
        return members

    def no_constant(name: str) -> Any:
        raise Malformed.of(Reason.MALFORMED, "JSON numbers", name)

    if (
        data.count(b"[") + data.count(b"{") > MAX_JSON_DEPTH
    ):  # else it cannot be deeper, however it is nested
        depth = deepest = 0
        for byte in data:
            if byte in b"[{":
                depth += 1
                deepest = max(deepest, depth)
            elif byte in b"]}":
                depth -= 1
        if deepest > MAX_JSON_DEPTH:
            raise Malformed.of(
                Reason.MALFORMED, f"at most {MAX_JSON_DEPTH} levels of JSON", deepest
            )
    try:
        return json.loads(data.decode(), object_pairs_hook=unique, parse_constant=no_constant)
    except FramegateError:
        raise
    except (ValueError, RecursionError) as error:
        raise Malformed.of(Reason.MALFORMED, "JSON", type(error).__name__) from error
