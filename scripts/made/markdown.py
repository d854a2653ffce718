"""What every made page needs: text that is no markup, and tables."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence
from typing import Final

WIDE: Final = 120
"""Columns of prose, as scripts/links.py wants them."""


def plain(text: str) -> str:
    """`text` so that Markdown shows it as it is, on one line."""
    return re.sub(r"([*<|\[\]`])", r"\\\1", " ".join(text.split()))


def code(text: str) -> str:
    """`text` as code, in a table's cell too."""
    return f"`{text}`".replace("|", "\\|") if text else ""


def wrapped(text: str) -> str:
    """A paragraph of prose; code in it stays on one line."""
    whole = re.sub(r"`[^`]+`", lambda m: m[0].replace(" ", "\0"), " ".join(text.split()))
    lines = textwrap.fill(whole, WIDE, break_long_words=False, break_on_hyphens=False)
    return lines.replace("\0", " ")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table with its head; cells are Markdown already."""
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines) + "\n"
