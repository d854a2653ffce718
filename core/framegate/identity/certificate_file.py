"""Makers' certificates out of files, in whichever form somebody got them.

Source: RFC 7468 (PEM), RFC 2315 (PKCS #7, certificates alone), openssl-x509(1) for TRUSTED
CERTIFICATE, tpm2_getekcertificate(1) for what Intel's service answers. A form is only a wrapper:
what comes out is read and verified like any other certificate.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from framegate.byte_order_mark import as_utf8
from framegate.errors import Malformed, Reason
from framegate.identity.ber import SEQUENCE, elements, first_size
from framegate.identity.certificates import UNREADABLE
from framegate.identity.endorsement import MakerCertificate, load_maker_certificate

MAX_IN_FILE: Final = 1024
"""All makers' CAs that are known fit in one PEM file: some 170."""
MAX_FILE_BYTES: Final = 4 * 1024 * 1024
"""As many certificates of 2 KiB, in base64 and with words between them."""
_PEM: Final = re.compile(
    rb"-----BEGIN (X509 |TRUSTED |)CERTIFICATE-----([A-Za-z0-9+/=\s]*)-----END ", re.ASCII
)
_BEGIN: Final = re.compile(rb"-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----")
_CUT: Final = "the file is cut off: copy it whole"
_PKCS7_PEM: Final = re.compile(
    rb"-----BEGIN PKCS ?#?7(?: SIGNED DATA)?-----([A-Za-z0-9+/=\s]*)-----END ", re.ASCII
)
_SIGNED_DATA: Final = bytes.fromhex("06092a864886f70d010702")
"""pkcs7-signedData, as it stands within the first bytes of such a file."""
_BASE64: Final = re.compile(rb"[\r\n\t ]*MII[A-Za-z0-9+/_=%\r\n\t -]{100,}")
"""A DER SEQUENCE of 256 bytes and more, in base64; Intel's service writes it for URLs."""


def load_certificate_file(raw: bytes) -> list[MakerCertificate]:
    """The certificates in a file, read as `load_maker_certificate` does: DER, one behind another;
    PEM, where several may stand with words between them; PKCS #7 with certificates alone; bare
    base64, and the JSON around it that Intel's service answers with; UTF-8 or UTF-16 text.

    Raises Malformed (EK_CHAIN) where there is none, or one cannot be read; TOO_LARGE past
    `MAX_IN_FILE` or `MAX_FILE_BYTES`.
    """
    if len(raw) > MAX_FILE_BYTES:
        raise Malformed.of(Reason.TOO_LARGE, f"a file of at most {MAX_FILE_BYTES} bytes", len(raw))
    text = as_utf8(raw)
    if b"-----BEGIN" in text:
        return [load_maker_certificate(der) for der in _of_pem(text)]
    if b"-----END" in text:
        raise Malformed.of(Reason.EK_CHAIN, "BEGIN CERTIFICATE in PEM", "its end alone", _CUT)
    inside = _of_base64(text)
    return [load_maker_certificate(der) for der in _several(raw if inside is None else inside)]


def _of_pem(text: bytes) -> list[bytes]:
    text = text.replace(b"\\r", b"").replace(b"\\n", b"\n")  # as JSON and settings escape them
    blocks = list(_PEM.finditer(text))
    if len(blocks) > MAX_IN_FILE:
        raise Malformed.of(
            Reason.TOO_LARGE, f"at most {MAX_IN_FILE} certificates in a file", len(blocks)
        )
    listed = [_without_trust(_unbase64(b[2])) if b[1] else _unbase64(b[2]) for b in blocks]
    for block in _PKCS7_PEM.findall(text):
        listed += _of_pkcs7(_unbase64(block))
    if not listed and _BEGIN.search(text) is None:
        raise Malformed.of(Reason.EK_CHAIN, "BEGIN CERTIFICATE in PEM", "PEM of something else")
    if not listed:
        whole = b"-----END " in text
        seen = "other signs between them" if whole else "no END CERTIFICATE"
        raise Malformed.of(
            Reason.EK_CHAIN,
            "base64 between BEGIN and END CERTIFICATE",
            seen,
            "get the file itself, not a copy of its text" if whole else _CUT,
        )
    return listed


def _of_base64(text: bytes) -> bytes | None:
    """What base64 without BEGIN and END holds; None where it is none."""
    if text.lstrip()[:1] == b"{":
        try:
            body = json.loads(text)
        except (ValueError, RecursionError):
            return None
        told = body.get("certificate") if isinstance(body, dict) else None
        text = told.encode("ascii", "replace") if isinstance(told, str) else b""
    if _BASE64.fullmatch(text) is None:
        return None
    plain = text.replace(b"%3D", b"=").translate(bytes.maketrans(b"-_", b"+/"))
    return _unbase64(plain + b"=" * (-len(b"".join(plain.split())) % 4))


def _unbase64(text: bytes) -> bytes:
    try:
        return base64.b64decode(text, validate=False)
    except binascii.Error as error:
        raise Malformed.of(Reason.EK_CHAIN, "base64 between BEGIN and END", str(error)) from error


def _without_trust(der: bytes) -> bytes:
    """A certificate without what OpenSSL writes behind one that it is told to trust: for what, and
    under which name. It counts for nothing here.
    """
    try:
        parts = list(elements(der))
    except ValueError:
        return der
    return parts[0].raw if [p.tag for p in parts] == [SEQUENCE, SEQUENCE] else der


def _several(raw: bytes) -> list[bytes]:
    """What a binary file holds: a bundle, or certificates behind one another, as NV indices of
    chains have them (TCG EK Credential Profile 2.2.1.5). A TPM's own size in front is taken off.
    """
    if first_size(raw[2:]) and first_size(raw[2:]) <= int.from_bytes(raw[:2], "big") < len(raw):
        raw = raw[2:]
    if _SIGNED_DATA in raw[:24]:
        return _of_pkcs7(raw)
    held = list[bytes]()
    while 0 < (size := first_size(raw)) < len(raw) and first_size(raw[size:]):
        held.append(raw[:size])
        raw = raw[size:]
        if len(held) >= MAX_IN_FILE:
            raise Malformed.of(Reason.TOO_LARGE, f"at most {MAX_IN_FILE} certificates", "more")
    return [*held, raw]


def _of_pkcs7(der: bytes) -> list[bytes]:
    """The certificates that a PKCS #7 file hands out, in its order; what it signs is not read."""
    size = first_size(der)
    if size and not der[size:].strip(b"\0\xff\r\n"):
        der = der[:size]
    try:
        held = pkcs7.load_der_pkcs7_certificates(der)
    except UNREADABLE as error:
        raise Malformed.of(
            Reason.EK_CHAIN, "PKCS #7 with certificates", str(error)[:120]
        ) from error
    if not 0 < len(held) <= MAX_IN_FILE:
        raise Malformed.of(Reason.EK_CHAIN, f"1 to {MAX_IN_FILE} certificates", len(held))
    return [c.public_bytes(Encoding.DER) for c in held]
