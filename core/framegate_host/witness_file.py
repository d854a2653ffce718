"""Heads of the log kept outside the store: a file that only grows.

On this machine's disk or, better, where this machine cannot change it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from framegate.errors import Malformed, Reason
from framegate.record.witness import MAX_LINE_BYTES, grown, head_line, parse_head_line
from framegate_host.private_files import append_public

MAX_WITNESS_BYTES: Final = 64 * 1024 * 1024
"""What is read whole, to verify a log against it: some 50,000 heads."""


def write_head(path: Path, envelope: bytes) -> bool:
    """Append a signed head, unless it is of no more entries than the last; whether it was.

    Durable when it returns. Raises Malformed.
    """
    if not grown(last_head(path), envelope):
        return False
    with os.fdopen(append_public(path), "wb") as out:  # for everybody who wants to check the log
        out.write(head_line(envelope) + b"\n")
        out.flush()
        os.fsync(out.fileno())
    return True


def last_head(path: Path) -> bytes | None:
    """The newest envelope in a witness file, None where there is none.

    Reads its end alone, however long it has grown. Raises Malformed.
    """
    if not path.exists():
        return None
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - MAX_LINE_BYTES))
        lines = file.read().splitlines()
    return parse_head_line(lines[-1], f"the last line of {path}") if lines else None


def read_heads(path: Path) -> list[bytes]:
    """The envelopes in a witness file, oldest first, unverified. Raises Malformed."""
    size = path.stat().st_size
    if size > MAX_WITNESS_BYTES:
        raise Malformed.of(
            Reason.TOO_LARGE, f"a witness file of at most {MAX_WITNESS_BYTES} bytes", size
        )
    lines = path.read_bytes().splitlines()
    return [parse_head_line(line, f"line {n} of {path}") for n, line in enumerate(lines, start=1)]
