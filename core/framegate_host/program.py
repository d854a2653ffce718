"""How every program is run: --version and -h, and wrong use told like any other failure."""

from __future__ import annotations

import difflib
import errno
import importlib.metadata
import io
import os
import re
import sys
from collections.abc import Iterable
from types import MappingProxyType
from typing import Any, Final

import typer
from rich.markup import escape
from typer.core import TyperOption

from framegate.errors import Failure, FramegateError, Reason, Refused, Unavailable
from framegate_host.console import EXIT_FAILED, EXIT_USAGE, exit_code, show_failures, talk
from framegate_host.logs import tell_crashes
from framegate_host.printing import show_text

_DISTRIBUTION: Final = "framegate"
_WrongUse: type[Exception] = typer.BadParameter.__mro__[1]
"""What typer raises where words on the command line do not fit; it has no public name for it."""
_PATH_FAULTS: Final = MappingProxyType(
    {
        errno.ENOENT: "a file or folder that is there",
        errno.EACCES: "a file or folder that this user may use",
        errno.EPERM: "a file or folder that this user may use",
        errno.EISDIR: "a file",
        errno.ENODEV: "a file, or a name at which there is nothing",
        errno.ENOTDIR: "a folder",
        errno.EEXIST: "a name that is free",
        errno.ENOTEMPTY: "an empty folder",
        errno.ENAMETOOLONG: "a name of a file that is not too long",
        errno.ELOOP: "a file, and no circle of links or link of another user's",
        errno.EROFS: "a file system that can be written",
        errno.ENXIO: "a file that can be read",
    }
)
"""What is wrong with the name of a file that somebody gave, by the system's error."""


def run_program(app: typer.Typer, name: str) -> int:
    """Run what the command line asks of `app`, called `name`; the exit code.

    Wrong use, and what the system says of files, ports and texts, comes out as one failure: what
    was expected, what was seen, what to do. An error that is none of these is a fault of ours and
    is raised.
    """
    tell_crashes()
    _speak()
    command: Any = typer.main.get_command(app)
    command.params.append(_version_option(name))
    show_brackets(command)
    try:
        code = command.main(
            prog_name=name, standalone_mode=False, help_option_names=["-h", "--help"]
        )
    except _WrongUse as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # it is written by now, or is the message
            show_text(str(error), end="")
            return EXIT_USAGE
        show_failures([_wrong_use(error)])
        return EXIT_USAGE
    except typer.Abort:
        return _stopped()
    except FramegateError as error:
        show_failures(error.failures)
        return exit_code(error)
    except BrokenPipeError:
        # whoever read has enough: nothing more is flushed into a closed pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except UnicodeEncodeError as error:
        if not _of_what_was_typed(error):
            raise
        hint = "is the terminal's encoding UTF-8? (locale)"
        typed = Failure(Reason.USAGE, "words in UTF-8", "a word in another encoding", hint)
        show_failures([typed])
        return EXIT_USAGE
    except (OSError, UnicodeDecodeError) as error:
        told = of_the_system(error)
        show_failures(told.failures)
        return exit_code(told)
    return code if isinstance(code, int) else 0


def _of_what_was_typed(error: UnicodeEncodeError) -> bool:
    """Whether it is of bytes of the command line that are no text, which Python keeps as
    surrogates.
    """
    return any("\ud800" <= c <= "\udfff" for c in error.object[error.start : error.end])


def _speak() -> None:
    """A terminal of another encoding shows what it cannot as escapes, and ends no command."""
    if sys.stdout is not None and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _stopped() -> int:
    """A question was answered with no, or nobody was there to answer it."""
    if sys.stdin.isatty():
        talk.print("stopped; nothing more was done")
        return EXIT_FAILED
    hint = "does the command have --yes, or a file for it?"
    show_failures([Failure(Reason.USAGE, "somebody at a terminal to ask", "none", hint)])
    return EXIT_USAGE


def of_the_system(error: OSError | UnicodeDecodeError) -> FramegateError:
    """An error of the system as one of ours: USAGE for a file that was named, else UNAVAILABLE."""
    if isinstance(error, UnicodeDecodeError):
        seen = f"another encoding, at byte {error.start}"
        return Refused.of(Reason.USAGE, "text in UTF-8", seen, "is it the right file?")
    said = error.strerror or str(error) or type(error).__name__
    if error.errno == errno.EADDRINUSE:
        hint = "another port, or end what listens there"
        return Unavailable.of(Reason.UNAVAILABLE, "an address that is free", said, hint)
    if error.filename is not None and error.errno is not None and error.errno in _PATH_FAULTS:
        seen = f"{os.fsdecode(error.filename)}: {said}"
        hint = "is the name right, and may this user do that?"
        return Refused.of(Reason.USAGE, _PATH_FAULTS[error.errno], seen, hint)
    where = f"{os.fsdecode(error.filename)}: " if error.filename is not None else ""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        hint = "make room there, then do it again"
        return Unavailable.of(Reason.UNAVAILABLE, "room to write", f"{where}{said}", hint)
    hint = "does the device answer, and does the address exist?"
    return Unavailable.of(Reason.UNAVAILABLE, "the system to do it", f"{where}{said}", hint)


def show_brackets(command: Any) -> None:
    """Make help texts of `command`, and of what is below it, show their brackets: typer takes
    them for markup.
    """
    command.help = escape(command.help) if command.help else command.help
    command.short_help = escape(command.short_help) if command.short_help else command.short_help
    for parameter in command.params:
        if getattr(parameter, "help", None):
            parameter.help = escape(parameter.help)
    for each in getattr(command, "commands", {}).values():
        show_brackets(each)


def nearest(word: str, known: Iterable[str]) -> str:
    """Which of `known` somebody who typed `word` may have meant, as a question; or nothing."""
    near = difflib.get_close_matches(word, list(known), n=3, cutoff=0.6)
    return f"did you mean {' or '.join(near)}?" if near else ""


def _version_option(name: str) -> Any:
    def show(context: typer.Context, _: Any, wanted: bool) -> None:
        if wanted and not context.resilient_parsing:
            show_text(f"{name} {importlib.metadata.version(_DISTRIBUTION)}")
            raise typer.Exit(0)

    return TyperOption(
        param_decls=["--version"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=show,
        help="Show the version and exit.",
    )


def _wrong_use(error: Any) -> Failure:
    """Wrong words on the command line, with the nearest right one."""
    context = error.ctx
    path = context.command_path if context is not None else ""
    shown = f"{path} --help" if path else "--help"
    kind, parameter = type(error).__name__, getattr(error, "param", None)
    if kind == "NoSuchOption":
        near = nearest(error.option_name, _options(context))
        return _usage(f"an option of {path}", error.option_name, near or shown)
    if kind == "MissingParameter" and parameter is not None:
        return _usage(_named(parameter, context), "nothing", _described(parameter) or shown)
    if kind == "BadParameter" and parameter is not None:
        return _usage(_named(parameter, context), error.message, _choice(error, parameter) or shown)
    if (
        context is not None
        and hasattr(context.command, "list_commands")
        and "command" in (error.message.lower())
    ):
        word = _unknown_word(error.message)
        near = nearest(word, context.command.list_commands(context))
        return _usage(f"a command of {path}", word or "nothing", near or shown)
    extra = re.search(r"unexpected extra arguments?(?:\(s\))? \((.*)\)", error.message)
    seen = extra[1] if extra else error.message or "nothing"
    return _usage(f"words that {path or 'this program'} takes", seen, shown)


def _usage(expected: str, seen: object, hint: str) -> Failure:
    return Failure(Reason.USAGE, expected, str(seen).rstrip("."), hint)


def _unknown_word(message: str) -> str:
    """The word in: No such command 'word'."""
    quoted = re.search(r"'([^']*)'", message)
    return quoted[1] if quoted else ""


def _options(context: Any) -> list[str]:
    known = {o for p in context.command.params for o in (*p.opts, *p.secondary_opts)}
    return sorted(o for o in {*known, *context.help_option_names} if o.startswith("-"))


def _named(parameter: Any, context: Any) -> str:
    """A parameter as it is typed, and the form of its value."""
    values = getattr(parameter.type, "choices", None)
    limits = getattr(parameter.type, "_describe_range", str)()
    form = "|".join(map(str, values)) if values else parameter.make_metavar(ctx=context)
    if parameter.param_type_name == "argument":
        form = str(form).upper()
    else:
        form = f"{max(parameter.opts, key=len)} {form}".strip()
    return f"{form}, {limits}" if limits else form


def _described(parameter: Any) -> str:
    return str(getattr(parameter, "help", None) or "").replace("\\[", "[")


def _choice(error: Any, parameter: Any) -> str:
    values = getattr(parameter.type, "choices", None)
    return nearest(_unknown_word(error.message), map(str, values)) if values else ""
