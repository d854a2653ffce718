"""Numbers as a form or an address of the console brings them: text of anybody."""

import time
from typing import Final

from framegate.errors import Malformed, Reason

MAX_HOURS: Final = 100_000
"""Eleven years, which no record of a fleet has so far."""
_HOUR_MS: Final = 3_600_000


def number(text: str) -> int:
    """An entry's or incident's number. Raises Malformed (USAGE)."""
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise Malformed.of(Reason.USAGE, "a number", ascii(text[:40]))
    return int(text)


def since_ms(hours: str) -> int:
    """When it was `hours` ago, in milliseconds since 1970. Raises Malformed (USAGE)."""
    back = number(hours)
    if back > MAX_HOURS:
        raise Malformed.of(Reason.USAGE, f"at most {MAX_HOURS} hours", back)
    return int(time.time() * 1000) - back * _HOUR_MS
