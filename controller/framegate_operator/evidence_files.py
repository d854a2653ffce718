"""Files of evidence: read them, and say what they look like."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from framegate.errors import FramegateError, Malformed, Reason
from framegate.evidence.pcr_files import parse_pcr_file
from framegate.evidence.quote_files import load_attest
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


def pcr_values(raw: bytes, attest: bytes) -> dict[str, dict[int, bytes]]:
    """PCR values as TPM tools write them, for the quote in `attest`. Raises Malformed (USAGE)."""
    try:
        selections = load_attest(attest).selections
    except FramegateError:  # what the quote is, verification says
        selections = ()
    return parse_pcr_file(raw, selections).values
