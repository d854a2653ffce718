"""Heads of the log kept outside the store: a file that only grows, on this machine's disk or, better, where this machine cannot change it."""

from __future__ import annotations

import json
import os
from pathlib import Path

from framegate.errors import Malformed, Reason, Refused
from framegate.receipts import Checkpoint

MAX_WITNESS_BYTES = 64 * 1024 * 1024


def write_head(path: Path, envelope: bytes) -> bool:
    """Append a signed head, unless it is of no more entries than the last; True where it was appended. Durable when it returns."""
    heads = read_heads(path) if path.exists() else []
    size = Checkpoint.parse_payload(_payload(envelope)).size
    if heads and Checkpoint.parse_payload(_payload(heads[-1])).size >= size:
        return False
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), "wb") as out:
        out.write(head_line(envelope) + b"\n")
        out.flush()
        os.fsync(out.fileno())
    return True


def head_line(envelope: bytes) -> bytes:
    """A head as a line of an export or a witness file."""
    return b'{"checkpoint":' + envelope + b"}"


def read_heads(path: Path) -> list[bytes]:
    """The envelopes in a witness file, oldest first. Raises Malformed."""
    if path.stat().st_size > MAX_WITNESS_BYTES:
        raise Malformed.of(Reason.TOO_LARGE, f"a witness file of at most {MAX_WITNESS_BYTES} bytes", path.stat().st_size)
    found = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            body = json.loads(line)["checkpoint"]
        except (ValueError, KeyError, TypeError) as error:
            raise Malformed.of(Reason.AUDIT, f"a signed head in line {number} of {path}", type(error).__name__, "it was cut or edited; keep a copy and begin another") from error
        found.append(json.dumps(body, separators=(",", ":")).encode())
    return found


def _payload(envelope: bytes) -> bytes:
    from framegate.dsse import parse_envelope

    try:
        return parse_envelope(envelope, Checkpoint.TYPE).payload
    except Malformed as error:
        raise Refused(error.failures) from error
