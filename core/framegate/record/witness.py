"""Heads of the log as lines of a witness file or an export."""

from __future__ import annotations

import json
from typing import Final

from framegate.errors import Malformed, Reason
from framegate.signed.dsse import parse_envelope
from framegate.signed.receipt import Checkpoint

MAX_LINE_BYTES: Final = 16 * 1024
"""A head is about a kilobyte, its certificate included."""


def head_line(envelope: bytes) -> bytes:
    """A head as a line of an export or a witness file, without the line's end."""
    return b'{"checkpoint":' + envelope + b"}"


def parse_head_line(line: bytes, where: str) -> bytes:
    """The envelope in `line`, unverified; `where` names the line in errors. Raises Malformed."""
    try:
        body = json.loads(line)["checkpoint"]
    except (ValueError, KeyError, TypeError) as error:
        raise Malformed.of(
            Reason.AUDIT,
            f"a signed head in {where}",
            type(error).__name__,
            "it was cut or edited; keep a copy and begin another",
        ) from error
    return json.dumps(body, separators=(",", ":")).encode()


def grown(last: bytes | None, envelope: bytes) -> bool:
    """Whether a head claims more restorations than the last, or as many and more entries; both
    unverified. Raises Malformed.
    """
    if last is None:
        return True
    before, after = parse_head(last), parse_head(envelope)
    return (before.restorations, before.size) < (after.restorations, after.size)


def parse_head(envelope: bytes) -> Checkpoint:
    """What a head says, unverified. Raises Malformed."""
    return Checkpoint.parse_payload(parse_envelope(envelope, Checkpoint.TYPE).payload)
