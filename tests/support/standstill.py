"""A run of tests that stands still says where, and ends: a test that hangs is told by its own
process, and this is for what no test's process can tell, because it was stopped, or is no more.
"""

import faulthandler
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from framegate_simulators.process_readings import children_of

TIMES: Final = 3
"""So many times what one test has before its process ends itself, two tests may end apart."""
DUMP_S: Final = 5.0
"""For the stacks of the processes that are told to end."""


class Standstill:
    """A plugin of pytest's that looks at a run from beside. Where no test ended for `longest_s`,
    `ended` is called once what stands still was told on stderr.
    """

    def __init__(
        self,
        longest_s: float,
        ended: Callable[[], None] = lambda: os._exit(1),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._longest_s, self._ended, self._clock = longest_s, ended, clock
        self._over = threading.Event()
        self._last = clock()
        threading.Thread(target=self._look, name="standstill", daemon=True).start()

    def pytest_runtest_logreport(self) -> None:
        """A test ended."""
        self._last = self._clock()

    def pytest_unconfigure(self) -> None:
        """The run is over."""
        self._over.set()

    def _look(self) -> None:
        while not self._over.wait(max(0.05, self._last + self._longest_s - self._clock())):
            if self._clock() - self._last < self._longest_s:
                continue
            below = sorted(_below(os.getpid()))
            said = "\n".join(_told(pid) for pid in (os.getpid(), *below))
            print(f"no test ended for {self._longest_s:g} s:\n{said}", file=sys.stderr, flush=True)
            faulthandler.dump_traceback(sys.__stderr__)
            for pid in below:  # those that run tests tell their stacks; what is stopped goes on
                for number in (signal.SIGABRT, signal.SIGCONT):
                    _send(pid, number)
            self._over.wait(DUMP_S)
            self._ended()
            return


def _below(pid: int) -> Iterator[int]:
    """Children of a process, and theirs."""
    for child in children_of(pid):
        yield child
        yield from _below(child)


def _told(pid: int) -> str:
    """One line of a process: its state ("T" is stopped, "Z" has ended), what it waits for, what it
    is.
    """
    status = dict(line.split(":\t", 1) for line in _read(Path(f"/proc/{pid}/status")).splitlines())
    of = _read(Path(f"/proc/{pid}/cmdline")).replace("\0", " ")[:120]
    return f"  {pid} {status.get('State', 'gone')}, in {_read(Path(f'/proc/{pid}/wchan'))}: {of}"


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except OSError:
        return
