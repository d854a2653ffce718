"""Tables of PCR values that are read out of files: banks by their names, each value once."""

from __future__ import annotations

from typing import Final, NamedTuple

from framegate.errors import Malformed, Reason
from framegate.tpm.constants import BANK_BY_NAME, DIGEST_SIZE, HASH_NAME, Alg

PCR_COUNT: Final = 24
FORMS: Final = (
    "JSON {bank: {pcr: hex}}, or with that under pcrs; the text of tpm2_pcrread, tpm2_quote,"
    " tpm2_eventlog or systemd-analyze pcrs; what grep or head prints of"
    " /sys/class/tpm/tpm0/pcr-*/*; a"
    " file of tpm2_quote -o or tpm2_pcrread -o, serialized or values; JSON, protobuf or"
    " TPML structures of go-tpm"
)


def no_pcr_file(seen: object) -> Malformed:
    """That what came is in none of `FORMS`."""
    hint = "make one: tpm2_pcrread -Q sha256:all -o FILE, or tpm2_quote … -o FILE"
    return Malformed.of(Reason.USAGE, f"PCR values as {FORMS}", seen, hint)


def put_value(table: dict[str, dict[int, bytes]], bank: Alg, pcr: int, value: bytes) -> None:
    """Raises Malformed (USAGE) for a PCR that there is not, or twice, or of another width."""
    values = table.setdefault(HASH_NAME[bank], {})
    if not 0 <= pcr < PCR_COUNT or pcr in values or len(value) != DIGEST_SIZE[bank]:
        raise no_pcr_file(f"{HASH_NAME[bank]} PCR {pcr} of {len(value)} bytes, or twice")
    values[pcr] = value


class NamedBank(NamedTuple):
    """A bank; `known` tells whether Framegate knows its hash."""

    bank: Alg
    known: bool


def bank_called(name: str) -> NamedBank:
    """The bank that a tool calls `name`."""
    try:
        return NamedBank(bank_named(name), True)
    except KeyError:
        return NamedBank(Alg.NULL, False)


def bank_named(name: str) -> Alg:
    """The bank that a tool calls `name`. Raises KeyError for one that is not known."""
    return BANK_BY_NAME[name.lower().removeprefix("tpm_alg_").replace("-", "").replace("_", "")]
