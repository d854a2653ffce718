"""PCR values as TPM tools leave them in files: who wrote them is found out, not told.

Source: tpm2-tools, lib/pcr.c (`pcr_fwrite_serialized`, `pcr_print_values`) and tools/tpm2_quote.c;
go-attestation, attest.PCR; go-tpm-tools, proto/tpm/tpm.proto; TPM 2.0 Part 2, 10.6.2 and 10.9.7.
Nothing here vouches for a value: a quote does.
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from framegate.errors import FramegateError, Malformed, Reason
from framegate.signed.dsse import strict_json
from framegate.tpm.attest import PcrSelection
from framegate.tpm.constants import BANK_BY_NAME, DIGEST_SIZE, HASH_NAME, Alg

MAX_PCR_FILE_BYTES: Final = 64 * 1024
"""24 PCRs of eight banks in hexadecimal have some 25 KiB."""
PCR_COUNT: Final = 24
FORMS: Final = (
    "JSON {bank: {pcr: hex}}, or with that under pcrs; the text of tpm2_pcrread or tpm2_quote; a"
    " file of tpm2_quote -o or tpm2_pcrread -o, serialized or values; JSON, protobuf or"
    " TPML structures of go-tpm"
)
_MAX_SELECTIONS: Final = 16
_MAX_DIGESTS: Final = 8
_SELECTION: Final = struct.Struct("<HB4sx")
_DIGEST: Final = struct.Struct("<H64s")
_SELECTIONS_BYTES: Final = 4 + _MAX_SELECTIONS * _SELECTION.size
_DIGESTS_BYTES: Final = 4 + _MAX_DIGESTS * _DIGEST.size
"""TPML_PCR_SELECTION and TPML_DIGEST of tpm2-tss, as they lie in memory."""
_GO_HASHES: Final = {3: Alg.SHA1, 5: Alg.SHA256, 6: Alg.SHA384, 7: Alg.SHA512}
"""crypto.Hash of Go."""
_BANK_LINE: Final = re.compile(
    r"\s*(?:Bank(?:/Algorithm)?: ?)?(?:TPM_ALG_)?([A-Za-z][A-Za-z0-9_-]{2,15})"
    r" ?(?:\(0x[0-9a-fA-F]+\))? ?:?\s*"
)
_VALUE_LINE: Final = re.compile(
    r"\s*(?:PCR[-_ ]?)?(\d{1,2}) ?: ?(?:0x)?((?:[0-9A-Fa-f]{2} ?)+)\s*", re.IGNORECASE
)
_OTHER_LINE: Final = re.compile(
    r"\s*(?:quoted|signature|alg|sig|pcrs|calcDigest|selected-pcrs)\s*:.*"
    r"|\s*- sha\S+\s*:.*|\s*#.*|\s*---\s*|\s*"
)
"""What tpm2_quote prints around the values."""


class PcrFile(NamedTuple):
    """What a file of PCR values holds: bank name to PCR to value; `form` says who writes it so."""

    form: str
    values: dict[str, dict[int, bytes]]


def parse_pcr_file(raw: bytes, selections: Sequence[PcrSelection] = ()) -> PcrFile:
    """The PCR values in `raw`, in whichever of `FORMS`. Bare values are told apart by `selections`,
    the quote's. Raises Malformed (USAGE) that names the forms.
    """
    if len(raw) > MAX_PCR_FILE_BYTES:
        raise Malformed.of(
            Reason.USAGE, f"PCR values of at most {MAX_PCR_FILE_BYTES} bytes", len(raw)
        )
    # bare values may begin with any byte, and hold others than a text does
    if raw.lstrip()[:1] in {b"{", b"["} and raw.isascii() and b"\0" not in raw:
        return PcrFile("JSON", _json(raw))
    readers: tuple[tuple[str, Callable[[], dict[str, dict[int, bytes]] | None]], ...] = (
        ("tpm2_quote -o, serialized", lambda: _serialized(raw)),
        ("tpm2_pcrread's text", lambda: _text(raw)),
        ("TPML structures", lambda: _structures(raw)),
        ("go-tpm-tools' protobuf", lambda: _protobuf(raw)),
        ("values one behind another", lambda: _bare(raw, selections)),
    )
    for form, reader in readers:
        values = reader()
        if values is not None:
            return PcrFile(form, values)
    raise _bad(f"{len(raw)} bytes that begin {raw[:8].hex() or 'nowhere'}")


def _bad(seen: object) -> Malformed:
    hint = "make one: tpm2_pcrread -Q sha256:all -o FILE, or tpm2_quote … -o FILE"
    return Malformed.of(Reason.USAGE, f"PCR values as {FORMS}", seen, hint)


def _put(table: dict[str, dict[int, bytes]], bank: Alg, pcr: int, value: bytes) -> None:
    """Raises Malformed (USAGE) for a PCR that there is not, or twice, or of another width."""
    values = table.setdefault(HASH_NAME[bank], {})
    if not 0 <= pcr < PCR_COUNT or pcr in values or len(value) != DIGEST_SIZE[bank]:
        raise _bad(f"{HASH_NAME[bank]} PCR {pcr} of {len(value)} bytes, or twice")
    values[pcr] = value


# JSON


def _json(raw: bytes) -> dict[str, dict[int, bytes]]:
    try:
        body: Any = strict_json(raw)
    except FramegateError as error:
        raise _bad("JSON that is cut off, broken, or says a thing twice") from error
    table = dict[str, dict[int, bytes]]()
    try:
        for bank, pcr, value in _told(body):
            size = DIGEST_SIZE[bank]
            _put(table, bank, int(pcr), _bytes(value, size))
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise _bad("JSON of another shape, or of values of another width") from error
    return table


class _Told(NamedTuple):
    bank: Alg
    pcr: Any
    value: Any


def _told(body: Any) -> Iterator[_Told]:
    """go-attestation's list, go-tpm-tools' object with a hash, or banks. Raises KeyError and its
    like for JSON of another shape.
    """
    if isinstance(body, dict) and isinstance(body.get("PCRs"), list):
        body = body["PCRs"]
    if isinstance(body, list):
        for each in body:
            yield _Told(_GO_HASHES[each["DigestAlg"]], each["Index"], each["Digest"])
    elif "hash" in body and "pcrs" in body:
        named = body["hash"]
        bank = Alg(named) if isinstance(named, int) else _named(named)
        yield from (_Told(bank, p, v) for p, v in body["pcrs"].items())
    else:
        for name, values in body.get("pcrs", body).items():
            bank = _named(name)
            yield from (_Told(bank, p, v) for p, v in values.items())


def _named(name: str) -> Alg:
    """Raises KeyError."""
    return BANK_BY_NAME[name.lower().removeprefix("tpm_alg_").replace("-", "").replace("_", "")]


def _bytes(shown: str, size: int) -> bytes:
    """Hexadecimal or base64. Raises ValueError."""
    text = shown.removeprefix("0x")
    if len(text) == 2 * size:
        return bytes.fromhex(text)
    try:
        return base64.b64decode(shown, validate=True)
    except binascii.Error as error:
        raise ValueError(shown[:20]) from error


# text


def _text(raw: bytes) -> dict[str, dict[int, bytes]] | None:
    """Lines of a bank and of values below it; without a bank, the width tells it. Banks that
    Framegate does not know are left out. None where it is no such text.
    """
    try:
        lines = raw.decode("ascii").splitlines()
    except UnicodeDecodeError:
        return None
    table, bank, known = dict[str, dict[int, bytes]](), Alg.NULL, True
    for line in lines:
        value, named = _VALUE_LINE.fullmatch(line), _BANK_LINE.fullmatch(line)
        if value is not None:
            digest = bytes.fromhex(value[2])
            told = bank if bank != Alg.NULL else _by_width(len(digest))
            if known and told is not None:
                _put(table, told, int(value[1]), digest)
        elif _OTHER_LINE.fullmatch(line) is None:
            if named is None:
                return None
            bank, known = _bank(named[1])
    return table or None


class _Bank(NamedTuple):
    bank: Alg
    known: bool


def _bank(name: str) -> _Bank:
    try:
        return _Bank(_named(name), True)
    except KeyError:
        return _Bank(Alg.NULL, False)


def _by_width(size: int) -> Alg | None:
    return next((b for b in HASH_NAME if DIGEST_SIZE[b] == size), None)


# bytes


def _in_order(
    selected: Sequence[tuple[int, Sequence[int]]], digests: Sequence[bytes]
) -> dict[str, dict[int, bytes]] | None:
    """The digests of a selection, in its order; None where there are not as many."""
    places = [(bank, pcr) for bank, pcrs in selected for pcr in pcrs]
    if not places or len(places) != len(digests):
        return None
    table = dict[str, dict[int, bytes]]()
    for (bank, pcr), digest in zip(places, digests, strict=True):
        if bank in HASH_NAME:
            _put(table, Alg(bank), pcr, digest)
    return table or None


def _bits(mask: bytes) -> list[int]:
    return [p for p in range(8 * len(mask)) if mask[p // 8] >> (p % 8) & 1]


def _serialized(raw: bytes) -> dict[str, dict[int, bytes]] | None:
    """TPML_PCR_SELECTION, a count, and as many TPML_DIGEST, little-endian."""
    if len(raw) < _SELECTIONS_BYTES + 4 + _DIGESTS_BYTES:
        return None
    count, lists = (int.from_bytes(raw[a : a + 4], "little") for a in (0, _SELECTIONS_BYTES))
    if count > _MAX_SELECTIONS or len(raw) != _SELECTIONS_BYTES + 4 + lists * _DIGESTS_BYTES:
        return None
    selected = []
    for n in range(count):
        bank, size, mask = _SELECTION.unpack_from(raw, 4 + n * _SELECTION.size)
        if size > 4:
            return None
        selected.append((bank, _bits(mask[:size])))
    digests = list[bytes]()
    for start in range(_SELECTIONS_BYTES + 4, len(raw), _DIGESTS_BYTES):
        filled = int.from_bytes(raw[start : start + 4], "little")
        if filled > _MAX_DIGESTS:
            return None
        for n in range(filled):
            size, buffer = _DIGEST.unpack_from(raw, start + 4 + n * _DIGEST.size)
            digests.append(buffer[:size])
    return _in_order(selected, digests)


def _structures(raw: bytes) -> dict[str, dict[int, bytes]] | None:
    """TPML_PCR_SELECTION and TPML_DIGEST as a TPM sends them, big-endian; before them, as in the
    answer to TPM2_PCR_Read, the update counter.
    """
    for start in (0, 4):
        try:
            return _structures_at(raw, start)
        except (struct.error, IndexError):
            continue
    return None


def _structures_at(raw: bytes, start: int) -> dict[str, dict[int, bytes]] | None:
    """Raises struct.error or IndexError where it is none."""
    (count,) = struct.unpack_from(">I", raw, start)
    at, selected = start + 4, []
    if count > _MAX_SELECTIONS:
        raise IndexError
    for _ in range(count):
        bank, size = struct.unpack_from(">HB", raw, at)
        if size > 4:
            raise IndexError
        selected.append((bank, _bits(raw[at + 3 : at + 3 + size])))
        at += 3 + size
    (count,) = struct.unpack_from(">I", raw, at)
    at, digests = at + 4, list[bytes]()
    if count > PCR_COUNT * _MAX_SELECTIONS:
        raise IndexError
    for _ in range(count):
        (size,) = struct.unpack_from(">H", raw, at)
        digests.append(raw[at + 2 : at + 2 + size])
        at += 2 + size
    table = _in_order(selected, digests) if at == len(raw) else None
    if table is None:
        raise IndexError
    return table


def _protobuf(raw: bytes) -> dict[str, dict[int, bytes]] | None:
    """message PCRs { HashAlgo hash = 1; map<uint32, bytes> pcrs = 2; }"""
    try:
        members = list(_members(raw))
        hashes = [v for n, v in members if n == 1 and isinstance(v, int)]
        if len(hashes) != 1 or hashes[0] not in HASH_NAME or len(members) < 2:
            return None
        table = dict[str, dict[int, bytes]]()
        for number, value in members:
            if number == 1:
                continue
            if number != 2 or not isinstance(value, bytes):
                return None
            entry = dict(_members(value))
            pcr, digest = entry.get(1, 0), entry.get(2, b"")
            if not isinstance(pcr, int) or not isinstance(digest, bytes):
                return None
            _put(table, Alg(hashes[0]), pcr, digest)
    except IndexError:
        return None
    return table


def _members(raw: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Fields of a protobuf message that are numbers or bytes. Raises IndexError for any other."""
    at = 0
    while at < len(raw):
        key, at = _varint(raw, at)
        value, at = _varint(raw, at)
        if key & 7 == 0:
            yield key >> 3, value
        elif key & 7 == 2 and value <= len(raw) - at:
            yield key >> 3, raw[at : at + value]
            at += value
        else:
            raise IndexError


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 35, 7):
        byte = raw[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise IndexError


def _bare(raw: bytes, selections: Sequence[PcrSelection]) -> dict[str, dict[int, bytes]] | None:
    """tpm2_quote -o FILE -F values: every quoted value, one behind another."""
    places = [(s.bank, p) for s in selections for p in s.pcrs]
    sizes = [DIGEST_SIZE.get(bank, 0) for bank, _ in places]
    if not places or 0 in sizes or sum(sizes) != len(raw):
        return None
    digests, at = list[bytes](), 0
    for size in sizes:
        digests.append(raw[at : at + size])
        at += size
    return _in_order([(s.bank, s.pcrs) for s in selections], digests)


def as_json(values: Mapping[str, Mapping[int, bytes]]) -> dict[str, dict[str, str]]:
    """The values as JSON has them."""
    return {b: {str(p): v.hex() for p, v in sorted(t.items())} for b, t in values.items()}
