"""Which model a zone runs: the controller's signed word, and the one way to establish it (N104)."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_der_public_key

from framegate.errors import Malformed, Reason, Refused
from framegate.identity.certificates import UNREADABLE, Purpose, spki_of
from framegate.signed.dsse import parse_envelope
from framegate.signed.statement import Statement

MODEL_NAMES: Final = re.compile(r"[a-z0-9][a-z0-9.-]{0,62}")
"""A model's name: fit for a folder, a topic and a table."""
MAX_APPROVED: Final = 64
"""Digests that may still run in a zone while a gateway fetches the pinned one."""


@dataclass(frozen=True, slots=True)
class ModelPin(Statement):
    """A zone's model. `sequence` counts the zone's pins; `signer` and `anchor` say who must have
    signed the bundle: anchor is "key:" and the base64 DER of a public key, or "root:" and that of a
    certificate which `signer`'s own must chain to. `rollback` 1 lets an older version of the same
    name follow a newer one; `approved` are the digests (hex) that may run until the pinned one is
    at hand.
    """

    zone: str
    sequence: int
    model_sha256: str
    name: str
    version: int
    signer: str
    anchor: str
    rollback: int
    approved: tuple[str, ...]
    issued_at_ms: int

    TYPE: ClassVar[str] = "application/vnd.framegate.model-pin+json"
    PURPOSE: ClassVar[Purpose] = Purpose.MODEL


def verify_model_pin(
    data: bytes,
    zone: str,
    root: x509.Certificate,
    now: datetime,
    *,
    least: tuple[int, str] = (0, ""),
) -> ModelPin:
    """The pin that `zone`'s gateways act on.

    1. to 4. as `Statement.verify`; 5. it is for this zone; 6. its sequence is not below `least`,
       and the same sequence is the same digest; 7. digest and anchor are readable. Raises Malformed
       or Refused (MODEL, MODEL_ROLLBACK).
    """
    pin, _ = ModelPin.verify(data, (), root, now)
    if pin.zone != zone:  # 5
        raise Refused.of(Reason.MODEL, f"a model pin of zone {zone}", ascii(pin.zone)[:80])
    if pin.sequence < least[0] or (
        pin.sequence == least[0] and least[1] not in {"", pin.model_sha256}
    ):  # 6
        raise Refused.of(
            Reason.MODEL_ROLLBACK,
            f"pin {least[0]} of {zone} or later",
            f"{pin.sequence} for {pin.model_sha256[:16]}",
            "restore the controller's registry",
        )
    if (
        len(pin.model_sha256) != 64
        or pin.sequence < 1
        or pin.version < 1
        or len(pin.approved) > MAX_APPROVED
    ):  # 7
        raise Malformed.of(
            Reason.MODEL, "a digest, a sequence and a version", ascii(pin.model_sha256[:80])
        )
    anchor_of(pin.anchor)
    return pin


def parse_pin(envelope: bytes) -> ModelPin:
    """The pin in an envelope that this program, or the controller it trusts, signed. Nothing is
    verified.

    Raises Malformed.
    """
    return ModelPin.parse_payload(parse_envelope(envelope, ModelPin.TYPE).payload)


def key_anchor(key: ec.EllipticCurvePublicKey) -> str:
    """The anchor of bundles that this key signs."""
    return "key:" + base64.b64encode(spki_of(key)).decode()


def root_anchor(root: x509.Certificate) -> str:
    """The anchor of bundles whose signer's certificate chains to `root`."""
    return "root:" + base64.b64encode(root.public_bytes(Encoding.DER)).decode()


def anchor_of(
    anchor: str,
) -> tuple[Sequence[ec.EllipticCurvePublicKey], Sequence[x509.Certificate]]:
    """(keys, roots) that a bundle's signature is verified against: one of either. Raises Malformed
    (MODEL).
    """
    kind, _, text = anchor.partition(":")
    try:
        raw = base64.b64decode(text.encode(), validate=True)
        if kind == "root":
            return (), (x509.load_der_x509_certificate(raw),)
        key = load_der_public_key(raw)
    except (binascii.Error, *UNREADABLE) as error:
        raise Malformed.of(
            Reason.MODEL, "key: or root: and base64 DER", type(error).__name__
        ) from error
    if kind != "key" or not isinstance(key, ec.EllipticCurvePublicKey):
        raise Malformed.of(Reason.MODEL, "an elliptic-curve key", ascii(kind)[:20])
    return (key,), ()
