"""How programs speak: data on stdout, talk on stderr, errors as sentences, and exit codes.

Exit codes: 0 done, 1 failed, 2 wrong use, 3 not found, 4 denied, 5 in conflict with what is there,
6 untrusted, 7 unavailable.
"""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.errors import MarkupError
from rich.markup import escape
from rich.segment import Segment
from rich.text import Text

from framegate.errors import (
    EvidenceRejected,
    Failure,
    FramegateError,
    Malformed,
    Reason,
    Unavailable,
)
from framegate.redaction import redacted
from framegate_host.printing import printable, show_text, steerless

if TYPE_CHECKING:  # who prints no table imports none
    from rich.table import Table

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_NOT_FOUND: Final = 3
EXIT_DENIED: Final = 4
EXIT_CONFLICT: Final = 5
EXIT_UNTRUSTED: Final = 6
EXIT_UNAVAILABLE: Final = 7
_BY_REASON: Final[Mapping[Reason, int]] = MappingProxyType(
    {
        Reason.USAGE: EXIT_USAGE,
        Reason.NOT_FOUND: EXIT_NOT_FOUND,
        Reason.PROFILE_MISSING: EXIT_NOT_FOUND,
        Reason.WRONG_ROLE: EXIT_DENIED,
        Reason.UNAUTHENTICATED: EXIT_DENIED,
        Reason.CERTIFICATE: EXIT_DENIED,
        Reason.CERTIFICATE_EXPIRED: EXIT_DENIED,
        Reason.CONFLICT: EXIT_CONFLICT,
        Reason.PROFILE_KIND: EXIT_CONFLICT,
        Reason.NAME_TAKEN: EXIT_CONFLICT,
        Reason.TRANSITION: EXIT_CONFLICT,
        Reason.ZONE_FROZEN: EXIT_CONFLICT,
    }
)
OutputFormat = Annotated[
    Literal["table", "json"], typer.Option("--output", "-o", help="For people, or for programs.")
]
"""How a command writes what it shows; any other word is refused."""
ROWS_READ: Final = 100
"""More rows than that nobody reads as a picture: they go to programs, or are searched."""


class Terminal(Console):
    """Prints no text that could steer a terminal, whoever wrote it, in a table neither (N239): what
    is printed is read as ours, and one name that was not made `safe` is enough. No address stands
    behind words, and nothing in an address (`fd00:100::1`) is a name of an emoji.
    """

    def __init__(self, **how: Any) -> None:
        super().__init__(**{**how, "emoji": False})

    def print(self, *objects: Any, **how: Any) -> None:
        """See `Console.print`. Sentences for a file or a program are not broken into lines: who
        searches in them has no columns, and those of whoever started the program are not theirs.
        """
        if not self.is_terminal and all(isinstance(part, str) for part in objects):
            how = {"soft_wrap": True, **how}
        super().print(*objects, **how)

    def render_str(self, text: str, **how: Any) -> Text:
        """See `Console.render_str`. Markup that is none is printed as it stands."""
        shown, how = steerless(text), {**how, "emoji": False}
        try:
            return super().render_str(shown, **how)
        except MarkupError:
            return super().render_str(shown, **{**how, "markup": False})

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterator[Segment]:
        """See `Console.render`. Whatever was made of a text on another way is looked at here."""
        return map(_harmless, super().render(renderable, options))


def _harmless(segment: Segment) -> Segment:
    text, style, control = segment
    if control:  # a cursor that is moved: no text becomes one
        return segment
    if style is not None and style.link:
        style = style.update_link(None)
    return Segment(steerless(text), style)


def whole(table: Table) -> Table:
    """`table`, in which a word that is wider than its column goes on in the next line. rich cuts
    such words off: paths, digests and commands, of which half is of no use to anybody.
    """
    for column in table.columns:
        column.overflow = "fold"
    return table


talk = Terminal(stderr=True, highlight=False, soft_wrap=True)
"""No line breaks of our own: commands in it are copied."""


def exit_code(error: FramegateError) -> int:
    """The exit code of an error, for commands that ask somebody else to do something."""
    if error.reason in _BY_REASON:
        return _BY_REASON[error.reason]
    if isinstance(error, Unavailable):
        return EXIT_UNAVAILABLE
    if isinstance(error, EvidenceRejected):
        return EXIT_UNTRUSTED
    return EXIT_FAILED if isinstance(error, Malformed) else EXIT_DENIED


def service_exit_code(*told_apart: Reason) -> Callable[[FramegateError], int]:
    """Exit codes of a program that serves: unavailable, those `told_apart`, and else failed.

    Its supervisor acts on them: what is unavailable now is worth another start.
    """

    def code(error: FramegateError) -> int:
        if isinstance(error, Unavailable):
            return EXIT_UNAVAILABLE
        return _BY_REASON[error.reason] if error.reason in told_apart else EXIT_FAILED

    return code


@contextlib.contextmanager
def errors(
    code: Callable[[FramegateError], int] = exit_code,
    following: Mapping[Reason, str] | None = None,
) -> Iterator[None]:
    """Turn our errors into sentences and exit codes.

    With `following`, each ends with the command to run next: the failure's own hint, or what stands
    there for its reason, or the help of the command that was given.
    """
    try:
        yield
    except FramegateError as error:
        show_failures(error.failures)
        if following is not None and "framegate" not in error.failures[-1].hint:
            talk.print(f"next: {following.get(error.reason) or _help()}")
        raise typer.Exit(code(error)) from error


def show_failures(failures: Sequence[Failure], console: Console = talk) -> None:
    """Each failure in words: what was expected, what came, what to do."""
    for failure in failures:
        console.print(f"[red]{failure.reason}[/]")
        console.print(f"  expected  {safe(failure.expected)}")
        console.print(f"  seen      {safe(failure.actual)}")
        if failure.hint:
            console.print(f"  do        {safe(failure.hint)}")


def safe(text: object) -> str:
    """`text` without escapes, newlines or markup: names and reasons may be an attacker's.

    Credentials of addresses are not in it either.
    """
    return escape(printable(redacted(str(text))))


def typed(word: object) -> str:
    """`word` as somebody has to type it in a command that is printed: quoted where a shell would
    take it apart, and safe to print.
    """
    return safe(shlex.quote(str(word)))


def show_json(value: Any) -> None:
    """One JSON document on stdout; long lists a row a line."""
    if isinstance(value, list) and len(value) > ROWS_READ:
        rows = ",\n".join(json.dumps(row, sort_keys=True) for row in value)
        show_text(f"[\n{rows}\n]")
    else:
        show_text(json.dumps(value, indent=1, sort_keys=True))


def confirm(question: str) -> None:
    """Ask somebody at a terminal whether to go on. Raises `typer.Abort` where they say no."""
    typer.confirm(printable(question), abort=True, err=True)


def ask(question: str, **how: Any) -> str:
    """What somebody at a terminal answers; `how` as `typer.prompt` takes it."""
    return str(typer.prompt(printable(question), err=True, **how))


def _help() -> str:
    """The help of the command that was given."""
    names = [w for w in sys.argv[1:3] if re.fullmatch(r"[a-z][a-z-]*", w)]
    return " ".join([Path(sys.argv[0]).name, *names, "--help"])
