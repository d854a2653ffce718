"""Where a program's log goes: to standard error, for its service manager to keep."""

from __future__ import annotations

import faulthandler
import logging
import sys
import threading
import traceback
from collections.abc import Mapping
from types import MappingProxyType, TracebackType
from typing import Final

from framegate.redaction import redacted

_FORMAT: Final = "%(asctime)s %(levelname)s %(message)s"
started: Final = logging.getLogger("framegate.started")
"""For what a program says of its start and of who answers it: told at INFO, verbose or not. It is
no warning, and whoever starts a program wants to read it.
"""
_NONE: Mapping[str, int] = MappingProxyType({})


def start_logging(*, verbose: bool, least: Mapping[str, int] = _NONE) -> None:
    """Log warnings and what `started` says, or where `verbose` what goes on; loggers in `least`
    only from there on.

    Credentials of addresses are in no line, in no traceback, and in nothing that a fault nobody
    foresaw is told with.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Redacting(_FORMAT))
    logging.basicConfig(handlers=[handler])
    set_verbose(verbose)
    started.setLevel(logging.INFO)
    tell_crashes()
    sys.excepthook = _unforeseen
    threading.excepthook = lambda said: _unforeseen(
        said.exc_type, said.exc_value or said.exc_type(), said.exc_traceback
    )
    for name, level in least.items():
        logging.getLogger(name).setLevel(level)


def tell_crashes() -> None:
    """Have a crash in a library of C (SIGSEGV, SIGBUS, SIGFPE, SIGABRT, SIGILL) say on standard
    error where each thread was. Names of functions and files alone: no value stands in it.
    """
    if sys.__stderr__ is not None:  # a program that was started without one has no log
        faulthandler.enable(file=sys.__stderr__, all_threads=True)


def set_verbose(verbose: bool) -> None:
    """What goes on is logged from now on, or no longer."""
    logging.getLogger().setLevel(logging.INFO if verbose else logging.WARNING)


class _Redacting(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """As the base class, traceback and all, without credentials."""
        return redacted(super().format(record))


def _unforeseen(
    kind: type[BaseException], error: BaseException, where: TracebackType | None
) -> None:
    """What Python prints of an error that nobody caught, without credentials."""
    sys.stderr.write(redacted("".join(traceback.format_exception(kind, error, where))))
