"""Heads of the log kept outside the store: a file that only grows, on this machine's disk or, better, where this machine cannot change it."""

from __future__ import annotations

import json
import os
from pathlib import Path

from framegate.errors import Malformed, Reason
from framegate.signed.dsse import parse_envelope
from framegate.signed.receipt import Checkpoint

MAX_WITNESS_BYTES = 64 * 1024 * 1024
"""What is read whole, to verify a log against it: some 50,000 heads."""
MAX_LINE_BYTES = 16 * 1024
"""A head is about a kilobyte, its certificate included."""


def write_head(path: Path, envelope: bytes) -> bool:
    """Append a signed head, unless it is of no more entries than the last; True where it was appended. Durable when it returns. Raises Malformed."""
    last = last_head(path)
    if last is not None and _size(last) >= _size(envelope):
        return False
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), "wb") as out:
        out.write(head_line(envelope) + b"\n")
        out.flush()
        os.fsync(out.fileno())
    return True


def last_head(path: Path) -> bytes | None:
    """The newest envelope in a witness file, None where there is none. Reads its end alone, however long it has grown. Raises Malformed."""
    if not path.exists():
        return None
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - MAX_LINE_BYTES))
        lines = file.read().splitlines()
    return _envelope(path, lines[-1], "the last line") if lines else None


def head_line(envelope: bytes) -> bytes:
    """A head as a line of an export or a witness file."""
    return b'{"checkpoint":' + envelope + b"}"


def read_heads(path: Path) -> list[bytes]:
    """The envelopes in a witness file, oldest first. Raises Malformed."""
    if path.stat().st_size > MAX_WITNESS_BYTES:
        raise Malformed.of(Reason.TOO_LARGE, f"a witness file of at most {MAX_WITNESS_BYTES} bytes", path.stat().st_size)
    return [_envelope(path, line, f"line {number}") for number, line in enumerate(path.read_bytes().splitlines(), start=1)]


def _envelope(path: Path, line: bytes, where: str) -> bytes:
    try:
        body = json.loads(line)["checkpoint"]
    except (ValueError, KeyError, TypeError) as error:
        raise Malformed.of(Reason.AUDIT, f"a signed head in {where} of {path}", type(error).__name__, "it was cut or edited; keep a copy and begin another") from error
    return json.dumps(body, separators=(",", ":")).encode()


def _size(envelope: bytes) -> int:
    return Checkpoint.parse_payload(parse_envelope(envelope, Checkpoint.TYPE).payload).size
