"""The turn to write, which threads of one process wait for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition, Lock


class Turn:
    """One thread has it at a time. Who is to be first gets it before all others that wait or come;
    among the others no order is kept: one that has just ended may go on, which costs a change of
    threads less.
    """

    def __init__(self) -> None:
        lock = Lock()
        self._first, self._others = Condition(lock), Condition(lock)
        self._taken, self._waiting_first = False, 0

    @contextmanager
    def taken(self, *, first: bool = False) -> Iterator[None]:
        """Within this, it is the caller's."""
        if first:
            self._wait_first()
        else:
            with self._others:
                while self._taken or self._waiting_first:
                    self._others.wait()
                self._taken = True
        try:
            yield
        finally:
            with self._others:
                self._taken = False
                (self._first if self._waiting_first else self._others).notify()

    def _wait_first(self) -> None:
        with self._first:
            self._waiting_first += 1
            try:
                while self._taken:
                    self._first.wait()
            finally:
                self._waiting_first -= 1
            self._taken = True
