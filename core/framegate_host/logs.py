"""Where a program's log goes: to standard error, for its service manager to keep."""

from __future__ import annotations

import faulthandler
import logging
import sys
import textwrap
import threading
import traceback
from collections.abc import Mapping
from types import MappingProxyType, TracebackType
from typing import Any, Final

from framegate.redaction import redacted
from framegate_host.printing import printable, say, steerless

_FORMAT: Final = "%(asctime)s %(levelname)s %(message)s"
started: Final = logging.getLogger("framegate.started")
"""For what a program says of its start and of who answers it: told at INFO, verbose or not. It is
no warning, and whoever starts a program wants to read it.
"""
_WITHIN: Final = "  "
_NONE: Mapping[str, int] = MappingProxyType({})


def start_logging(*, verbose: bool, least: Mapping[str, int] = _NONE) -> None:
    """Log warnings and what `started` says, or where `verbose` what goes on; loggers in `least`
    only from there on.

    Credentials of addresses are in no line, in no traceback, and in nothing that a fault nobody
    foresaw is told with; nor is anything that steers a terminal, and what is told of somebody's
    text begins no line (N241).
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Redacting(_FORMAT))
    logging.basicConfig(handlers=[handler])
    set_verbose(verbose)
    started.setLevel(logging.INFO)
    tell_crashes()
    tell_unforeseen()
    for name, level in least.items():
        logging.getLogger(name).setLevel(level)


def tell_crashes() -> None:
    """Have a crash in a library of C (SIGSEGV, SIGBUS, SIGFPE, SIGABRT, SIGILL) say on standard
    error where each thread was. Names of functions and files alone: no value stands in it.
    """
    if sys.__stderr__ is not None:  # a program that was started without one has no log
        faulthandler.enable(file=sys.__stderr__, all_threads=True)


def tell_unforeseen() -> None:
    """Have errors that nobody caught told as everything else is: they quote what they met."""
    sys.excepthook = told_unforeseen
    threading.excepthook = lambda said: told_unforeseen(
        said.exc_type, said.exc_value or said.exc_type(), said.exc_traceback
    )


def set_verbose(verbose: bool) -> None:
    """What goes on is logged from now on, or no longer."""
    logging.getLogger().setLevel(logging.INFO if verbose else logging.WARNING)


class _Redacting(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """As the base class, traceback and all, without credentials."""
        return steerless(redacted(super().format(record)))

    def formatMessage(self, record: logging.LogRecord) -> str:
        """One line, whatever is told in it: what begins a line is ours."""
        return printable(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:
        """Indented: an error's words may have lines of their own."""
        return textwrap.indent(super().formatException(ei), _WITHIN)


def told_unforeseen(
    kind: type[BaseException], error: BaseException, where: TracebackType | None
) -> None:
    """What Python prints of an error that nobody caught, without credentials; what it quotes begins
    no line.
    """
    told = "".join(traceback.format_exception(kind, error, where)).rstrip()
    say(textwrap.indent(told, _WITHIN).removeprefix(_WITHIN))
