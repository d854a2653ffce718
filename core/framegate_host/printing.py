"""The one door for what programs write as text: nothing that leaves by it steers a terminal, forges
a line of a log or reads as ours, whoever it came from (N239, N241). For tables and styled words see
`console.py`.

A process that decodes imports this too: it needs nothing but the standard library.
"""

from __future__ import annotations

import re
import sys
from typing import Final

from framegate.redaction import redacted

_ENDS: Final = re.compile(r"(\r?\n|\t)")
"""What lays out text that we write: line ends, also those of CSV (RFC 4180), and tabs."""


def printable(text: str) -> str:
    """`text` without anything that could steer a terminal, line ends among it."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def steerless(text: str) -> str:
    """The same of a text of many lines: its line ends and tabs stay."""
    if text.isprintable():
        return text
    parts = _ENDS.split(text)  # what stands between, and each mark, in turn
    return "".join(mark if at % 2 else printable(mark) for at, mark in enumerate(parts))


def show_text(text: object, end: str = "\n", *, flush: bool = False) -> None:
    """Write a text on standard output, as data that somebody may pass on: exact, but for what
    could steer.
    """
    sys.stdout.write(steerless(str(text)) + end)
    if flush:
        sys.stdout.flush()


def show_line(text: object) -> None:
    """Write one line on standard output, whatever is told in it."""
    sys.stdout.write(printable(str(text)) + "\n")


def say(text: object) -> None:
    """Write a text on standard error at once, without credentials."""
    sys.stderr.write(steerless(redacted(str(text))) + "\n")
    sys.stderr.flush()
