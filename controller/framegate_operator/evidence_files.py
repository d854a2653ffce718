"""Files of evidence: read them, and say what they look like."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from framegate.errors import Malformed, Reason
from framegate.signed.dsse import strict_json
from framegate.tpm.constants import BANK_BY_NAME
from framegate_operator.output import errors

MAX_READ: Final = 64 * 1024 * 1024
"""No file of evidence is larger: an IMA list of 200,000 entries has some 25 MiB."""


def read_file(path: Path) -> bytes:
    """The file's bytes, at most `MAX_READ`. Ends the command with a sentence where it cannot be
    read.
    """
    with errors():
        try:
            with path.open("rb") as file:
                return file.read(MAX_READ + 1)
        except OSError as error:
            raise Malformed.of(
                Reason.USAGE, f"a readable file {path}", error.strerror or error
            ) from error


def looks_like_ima(raw: bytes) -> bool:
    """Whether the bytes are rather an IMA list than a boot log: binary with a template's name
    behind the hash, or ASCII lines.
    """
    if any(raw[8 + w : 11 + w] == b"ima" for w in (20, 32, 48, 64)):
        return True
    parts = raw[:400].split(b"\n", 1)[0].split(b" ")
    return len(parts) >= 5 and parts[0].isdigit() and len(parts[1]) in {40, 64, 96, 128}


def pcr_values(raw: bytes) -> dict[str, dict[int, bytes]]:
    """PCR values in JSON. Raises Malformed (USAGE)."""
    body: Any = strict_json(raw)
    table = body.get("pcrs", body) if isinstance(body, dict) else None
    values = pcr_table(table, "{bank: {pcr: hex}}")
    wrong = [b for b in values if b not in BANK_BY_NAME]
    if wrong:
        raise Malformed.of(Reason.USAGE, f"banks {', '.join(BANK_BY_NAME)}", ascii(wrong[0][:20]))
    return values


def pcr_table(table: Any, wanted: str) -> dict[str, dict[int, bytes]]:
    """Bank to PCR to value. Raises Malformed (USAGE), saying that `wanted` was."""
    try:
        return {
            bank: {int(p): bytes.fromhex(v.removeprefix("0x")) for p, v in values.items()}
            for bank, values in table.items()
        }
    except (AttributeError, ValueError, TypeError) as error:
        raise Malformed.of(Reason.USAGE, wanted, type(error).__name__) from error
