"""Tables on standard output, as wide as the terminal: what somebody copies is never broken in two.

A column of ids, names or numbers keeps its cells whole; columns of words are wrapped between them.
Where that does not fit, each row becomes lines of its own, which the terminal wraps and no line
break of ours cuts.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from typing import Final

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from framegate_host.console import ROWS_READ, Terminal, safe, talk
from framegate_host.printing import printable, show_text

WIDE: Final = 240
"""Columns where standard output is no terminal: nothing is cut off in a file or pipe."""
_BETWEEN: Final = 2
"""Blanks between two columns."""
_SHORT: Final = 12
"""Hexadecimal digits of an id that people read: among a million ids two begin alike once in three
hundred fleets, and whoever takes one says so where two do.
"""
_WHOLE: Final = 12
"""A cell of so few characters is kept whole: a time, a number with its unit, a state."""
_DIGEST: Final = re.compile(r"(?<![0-9a-zA-Z])[0-9a-f]{32,}(?![0-9a-zA-Z])")
data = Terminal(
    highlight=False, width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else WIDE
)
STATE_STYLE: Final = {
    "trusted": "green",
    "suspect": "red",
    "quarantined": "red",
    "stale": "yellow",
    "pending": "yellow",
    "invited": "cyan",
    "retired": "dim",
}
OUTCOME_STYLE: Final = {"PASS": "green", "DEFECT": "red", "UNINSPECTED": "yellow"}


def short_id(identifier: str) -> str:
    """The beginning of an id, which every command takes for it."""
    return identifier[:_SHORT]


def shortened(text: str) -> str:
    """`text` with the digests and ids in it as `short_id` has them: whole ones are for programs."""
    return _DIGEST.sub(lambda whole: short_id(whole[0]), text)


def show_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    empty: str,
    spare: Sequence[str] = (),
) -> None:
    """A table on stdout; `empty` on stderr where there is nothing. States and outcomes are coloured
    on a terminal. Where it does not fit, columns in `spare` are left out, the first ones first.
    """
    if not rows:
        talk.print(empty)
        return
    cells = [[printable(str(value)) for value in row] for row in rows]
    if len(rows) > ROWS_READ:
        _plain(columns, cells)
        return
    for left_out in (spare[:count] for count in range(len(spare) + 1)):
        kept = [at for at, title in enumerate(columns) if title not in left_out]
        titles, narrow = [columns[at] for at in kept], [[row[at] for at in kept] for row in cells]
        widths = _widths(titles, narrow)
        if widths:
            _as_table(titles, narrow, widths)
            break
    else:
        _records(columns, cells)


def _as_table(
    columns: Sequence[str], cells: Sequence[Sequence[str]], widths: Sequence[int]
) -> None:
    table = Table(box=None, pad_edge=False, show_header=any(columns))
    for title, width in zip(columns, widths, strict=True):
        table.add_column(title, overflow="fold", width=width)
    for row in cells:
        table.add_row(*map(_styled, row))
    data.print(table)


def _widths(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> list[int]:
    """A width for each column in which no word of it is broken; none where that does not fit."""
    texts = list(zip(columns, *cells, strict=True))
    least = [max(map(_longest_word, column)) for column in texts]
    widths = [max(map(cell_len, column)) for column in texts]
    room = data.width - _BETWEEN * (len(widths) - 1)
    if sum(least) > room:
        return []
    for _ in range(sum(widths) - room):  # the widest that can gives way
        _, at = max((w, n) for n, w in enumerate(widths) if w > least[n])
        widths[at] -= 1
    return widths


def _records(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Each row as lines `title  value`, without what is empty; a blank line between two rows."""
    titled = len(columns) > 2
    wide = max(map(cell_len, columns)) if titled else max(cell_len(row[0]) for row in rows)
    for number, row in enumerate(rows):
        pairs = list(zip(columns, row, strict=True)) if titled else [(row[0], row[-1])]
        if titled and number:
            data.print()
        for title, text in pairs:
            if text:
                name = title + " " * (wide - cell_len(title))
                data.print(f"{safe(name)}  {_styled(text)}", soft_wrap=True)


def _plain(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    cells = [list(columns), *rows]
    widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        padded = [text + " " * (w - cell_len(text)) for text, w in zip(line, widths, strict=True)]
        if data.is_terminal:
            data.print(_coloured(line, padded), soft_wrap=True)
        else:
            show_text((" " * _BETWEEN).join(padded).rstrip())


def _coloured(line: Sequence[str], padded: Sequence[str]) -> Text:
    parts = [Text(full, _style(text) or "") for text, full in zip(line, padded, strict=True)]
    return Text(" " * _BETWEEN).join(parts)


def _longest_word(text: str) -> int:
    if cell_len(text) <= _WHOLE:
        return cell_len(text)
    return max(map(cell_len, text.split()), default=0)


def _styled(text: str) -> str:
    style = _style(text)
    return f"[{style}]{safe(text)}[/]" if style else safe(text)


def _style(text: str) -> str | None:
    return STATE_STYLE.get(text) or OUTCOME_STYLE.get(text)
