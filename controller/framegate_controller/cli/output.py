"""How commands speak: data on stdout, talk on stderr, errors as sentences with the next command, exit codes that scripts can use."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from framegate.errors import EvidenceRejected, Failure, FramegateError, Malformed, Reason, Unavailable

WIDE: Final = 240
"""Columns where standard output is no terminal: nothing is cut off in a file or pipe."""
talk = Console(stderr=True, highlight=False)
data = Console(highlight=False, width=None if sys.stdout.isatty() else WIDE)

EXIT_FAILED, EXIT_USAGE, EXIT_NOT_FOUND, EXIT_DENIED, EXIT_CONFLICT, EXIT_UNTRUSTED, EXIT_UNAVAILABLE = 1, 2, 3, 4, 5, 6, 7
_BY_REASON: Final = {
    Reason.USAGE: EXIT_USAGE, Reason.NOT_FOUND: EXIT_NOT_FOUND, Reason.WRONG_ROLE: EXIT_DENIED, Reason.UNAUTHENTICATED: EXIT_DENIED,
    Reason.CERTIFICATE: EXIT_DENIED, Reason.CERTIFICATE_EXPIRED: EXIT_DENIED, Reason.CONFLICT: EXIT_CONFLICT, Reason.NAME_TAKEN: EXIT_CONFLICT,
    Reason.TRANSITION: EXIT_CONFLICT, Reason.PROFILE_MISSING: EXIT_NOT_FOUND,
}  # fmt: skip
STATE_STYLE: Final = {"trusted": "green", "suspect": "red", "quarantined": "red", "stale": "yellow", "pending": "yellow", "invited": "cyan", "retired": "dim"}
OUTCOME_STYLE: Final = {"PASS": "green", "DEFECT": "red", "UNINSPECTED": "yellow"}


def safe(text: object) -> str:
    """`text` without terminal escapes, newlines or markup: names and reasons may be an attacker's words (N29)."""
    return escape("".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(text)))


def exit_code(error: FramegateError) -> int:
    """The exit code of an error."""
    if error.reason in _BY_REASON:
        return _BY_REASON[error.reason]
    if isinstance(error, Unavailable):
        return EXIT_UNAVAILABLE
    if isinstance(error, EvidenceRejected):
        return EXIT_UNTRUSTED
    return EXIT_FAILED if isinstance(error, Malformed) else EXIT_DENIED


def show_failures(failures: Sequence[Failure], console: Console = talk) -> None:
    """Each failure in words: what was expected, what came, what to do."""
    for failure in failures:
        console.print(f"[red]{failure.reason}[/]")
        console.print(f"  expected  {safe(failure.expected)}")
        console.print(f"  seen      {safe(failure.actual)}")
        if failure.hint:
            console.print(f"  do        {safe(failure.hint)}")


@contextlib.contextmanager
def errors() -> Iterator[None]:
    """Turn our errors into sentences and exit codes."""
    try:
        yield
    except FramegateError as error:
        show_failures(error.failures)
        raise typer.Exit(exit_code(error)) from error


def show_json(value: Any) -> None:
    """One JSON document on stdout."""
    print(json.dumps(value, indent=1, sort_keys=True))


def show_table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, empty: str) -> None:
    """A table on stdout; `empty` on stderr where there is nothing. States and outcomes are coloured on a terminal."""
    if not rows:
        talk.print(empty)
        return
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        cells = []
        for value in row:
            style = STATE_STYLE.get(str(value)) or OUTCOME_STYLE.get(str(value))
            cells.append(f"[{style}]{safe(value)}[/]" if style else safe(value))
        table.add_row(*cells)
    data.print(table)


def ago(ms: int) -> str:
    """How long ago, in words."""
    if not ms:
        return "never"
    seconds = max(0, int(time.time() - ms / 1000))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


def in_words(ms: int) -> str:
    """A remaining time, in words."""
    return f"{ms / 1000:.0f} s left" if ms else "none"
