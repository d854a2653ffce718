"""The turn to write, which threads of one process wait for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Lock


class Turn:
    """One thread has it at a time. Who is to be first gets it before all others that wait or come;
    among the others it goes as a lock gives it: with a condition, whose waiters a thread that goes
    on overtakes, one of four waited 13 s where each wrote all the time.
    """

    def __init__(self) -> None:
        self._lock, self._counting = Lock(), Lock()
        self._waiting_first, self._nobody_first = 0, Event()
        self._nobody_first.set()

    @contextmanager
    def taken(self, *, first: bool = False) -> Iterator[None]:
        """Within this, it is the caller's."""
        if first:
            self._wait_first()
        else:
            self._wait()
        try:
            yield
        finally:
            self._lock.release()

    def _wait(self) -> None:
        while True:
            if self._waiting_first:
                self._nobody_first.wait()
            self._lock.acquire()
            if not self._waiting_first:
                return
            self._lock.release()  # one that waited with us, and goes before us

    def _wait_first(self) -> None:
        with self._counting:
            self._waiting_first += 1
            self._nobody_first.clear()
        try:
            self._lock.acquire()
        finally:
            with self._counting:
                self._waiting_first -= 1
                if not self._waiting_first:
                    self._nobody_first.set()
