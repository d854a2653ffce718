"""What a file most likely is, by how it begins: a guess for a person, made before anything is
parsed.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable
from enum import Enum
from typing import Final, NamedTuple

from framegate.byte_order_mark import as_utf8
from framegate.errors import FramegateError
from framegate.evidence.pcr_files import parse_pcr_file
from framegate.identity.ber import SEQUENCE, Element, elements
from framegate.identity.der import OBJECT_ID
from framegate.ima import looks_like_ima
from framegate.ima.allowlist import HEADER
from framegate.ima.checksums import parse_checksums
from framegate.image_header import other_image
from framegate.profile.model import PROFILE_TYPE
from framegate.tpm.constants import DIGEST_SIZE, TPM_GENERATED, Alg
from framegate_operator.reference_values import is_comid, is_corim


class Kind(Enum):
    """Kinds of files that can be shown; the value is how a person calls one."""

    IMA = "IMA measurement list"
    PUBLIC = "TPM key"
    ATTEST = "TPM attestation"
    SIGNATURE = "TPM signature"
    CERTIFICATE = "certificate"
    PROFILE = "firmware profile"
    BOOT_LOG = "boot log"
    PCRS = "PCR values"
    ALLOWLIST = "IMA allowlist"
    CHECKSUMS = "checksums of files"
    CORIM = "CoRIM"
    COMID = "CoMID"
    OTHER = "something else"


class Likely(NamedTuple):
    """A guess: the kind, and in a few words what speaks for it."""

    kind: Kind
    told: str

    def __str__(self) -> str:
        return self.told if self.kind is Kind.OTHER else f"{self.kind.value}: {self.told}"


_PEM: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----")
_SPEC_ID_AT: Final = 32
_UTF_16_MARKS: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_BESIDE: Final = ("quote", "signature", "message", "nonce", "log_data", "algs", "firmware_version")
"""What evidence of other programs has beside its PCR values."""
_PUBLIC_TYPES: Final = (0x0001, 0x0008, 0x0023, 0x0025)
_SIGNATURES: Final = (0x0014, 0x0016, 0x0018)
_SIGNED_DATA: Final = bytes.fromhex("06092a864886f70d010702")
_OTHERS: Final = (
    (b"Spec ID Event", "the data of a Spec ID event, cut out of a boot log"),
    (b"---\nversion:", "YAML: the text of tpm2_eventlog? give the binary log it was made from"),
    (b"---\n", "YAML"),
    (b"CCEL", "an ACPI table that says where a confidential guest's event log lies"),
    (b"HCLA", "a report of a confidential guest's paravisor (HCL)"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"\x89PNG", "a PNG image"),
    (
        b"\x1e{",
        "systemd's log of what user space measured, as JSON-SEQ: give the kernel's boot log",
    ),
    (b"\0\0\0\0\x08", "a canonical event log (TCG CEL), as TLV"),
    (b"\x1f\x8b", "a gzip archive: unpack it first"),
    (b"PK\x03\x04", "a ZIP archive: unpack it first"),
    (b"\x7fELF", "a program"),
    (b"SQLite format 3", "a SQLite database"),
)


_OF_OTHERS: Final = {
    "records": "JSON of systemd-pcrlock: what it expects to be measured",
    "content_type": "a canonical event log (TCG CEL), as JSON",
}
"""JSON of other programs, by a member that it alone has."""


def likely(raw: bytes) -> Likely:
    """What `raw` most likely is. Never raises."""
    if not raw.strip(b"\0\xff \n"):
        return Likely(Kind.OTHER, "padding only" if raw else "an empty file")
    text = as_utf8(raw)
    told = _guessed(text)
    if raw[:2] in _UTF_16_MARKS and text != raw:
        kind, words = told or (Kind.OTHER, "text of no kind known here")
        return Likely(kind, f"{words}, in UTF-16")
    other = next((what for magic, what in _OTHERS if raw.startswith(magic)), other_image(raw))
    begins = f"bytes that begin {raw[:8].hex()}, of no kind known here"
    return told or Likely(Kind.OTHER, other or begins)


def _guessed(raw: bytes) -> Likely | None:
    guesses = (_text, _ima, _tpm, _boot_log, _der, _cbor, _lists)
    return next((told for guess in guesses if (told := guess(raw)) is not None), None)


def _text(raw: bytes) -> Likely | None:
    pem = _PEM.search(raw[:4096])
    if pem is not None:
        label = pem[1].decode()
        certificate = label.endswith("CERTIFICATE") or label.startswith("PKCS7")
        return Likely(Kind.CERTIFICATE if certificate else Kind.OTHER, f"PEM that says {label}")
    if raw.lstrip().startswith(b"MII"):
        return Likely(Kind.CERTIFICATE, "base64 without BEGIN and END")
    if raw.startswith(HEADER.encode()):
        return Likely(Kind.ALLOWLIST, "its first line says so")
    if re.search(rb"^\[profile\]", raw[:65536], re.MULTILINE):
        return Likely(Kind.PROFILE, "TOML with a table [profile]")
    if raw.lstrip()[:1] in {b"{", b"["}:
        return _json(raw)
    if raw.lstrip()[:1] == b"<":
        swid = b"SoftwareIdentity" in raw[:4096]
        return Likely(Kind.OTHER, "a SWID tag of a TCG RIM, XML" if swid else "XML")
    return None


def _json(raw: bytes) -> Likely | None:
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        return Likely(Kind.OTHER, "JSON that is cut off or broken")
    members = list(body) if isinstance(body, dict) else []
    if "payloadType" in members:
        kind = Kind.PROFILE if body["payloadType"] == PROFILE_TYPE else Kind.OTHER
        return Likely(kind, f"a signed statement (DSSE) of {str(body['payloadType'])[:60]}")
    if members and str(body.get("certificate", "")).startswith("MII"):
        return Likely(Kind.CERTIFICATE, "JSON as Intel's service answers with it")
    for member, what in _OF_OTHERS.items():
        if member in members or (
            isinstance(body, list) and body and isinstance(body[0], dict) and member in body[0]
        ):
            return Likely(Kind.OTHER, what)
    if _reads(lambda: parse_pcr_file(raw)):
        beside = ", ".join(m for m in members if m in _BESIDE)
        told = f"JSON of banks and PCRs{f', with {beside} beside them' if beside else ''}"
        return Likely(Kind.PCRS, told)
    shown = ", ".join(m[:30] for m in members[:6]) or f"a {type(body).__name__}"
    return Likely(Kind.OTHER, f"JSON of another program, with {shown}")


def _ima(raw: bytes) -> Likely | None:
    if not looks_like_ima(raw):
        return None
    form = "ASCII" if raw[:1] in b" 0123456789" else "binary"
    return Likely(Kind.IMA, f"{form}, a template's name behind PCR and hash")


def _tpm(raw: bytes) -> Likely | None:
    inner = raw[2:] if int.from_bytes(raw[:2], "big") == len(raw) - 2 else raw
    first, second = (int.from_bytes(inner[a : a + 2], "big") for a in (0, 2))
    if inner[:4] == TPM_GENERATED.to_bytes(4, "big"):
        return Likely(Kind.ATTEST, "begins as what a TPM made itself")
    if first in set(DIGEST_SIZE) and len(raw) == 2 + DIGEST_SIZE[Alg(first)]:
        return Likely(Kind.OTHER, "the name of a TPM object")
    if first in _PUBLIC_TYPES and second in set(DIGEST_SIZE) and len(inner) > 16:
        return Likely(Kind.PUBLIC, "begins with a key type and a name algorithm")
    if first in _SIGNATURES and second in set(DIGEST_SIZE) and len(inner) > 16:
        return Likely(Kind.SIGNATURE, "begins with a scheme and a hash")
    return None


def _boot_log(raw: bytes) -> Likely | None:
    if raw[_SPEC_ID_AT : _SPEC_ID_AT + 8] == b"Spec ID ":
        return Likely(Kind.BOOT_LOG, "begins with a Spec ID event")
    if len(raw) < _SPEC_ID_AT:
        return None
    pcr, kind = (int.from_bytes(raw[a : a + 4], "little") for a in (0, 4))
    size = int.from_bytes(raw[28:32], "little")
    typed = kind <= 0x20 or 0x80000000 <= kind <= 0x800000FF
    if pcr < 24 and typed and size <= len(raw) - _SPEC_ID_AT:
        return Likely(Kind.BOOT_LOG, "begins with an event of the SHA-1 era")
    return None


def _der(raw: bytes) -> Likely | None:
    if raw[:2] == b"\x10\x01":
        return Likely(Kind.CERTIFICATE, "with the header of an NV index")
    if raw[:2] not in {b"\x30\x81", b"\x30\x82"} or len(raw) < 4:
        return None
    size = int.from_bytes(raw[2:4], "big") + 4 if raw[1] == 0x82 else raw[2] + 3
    try:
        whole = next(elements(raw[:size]))
    except (ValueError, StopIteration):
        return Likely(Kind.CERTIFICATE, "DER that is cut off or broken")
    return _named_der(whole.children)


def _named_der(parts: tuple[Element, ...]) -> Likely:
    tags = [p.tag for p in parts]
    if parts and parts[0].raw == _SIGNED_DATA:
        return Likely(Kind.CERTIFICATE, "PKCS #7, a bundle of them")
    inner = [c.tag for c in parts[0].children] if parts else []
    if tags[:2] == [SEQUENCE, 0x03] and inner[:1] == [OBJECT_ID]:
        return Likely(Kind.OTHER, "a public key in DER")
    if tags != [SEQUENCE, SEQUENCE, 0x03]:
        return Likely(Kind.OTHER, "DER, and no certificate")
    holder = parts[0].children[1] if len(inner) > 2 and inner[0] == 0x02 else None
    if holder is not None and holder.children and holder.children[0].tag in {0xA0, 0xA1, 0xA2}:
        return Likely(Kind.OTHER, "an attribute certificate in DER: a TCG platform certificate?")
    if inner[:2] == [0x02, SEQUENCE] and len(inner) < 8 and 0x17 in inner:
        return Likely(Kind.OTHER, "a revocation list (CRL) in DER")
    return Likely(Kind.CERTIFICATE, "DER")


def _cbor(raw: bytes) -> Likely | None:
    if is_corim(raw):
        return Likely(Kind.CORIM, "CBOR, a bundle of a vendor's reference values")
    if is_comid(raw):
        return Likely(Kind.COMID, "CBOR, one module's reference values without a CoRIM around them")
    return None


def _lists(raw: bytes) -> Likely | None:
    if _reads(lambda: parse_pcr_file(raw)):
        return Likely(Kind.PCRS, "as TPM tools write them")
    if _reads(lambda: parse_checksums(raw)):
        return Likely(Kind.CHECKSUMS, "as sha256sum writes them")
    return None


def _reads(reader: Callable[[], object]) -> bool:
    try:
        return bool(reader())
    except FramegateError:
        return False
