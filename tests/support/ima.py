"""Measurement lists, their entries and what is said of them."""

import hashlib
import struct

from framegate.errors import Reason


def digest_of(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()


def reasons(answer) -> list[Reason]:
    return [f.reason for f in answer.failures]


def ascii_line(
    template: bytes, fields: list[bytes], shown: list[bytes], algorithm: str = "sha1"
) -> bytes:
    body = b"".join(struct.pack("<I", len(f)) + f for f in fields)
    return (
        b"10 "
        + hashlib.new(algorithm, body).hexdigest().encode()
        + b" "
        + template
        + b" "
        + b" ".join(shown)
        + b"\n"
    )
