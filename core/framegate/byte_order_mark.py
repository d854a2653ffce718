"""Text files that say by a byte order mark how they are written (Unicode 16, section 23.8): Windows
tools redirect UTF-16 into a file, and editors there put a mark before UTF-8.
"""

from __future__ import annotations

import codecs
from typing import Final

_UTF_16: Final = ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


def as_utf8(raw: bytes) -> bytes:
    """`raw` in UTF-8 and without a byte order mark; as it is where it has none, or where what
    follows a mark is no UTF-16: then it is no text, and its reader says so.
    """
    for mark, codec in _UTF_16:
        if raw.startswith(mark):
            try:
                return raw[len(mark) :].decode(codec).encode()
            except UnicodeDecodeError:
                return raw
    return raw.removeprefix(codecs.BOM_UTF8)
