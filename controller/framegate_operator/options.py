"""Options that commands share.

--context and --output by name; --dry-run, --wait and --reason for whatever changes something, and
--watch for whatever shows something, by `write` and `read`.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import time
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from framegate_host.console import OutputFormat, talk
from framegate_operator.output import data

Context = Annotated[
    Path | None,
    typer.Option(
        "--context",
        help="A context's name or file; default: FRAMEGATE_CONTEXT, else the one in use.",
    ),
]
SignerKey = Annotated[
    Path,
    typer.Option(
        exists=True,
        dir_okay=False,
        envvar="FRAMEGATE_PROFILE_KEY",
        help="Key and certificate of a profile signer; framegate-controller profile signer makes "
        "one.",
    ),
]
Output = OutputFormat
Command = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """How a change is asked for."""

    reason: str = ""
    dry_run: bool = False
    wait: bool = False


WRITE: ContextVar[WriteOptions] = ContextVar("write", default=WriteOptions())  # noqa: B039 - frozen
_EXTRA: dict[str, tuple[Any, Any]] = {
    "reason": (
        Annotated[
            str,
            typer.Option(
                "--reason", help="Why; kept in the audit log, and read by whoever approves."
            ),
        ],
        "",
    ),
    "dry_run": (
        Annotated[
            bool, typer.Option("--dry-run", help="Only say whether it would be allowed and done.")
        ],
        False,
    ),
    "wait": (
        Annotated[bool, typer.Option("--wait", help="Where somebody has to approve, wait for it.")],
        False,
    ),
}
_WATCH = Annotated[
    float,
    typer.Option("--watch", "-w", min=0, help="Show again every so many seconds, until Ctrl-C."),
]


def write(work: Command) -> Command:
    """A command that changes the fleet."""
    own = set(inspect.signature(work).parameters)

    @functools.wraps(work)
    def run(**given: Any) -> Any:
        options = WriteOptions(given.get("reason", ""), given.pop("dry_run"), given.pop("wait"))
        if "reason" not in own:
            given.pop("reason")
        token = WRITE.set(options)
        try:
            answer = work(**given)
            if options.dry_run:
                talk.print("[yellow]dry run: it would be allowed; nothing was changed[/]")
            return answer
        finally:
            WRITE.reset(token)

    return _with(run, work, {k: v for k, v in _EXTRA.items() if k not in own})


def read(work: Command) -> Command:
    """A command that shows something."""

    @functools.wraps(work)
    def run(**given: Any) -> Any:
        every = given.pop("watch")
        if not every:
            return work(**given)
        try:
            while True:
                if data.is_terminal:
                    data.clear()
                with contextlib.suppress(typer.Exit):  # an exit code is for scripts; a view goes on
                    work(**given)
                time.sleep(every)
        except KeyboardInterrupt:
            return None

    return _with(run, work, {"watch": (_WATCH, 0.0)})


def for_kind(kind: str, work: Command) -> Command:
    """`work`, a command for machines of any `kind`, as the one of this kind's group."""

    def run(**given: Any) -> Any:
        return work(kind=kind, **given)

    run.__doc__ = work.__doc__
    return _signed(run, [p for n, p in inspect.signature(work).parameters.items() if n != "kind"])


def _with(run: Command, work: Command, extra: dict[str, tuple[Any, Any]]) -> Command:
    hints = get_type_hints(work, include_extras=True)
    mine = inspect.signature(work)
    parameters = [
        p.replace(annotation=hints.get(n, p.annotation)) for n, p in mine.parameters.items()
    ]
    parameters += [
        inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=d, annotation=a)
        for n, (a, d) in extra.items()
    ]
    del run.__wrapped__  # type: ignore[attr-defined]
    return _signed(run, parameters)


def _signed(run: Command, parameters: Sequence[inspect.Parameter]) -> Command:
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run
