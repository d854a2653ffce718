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
from framegate.evidence.pcr_tables import PCR_COUNT, bank_called, bank_named, no_pcr_file, put_value
from framegate.evidence.pcr_text import read_text, values_of
from framegate.signed.dsse import strict_json
from framegate.tpm.attest import PcrSelection
from framegate.tpm.constants import DIGEST_SIZE, HASH_NAME, Alg

MAX_PCR_FILE_BYTES: Final = 64 * 1024
"""24 PCRs of eight banks in hexadecimal have some 25 KiB."""
_MAX_SELECTIONS: Final = 16
_MAX_DIGESTS: Final = 8
_SELECTION: Final = struct.Struct("<HB4sx")
_DIGEST: Final = struct.Struct("<H64s")
_SELECTIONS_BYTES: Final = 4 + _MAX_SELECTIONS * _SELECTION.size
_DIGESTS_BYTES: Final = 4 + _MAX_DIGESTS * _DIGEST.size
"""TPML_PCR_SELECTION and TPML_DIGEST of tpm2-tss, as they lie in memory."""
_GO_HASHES: Final = {3: Alg.SHA1, 5: Alg.SHA256, 6: Alg.SHA384, 7: Alg.SHA512}
"""crypto.Hash of Go."""
_UNKNOWN_BANK: Final = re.compile(r"(?:tpm_alg_)?(?:sha|sm)[0-9][0-9a-z_-]{0,12}", re.IGNORECASE)
"""The name of a bank, of whichever hash: one of a hash that Framegate does not know is left out."""


class PcrFile(NamedTuple):
    """What a file of PCR values holds: bank name to PCR to value; `form` says who writes it so."""

    form: str
    values: dict[str, dict[int, bytes]]


def parse_pcr_file(raw: bytes, selections: Sequence[PcrSelection] = ()) -> PcrFile:
    """The PCR values in `raw`, in whichever of `FORMS`. Bare values are told apart by `selections`,
    the quote's. Raises Malformed (USAGE) that names the forms.
    """
    raw = values_of(raw)
    if len(raw) > MAX_PCR_FILE_BYTES:
        raise Malformed.of(
            Reason.USAGE, f"PCR values of at most {MAX_PCR_FILE_BYTES} bytes", len(raw)
        )
    # bare values may begin with any byte, and hold others than a text does
    if raw.lstrip()[:1] in {b"{", b"["} and raw.isascii() and b"\0" not in raw:
        return PcrFile("JSON", _json(raw))
    readers: tuple[tuple[str, Callable[[], dict[str, dict[int, bytes]] | None]], ...] = (
        ("tpm2_quote -o, serialized", lambda: _serialized(raw)),
        ("tpm2_pcrread's text", lambda: read_text(raw)),
        ("TPML structures", lambda: _structures(raw)),
        ("go-tpm-tools' protobuf", lambda: _protobuf(raw)),
        ("values one behind another", lambda: _bare(raw, selections)),
    )
    for form, reader in readers:
        values = reader()
        if values is not None:
            return PcrFile(form, values)
    raise no_pcr_file(f"{len(raw)} bytes that begin {raw[:8].hex() or 'nowhere'}")


# JSON


def _json(raw: bytes) -> dict[str, dict[int, bytes]]:
    try:
        body: Any = strict_json(raw)
    except FramegateError as error:
        raise no_pcr_file("JSON that is cut off, broken, or says a thing twice") from error
    table = dict[str, dict[int, bytes]]()
    try:
        for bank, pcr, value in _told(body):
            size = DIGEST_SIZE[bank]
            put_value(table, bank, int(pcr), _bytes(value, size))
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise no_pcr_file("JSON of another shape, or of values of another width") from error
    if not table:
        raise no_pcr_file("JSON without a bank that Framegate knows")
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
            yield from _listed(each)
    elif "hash" in body and "pcrs" in body:
        of = body["hash"]
        bank = Alg(of) if isinstance(of, int) else bank_named(of)
        yield from (_Told(bank, p, v) for p, v in body["pcrs"].items())
    else:
        for name, values in body.get("pcrs", body).items():
            named = bank_called(name)
            if named.known:
                yield from (_Told(named.bank, p, v) for p, v in values.items())
            elif _UNKNOWN_BANK.fullmatch(name) is None:
                raise KeyError(name)


def _listed(row: Any) -> Iterator[_Told]:
    """A row of go-attestation, or of systemd-analyze pcrs --json. Raises KeyError and its like."""
    if "nr" not in row:
        yield _Told(_GO_HASHES[row["DigestAlg"]], row["Index"], row["Digest"])
        return
    for name, value in row.items():
        if name not in {"nr", "name"} and (bank := bank_called(name)).known:
            yield _Told(bank.bank, row["nr"], value)


def _bytes(shown: str, size: int) -> bytes:
    """Hexadecimal or base64. Raises ValueError."""
    text = shown.removeprefix("0x")
    if len(text) == 2 * size:
        return bytes.fromhex(text)
    try:
        return base64.b64decode(shown, validate=True)
    except binascii.Error as error:
        raise ValueError(shown[:20]) from error


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
            put_value(table, Alg(bank), pcr, digest)
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
            put_value(table, Alg(hashes[0]), pcr, digest)
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
