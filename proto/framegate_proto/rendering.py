"""A message as whoever is to approve it reads it: every member, out of its own bytes.

Both sides use it: the controller for the line it keeps of a request, whoever approves for the whole
of it, on their own machine. Nothing here takes anybody's word: certificates, envelopes and texts
are read out of the bytes, each beside its fingerprint. What a requester says in their own words is
marked as that (`Shown.remark`), and everything is printable ASCII, so that no member can dress as
another.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from framegate.errors import FramegateError
from framegate.federation.bundle import parse_bundle
from framegate.identity.certificates import UNREADABLE
from framegate.signed.dsse import Envelope, parse_envelope, strict_json
from framegate.signed.inspected import (
    MAX_TOLERANT,
    Inspected,
    InspectedOf,
    Polygon,
    area_of,
    inspected_share,
    less_tolerant,
)
from framegate.signed.mask import parse_masks, parse_regions
from framegate.wire import sha256

REMARKS: Final = frozenset({"reason", "remark", "note", "source"})
"""Members that are a requester's own words, wherever they stand."""
MAX_VALUE: Final = 120
"""Characters of one value in a summary; a longer one is named by its digest as well."""
MIN_BINARY: Final = 256
"""Characters from which on a text of JSON that is base 64 stands as size and digest of its bytes: a
certificate's key or a SHA-512 in hex is still read, a camera's fingerprint of 2,732 by nobody.
"""
_DIGEST: Final = re.compile(r"<\d+ bytes in base 64, sha256 [0-9a-f]{64}>")
MAX_ITEMS: Final = 8
"""Values of one list in a summary; the others are counted, and all are named by one digest."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One member: its place in the message, what it says in lines, and whether that is no more than
    the requester's word.
    """

    member: str
    lines: tuple[str, ...]
    remark: bool = False


def render(message: Message) -> tuple[Shown, ...]:
    """Every member of `message`, in the order of its declaration, set or not."""
    return (*_members(message, ""), *_derived(message))


def in_lines(message: Message) -> list[str]:
    """`render` as lines of text, remarks left out: what is compared with what is in force."""
    return [
        line
        for shown in render(message)
        if not shown.remark
        for line in (f"{shown.member}: {shown.lines[0]}", *(f"    {m}" for m in shown.lines[1:]))
    ]


def has_digests(shown: Shown) -> bool:
    """Whether some of what it says stands as size and digest, and is whole in its bytes alone."""
    return any(_DIGEST.search(line) is not None for line in shown.lines)


def summarise(message: Message) -> str:
    """`message` in one line: every member that is set and decides something, in full where it is
    short and by digest in any case where it is not; remarks are no part of it.
    """
    said = [
        f"{field.name} {_in_short(field, getattr(message, field.name))}"
        for field in message.DESCRIPTOR.fields
        if field.name not in REMARKS and _decides(field, getattr(message, field.name))
    ]
    said += [f"{shown.member} {shown.lines[0]}" for shown in _derived(message)]
    return "; ".join(said) or "nothing set"


def plain(text: str) -> str:
    """`text` as printable ASCII; what is anything else, and a backslash, stands as an escape."""
    return text.encode("unicode_escape").decode()


def quoted(text: str) -> str:
    """`plain` between quotation marks, which nothing in it can end."""
    return '"' + plain(text).replace('"', '\\"') + '"'


def _members(message: Message, place: str) -> Iterator[Shown]:
    for field in message.DESCRIPTOR.fields:
        value, name = getattr(message, field.name), place + field.name
        remark = field.name in REMARKS
        if not field.is_repeated:
            yield from _member(field, value, name, remark)
            continue
        if not value:
            yield Shown(name, ("none",), remark)
        for number, item in enumerate(value):
            yield from _member(field, item, f"{name}[{number}]", remark)


def _member(field: Any, value: Any, name: str, remark: bool) -> Iterator[Shown]:
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        yield from _members(value, name + ".")
    elif isinstance(value, bytes):
        yield Shown(name, tuple(_bytes_lines(value)), remark)
    elif isinstance(value, str):
        yield Shown(name, tuple(_text_lines(value)), remark)
    else:
        yield Shown(name, (_number(value),), remark)


def _number(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _text_lines(text: str) -> Iterator[str]:
    if "\n" not in text:
        yield quoted(text) if text else "empty"
        return
    yield f"{len(text.encode())} bytes of text, sha256 {sha256(text.encode()).hex()}"
    yield from _numbered(text)


def _numbered(text: str) -> Iterator[str]:
    for number, line in enumerate(text.split("\n") if text else (), 1):
        yield f"{number:>4} {plain(line)}"


def _bytes_lines(value: bytes) -> Iterator[str]:
    """A fingerprint; then what the bytes are, as far as they are a certificate, an envelope or a
    text.
    """
    if not value:
        yield "empty"
        return
    yield f"{len(value)} bytes, sha256 {sha256(value).hex()}"
    certificate = _certificate(value)
    if certificate is not None:
        yield from _certificate_lines(certificate)
        return
    envelope = _envelope(value)
    if envelope is not None:
        der, payload = envelope.certificate, envelope.payload
        signer = _certificate(der)
        yield f"signed envelope of {quoted(envelope.payload_type)}; nothing of it is verified here"
        yield f"signer's certificate, {len(der)} bytes, sha256 {sha256(der).hex()}"
        yield from _certificate_lines(signer) if signer is not None else ()
        yield f"payload, {len(payload)} bytes, sha256 {sha256(payload).hex()}"
        yield from _numbered(payload.decode(errors="backslashreplace"))
        return
    yield from _json_lines(value) or _numbered(_text(value))


def _json_lines(value: bytes) -> list[str]:
    """JSON with an item a line, members sorted, so that what changed in it stands apart; nothing
    where it is none, or none that is read in one way only.
    """
    try:
        body = strict_json(value)
    except FramegateError:
        return []
    lines = ["as JSON:"]
    members = sorted(body.items()) if type(body) is dict else [("", body)]
    for name, member in members:
        if type(member) is list:
            lines.append(f"{plain(name)} ({len(member)}):")
            lines += [f"  - {_json_text(item)}" for item in member]
        else:
            lines.append(f"{plain(name)}: {_json_text(member)}")
    return lines


def _json_text(value: Any) -> str:
    """JSON in a line, members sorted. Long base 64 stands as size and digest of its bytes between
    angle brackets, which no JSON has outside of quotation marks: nothing can dress as that.
    """
    if type(value) is dict:
        return f"{{{', '.join(f'{json.dumps(n)}: {_json_text(value[n])}' for n in sorted(value))}}}"
    if type(value) is list:
        return f"[{', '.join(map(_json_text, value))}]"
    binary = _long_base64(value) if type(value) is str else b""
    if binary:
        return f"<{len(binary)} bytes in base 64, sha256 {sha256(binary).hex()}>"
    return json.dumps(value)


def _long_base64(text: str) -> bytes:
    """The bytes that it is, in their one base 64; none where it is short, or anything else."""
    if len(text) < MIN_BINARY or not text.isascii():
        return b""
    try:
        raw = base64.b64decode(text, validate=True)
    except binascii.Error:
        return b""
    return raw if base64.b64encode(raw).decode() == text else b""


def _text(value: bytes) -> str:
    """The text in `value`; nothing where it is no text."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return ""
    return "" if "\0" in text else text


def _envelope(value: bytes) -> Envelope | None:
    try:
        body = strict_json(value)
        kind = body.get("payloadType") if type(body) is dict else None
        return parse_envelope(value, kind) if type(kind) is str else None
    except FramegateError:
        return None


def _certificate(value: bytes) -> x509.Certificate | None:
    load = (
        x509.load_pem_x509_certificate
        if value.startswith(b"-----BEGIN CERTIFICATE-----")
        else x509.load_der_x509_certificate
    )
    try:
        certificate = load(value)
        certificate.subject.rfc4514_string(), certificate.issuer.rfc4514_string()
        certificate.public_key(), list(certificate.extensions)
    except UNREADABLE:
        return None  # then it is bytes with a fingerprint, as other bytes are
    return certificate


def _certificate_lines(certificate: x509.Certificate) -> Iterator[str]:
    """An X.509 certificate's fields. What it says of itself is its maker's word, its fingerprint is
    not.
    """
    spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    yield f"certificate fingerprint sha256 {certificate.fingerprint(hashes.SHA256()).hex()}"
    yield f"key fingerprint sha256 {sha256(spki).hex()}"
    yield f"subject {quoted(certificate.subject.rfc4514_string())}"
    yield f"issuer {quoted(certificate.issuer.rfc4514_string())}"
    yield f"serial number {certificate.serial_number:x}"
    yield (
        f"valid {certificate.not_valid_before_utc.isoformat()} to"
        f" {certificate.not_valid_after_utc.isoformat()}"
    )
    for extension in certificate.extensions:
        critical = ", critical" if extension.critical else ""
        yield f"extension {extension.oid.dotted_string}{critical}: {plain(str(extension.value))}"


# in short


def _decides(field: Any, value: Any) -> bool:
    return bool(value) or field.type == FieldDescriptor.TYPE_BOOL


def _in_short(field: Any, value: Any) -> str:
    if not field.is_repeated:
        return _short_value(value)
    items = [_short_value(v) for v in value[:MAX_ITEMS]]
    if len(value) > MAX_ITEMS:
        whole = sha256(b"".join(_raw(v) for v in value)).hex()
        items.append(f"and {len(value) - MAX_ITEMS} more, all together sha256 {whole}")
    return f"[{', '.join(items)}]"


def _short_value(value: Any) -> str:
    if isinstance(value, Message):
        return f"{{{summarise(value)}}}"
    if isinstance(value, bytes):
        certificate = _certificate(value)
        named = "" if certificate is None else _named(certificate)
        return f"sha256:{sha256(value).hex()}{named}"
    if isinstance(value, str):
        if len(value) <= MAX_VALUE:
            return quoted(value)
        return f"{quoted(value[:MAX_VALUE])}... sha256:{sha256(value.encode()).hex()}"
    return _number(value)


def _named(certificate: x509.Certificate) -> str:
    subject = quoted(certificate.subject.rfc4514_string()[:MAX_VALUE])
    printed = certificate.fingerprint(hashes.SHA256()).hex()
    return f" (certificate sha256:{printed} that calls itself {subject})"


def _raw(value: Any) -> bytes:
    """A value of a list with its length before it, so that no two lists have the same bytes."""
    raw = (
        value.SerializeToString(deterministic=True)
        if isinstance(value, Message)
        else value
        if isinstance(value, bytes)
        else str(value).encode()
    )
    return len(raw).to_bytes(8, "big") + raw


# what follows from a member


def _derived(message: Message) -> Sequence[Shown]:
    reader = _READERS.get(message.DESCRIPTOR.name)
    if reader is None:
        return ()
    try:
        return (Shown(reader.member, (str(reader.read(message)),)),)
    except FramegateError as error:
        return (Shown(reader.member, (f"unknown: {plain(str(error.failures[0]))}",)),)


def _of_masks(message: Any) -> Inspected:
    said = strict_json(message.regions)
    masks = parse_masks(said if type(said) is list else [said])
    return Inspected(inspected_share(masks.polygons), InspectedOf.PICTURE)


def _of_part(message: Any) -> Inspected:
    rules = strict_json(message.rules) if message.rules else {}
    said = rules if type(rules) is dict else {"ignore": [rules]}
    ignored, outline = _regions(said.get("ignore", [])), _regions(said.get("outline", []))
    tolerant = said.get("tolerant_percent", 0)
    tolerant = tolerant if type(tolerant) is int and 0 <= tolerant <= MAX_TOLERANT else MAX_TOLERANT
    if not outline:
        return less_tolerant(Inspected(inspected_share(ignored), InspectedOf.PICTURE), tolerant)
    area = area_of(outline)
    left = Inspected(inspected_share(ignored, area=area), InspectedOf.OUTLINE)
    return less_tolerant(left, tolerant, area)


def _regions(said: Any) -> tuple[Polygon, ...]:
    return parse_regions(said if type(said) is list else [said])


def _of_site(message: Any) -> str:
    bundle = parse_bundle(message.bundle)
    keys = ", ".join(sorted(bundle.keys))
    return f"fleet {bundle.fleet}, sequence {bundle.sequence}, keys {keys}"


class Derived(NamedTuple):
    """What follows from several members, or from the bytes of one: its name, and what works it
    out.
    """

    member: str
    read: Callable[[Any], object]


_READERS: Final[dict[str, Derived]] = {
    "SetMasksRequest": Derived("inspected", _of_masks),
    "AddPartRequest": Derived("inspected", _of_part),
    "AddSiteRequest": Derived("vouches for", _of_site),
}
