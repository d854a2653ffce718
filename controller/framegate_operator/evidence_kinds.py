"""What a file most likely is, by how it begins: a guess for a person, made before anything is
parsed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from enum import Enum
from typing import Final, NamedTuple

from framegate.byte_order_mark import as_utf8, is_utf16
from framegate.errors import FramegateError
from framegate.evidence.pcr_files import parse_pcr_file
from framegate.identity.ber import first_size
from framegate.ima import looks_like_ima
from framegate.ima.allowlist import HEADER
from framegate.ima.checksums import parse_checksums
from framegate.profile.model import PROFILE_TYPE
from framegate.tpm.constants import DIGEST_SIZE, TPM_GENERATED, Alg
from framegate_operator.evidence_others import (
    BARE_KEY,
    der_parts,
    is_cel_tlv,
    named_bytes,
    named_der,
    named_json,
    named_report,
)
from framegate_operator.evidence_wrapped import wrapped
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
_BANK: Final = re.compile(
    rb"\s*(?:sha|sm)[0-9][0-9a-z_-]*\s*:\s*\n\s*(?:- |\d+\s*:\s*0x)[0-9A-Fa-f]{40}"
)
_SPEC_ID_AT: Final = 32
_BESIDE: Final = ("quote", "signature", "message", "nonce", "log_data", "algs", "firmware_version")
"""What evidence of other programs has beside its PCR values."""
_PUBLIC_TYPES: Final = (0x0001, 0x0008, 0x0023, 0x0025)
_SIGNATURES: Final = (0x0014, 0x0016, 0x0018)
_SIGNED_DATA: Final = bytes.fromhex("06092a864886f70d010702")
UNKNOWN: Final = "of no kind known here"
"""How a guess ends that is none."""
_PEM_OTHERS: Final = {
    "PRIVATE KEY": "keep it to yourself, nothing here asks for one",
    "CERTIFICATE REQUEST": "a request for a certificate, not a certificate",
    "ATTRIBUTE CERTIFICATE": "a TCG platform certificate? It is read nowhere here",
    "CRL": "a revocation list, not a certificate",
}
"""How labels of PEM end that are no evidence, and what to say of them."""


def likely(raw: bytes) -> Likely:
    """What `raw` most likely is. Never raises."""
    if not raw.strip(b"\0\xff \n"):
        return Likely(Kind.OTHER, "padding only" if raw else "an empty file")
    text = as_utf8(raw)
    told = _guessed(text)
    if is_utf16(raw) and text != raw:
        kind, words = told or (Kind.OTHER, f"text {UNKNOWN}")
        return Likely(kind, f"{words}, in UTF-16")
    named = "" if told else named_bytes(raw) or _unwrapped(raw)
    return told or Likely(Kind.OTHER, named or f"{_begins(raw[:8])}, {UNKNOWN}")


def _begins(first: bytes) -> str:
    first = first.rstrip(b"\r\n")
    if first.isascii() and first.decode("ascii").isprintable():
        return f"text that begins {first.decode()!a}"
    return f"bytes that begin {first.hex()}"


def _guessed(raw: bytes) -> Likely | None:
    guesses = (_text, _ima, _tpm, _boot_log, _der, _cbor, _lists)
    return next((told for guess in guesses if (told := guess(raw)) is not None), None)


def _unwrapped(raw: bytes) -> str:
    around = wrapped(raw)
    if around is None:
        return ""
    inside = likely(around.inside) if around.inside else None
    known = inside is not None and UNKNOWN not in inside.told
    of = f" of a file that is most likely {inside}" if known else ""
    return f"{around.around}{of}; {around.undo}"


def _text(raw: bytes) -> Likely | None:
    pem = _PEM.search(raw[:4096])
    if pem is not None:
        return _pem(pem[1].decode(), raw)
    if b"BEGIN CERTIFICATE" in raw[:4096]:
        return Likely(
            Kind.OTHER,
            "text around BEGIN CERTIFICATE without its five hyphens: a copy out of a document? Get"
            " the file itself",
        )
    if raw.lstrip().startswith(b"MII"):
        inside = wrapped(raw)
        if inside is not None and inside.inside and likely(inside.inside).kind is Kind.OTHER:
            return None  # DER of something else
        return Likely(Kind.CERTIFICATE, "base64 without BEGIN and END")
    if raw.startswith(HEADER.encode()):
        return Likely(Kind.ALLOWLIST, "its first line says so")
    if re.search(rb"^\[profile\]", raw[:65536], re.MULTILINE):
        return Likely(Kind.PROFILE, "TOML with a table [profile]")
    if raw.lstrip()[:1] in {b"{", b"["}:
        return _json(raw)
    if raw.lstrip()[:1] == b"<":
        swid = b"SoftwareIdentity" in raw[:4096]
        page = re.search(rb"<(?:!doctype )?html", raw[:4096], re.IGNORECASE) is not None
        xml = "a web page: what a server answers instead of a file?" if page else "XML"
        return Likely(Kind.OTHER, "a SWID tag of a TCG RIM, XML" if swid else xml)
    return None


def _pem(label: str, raw: bytes) -> Likely:
    """What PEM holds: a certificate anywhere in it, else a key, else what its first label says."""
    labels = {m.decode() for m in _PEM.findall(raw)}
    if any(
        each in {"CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"}
        or each.startswith(("PKCS7", "PKCS #7"))
        for each in labels
    ):
        return Likely(Kind.CERTIFICATE, f"PEM that says {label}")
    if "PUBLIC KEY" in labels:
        return Likely(Kind.PUBLIC, "PEM that says PUBLIC KEY")
    why = next((w for end, w in _PEM_OTHERS.items() if label.endswith(end)), "")
    return Likely(Kind.OTHER, f"PEM that says {label}{f': {why}' if why else ''}")


def _json(raw: bytes) -> Likely | None:
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        return _json_lines(raw)
    members = list(body) if isinstance(body, dict) else []
    if "payloadType" in members:
        kind = Kind.PROFILE if body["payloadType"] == PROFILE_TYPE else Kind.OTHER
        return Likely(kind, f"a signed statement (DSSE) of {str(body['payloadType'])[:60]}")
    if members and str(body.get("certificate", "")).startswith("MII"):
        return Likely(Kind.CERTIFICATE, "JSON as Intel's service answers with it")
    if _reads(lambda: parse_pcr_file(raw)):
        beside = ", ".join(m for m in members if m in _BESIDE)
        told = f"JSON of banks and PCRs{f', with {beside} beside them' if beside else ''}"
        return Likely(Kind.PCRS, told)
    if told := named_json(body):
        return Likely(Kind.OTHER, told)
    shown = ", ".join(m[:30] for m in members[:6]) or f"a {type(body).__name__}"
    return Likely(Kind.OTHER, f"JSON of another program, with {shown}")


def _json_lines(raw: bytes) -> Likely:
    """JSON text that is no one value: perhaps one a line."""
    try:
        first = json.loads(raw.split(b"\n", 1)[0])
    except (ValueError, RecursionError):
        log = named_bytes(raw)  # lines of one begin with a bracket, too
        return Likely(Kind.OTHER, log or "JSON that is cut off or broken")
    told = named_json(first)
    return Likely(Kind.OTHER, f"{told or 'JSON of another program'} (one value a line)")


def _ima(raw: bytes) -> Likely | None:
    if not looks_like_ima(raw):
        return None
    form = "ASCII" if raw.lstrip(b"\r\n")[:1] in b" 0123456789" else "binary"
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
    if is_cel_tlv(raw):
        return Likely(Kind.OTHER, named_bytes(raw))
    if raw[_SPEC_ID_AT : _SPEC_ID_AT + 8] == b"Spec ID ":
        return Likely(Kind.BOOT_LOG, "begins with a Spec ID event")
    if len(raw) < _SPEC_ID_AT:
        return None
    if report := named_report(raw):
        return Likely(Kind.OTHER, report)
    pcr, kind = (int.from_bytes(raw[a : a + 4], "little") for a in (0, 4))
    size = int.from_bytes(raw[28:32], "little")
    typed = kind <= 0x20 or 0x80000000 <= kind <= 0x800000FF
    if pcr < 24 and typed and size <= len(raw) - _SPEC_ID_AT:
        return Likely(Kind.BOOT_LOG, "begins with an event of the SHA-1 era")
    return None


def _der(raw: bytes) -> Likely | None:
    if first_size(raw[2:]) and first_size(raw[2:]) <= int.from_bytes(raw[:2], "big") < len(raw):
        return Likely(Kind.CERTIFICATE, "DER with its size in front, as a TPM hands it out")
    if raw[:2] == b"\x10\x01":
        return Likely(Kind.CERTIFICATE, "with the header of an NV index")
    if not first_size(raw):
        return None
    parts = der_parts(raw, first_size(raw))
    if parts is None:
        return Likely(Kind.CERTIFICATE, "DER that is cut off or broken: copy it whole")
    if parts and parts[0].raw == _SIGNED_DATA:
        return Likely(Kind.CERTIFICATE, "PKCS #7, a bundle of them")
    other = named_der(parts)
    if other == BARE_KEY:
        return Likely(Kind.PUBLIC, other)
    return Likely(Kind.OTHER, other) if other else Likely(Kind.CERTIFICATE, "DER")


def _cbor(raw: bytes) -> Likely | None:
    if is_corim(raw):
        return Likely(Kind.CORIM, "CBOR, a bundle of a vendor's reference values")
    if is_comid(raw):
        return Likely(Kind.COMID, "CBOR, one module's reference values without a CoRIM around them")
    return None


def _lists(raw: bytes) -> Likely | None:
    if _reads(lambda: parse_pcr_file(raw)):
        worked_out = re.match(rb"(?:---\s+)?version: \d+\s+events:", raw) is not None
        log = "those that tpm2_eventlog worked out from a boot log, not the TPM's"
        return Likely(Kind.PCRS, log if worked_out else "as TPM tools write them")
    if _BANK.match(raw):
        return Likely(Kind.PCRS, "begins with the name of a bank, and values below it")
    if _reads(lambda: parse_checksums(raw)):
        return Likely(Kind.CHECKSUMS, "as sha256sum writes them")
    return None


def _reads(reader: Callable[[], object]) -> bool:
    try:
        return bool(reader())
    except FramegateError:
        return False
