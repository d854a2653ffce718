"""A camera's fingerprint as a part's signed limits have it: the signs of its sensor's fixed pattern
(Bayram, Sencar, Memon, Efficient Sensor Fingerprint Matching Through Fingerprint Binarization,
2012), of `SIDE` by `SIDE` pixels in the middle of its pictures.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Final

from framegate.errors import Malformed, Reason

SIDE: Final = 128
BYTES: Final = SIDE * SIDE // 8


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """`BYTES` bytes, a bit for each pixel, row by row: 1 where it sees more than its neighbours."""

    signs: bytes

    @property
    def text(self) -> str:
        """In base 64, as statements and answers have it."""
        return base64.b64encode(self.signs).decode()


def parse_fingerprint(text: object) -> Fingerprint:
    """The fingerprint that `text` says. Raises Malformed (PART)."""
    signs = b""
    if type(text) is str and len(text) <= 2 * BYTES and text.isascii():
        try:
            signs = base64.b64decode(text, validate=True)
        except binascii.Error:
            signs = b""
    if len(signs) != BYTES or base64.b64encode(signs).decode() != text:
        raise Malformed.of(
            Reason.PART, f"a fingerprint of {BYTES} bytes in base 64", ascii(text)[:40]
        )
    return Fingerprint(signs)
