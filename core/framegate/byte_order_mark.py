"""Text files that say by a byte order mark how they are written (Unicode 16, section 23.8): Windows
tools redirect UTF-16 into a file, and editors there put a mark before UTF-8.
"""

from __future__ import annotations

import codecs
from typing import Final

_UTF_16: Final = ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_PEM: Final = "-----".encode("utf-16-le")
"""Some write PEM in UTF-16 and no mark before it."""


def as_utf8(raw: bytes) -> bytes:
    """`raw` in UTF-8 and without a byte order mark; as it is where it has none, or where what
    follows a mark is no UTF-16: then it is no text, and its reader says so.
    """
    marked = codecs.BOM_UTF16_LE + raw if raw.startswith(_PEM) else raw
    for mark, codec in _UTF_16:
        if marked.startswith(mark):
            try:
                return marked[len(mark) :].decode(codec).encode()
            except UnicodeDecodeError:
                return raw
    return raw.removeprefix(codecs.BOM_UTF8)


def is_utf16(raw: bytes) -> bool:
    """Whether `raw` begins as text in UTF-16 does."""
    return raw.startswith((*(mark for mark, _ in _UTF_16), _PEM))
