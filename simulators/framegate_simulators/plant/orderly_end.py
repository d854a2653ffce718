"""Ending in order when told to: a plant that is stopped stops what it started."""

from __future__ import annotations

import signal
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final, Self

from framegate_host.programs import EXIT_INTERRUPTED
from framegate_simulators.plant.processes import PlantError

_SIGNALS: Final = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def ends_in_order() -> Iterator[None]:
    """Within this, SIGTERM and SIGHUP end the program as an exit does, by every `finally`, with
    128 and the signal's number; a second one while that goes on is passed over. What somebody set
    for a signal stays, and outside the main thread nothing is changed.
    """
    changed: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            if signal.getsignal(number) == signal.SIG_DFL:
                changed[number] = signal.signal(number, _exits(number))
    try:
        yield
    finally:
        for number, before in changed.items():
            signal.signal(number, before)


class EndsInOrder(ABC):
    """A context manager that is closed when it is left, also where the program is told to end."""

    @abstractmethod
    def close(self) -> None:
        """End all that was started."""

    def __enter__(self) -> Self:
        self._ends = ExitStack()
        self._ends.enter_context(ends_in_order())
        self._ends.callback(self.close)
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.close()


def _exits(number: int) -> Callable[[int, Any], None]:
    def exits(_number: int, _frame: Any) -> None:
        signal.signal(number, signal.SIG_IGN)
        raise SystemExit(128 + number)

    return exits


def run_to_its_end(main: Callable[[], None]) -> None:
    """Run a program's `main`; Ctrl-C ends it by every `finally`, as somebody wanted it, with no
    traceback and the exit code that shells give one. What a plant did not do ends it in its words.
    """
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit(EXIT_INTERRUPTED) from None
    except PlantError as error:
        raise SystemExit(str(error)) from error
