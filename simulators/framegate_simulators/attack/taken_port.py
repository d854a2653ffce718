"""N236: the process at the join port of a running controller, taken over: it stands still, and what
is said on its line to the controller is the attacker's, who holds that line when it is gone.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from framegate_controller.joinport.messages import (
    COMPLETE,
    MAX_CALL_BYTES,
    REFUSALS,
    PortCall,
    RefusalReport,
    RefusedStrangers,
)
from framegate_simulators.attack.target import Seen, Target, attempt
from framegate_simulators.plant.processes import PlantError, wait_for
from framegate_simulators.process_readings import children_of, resident_kib

PIDFD_GETFD: Final = 438
CALLS: Final = 120
"""Each as large as evidence can be: fewer than the calls that a port may have under way."""
BEFORE: Final = 20_000
"""Small reports, each of which is a look into the store: what comes behind them waits."""
REPORTS: Final = 200
REPORT_BYTES: Final = 4 * 1024 * 1024
ROOM_KB: Final = 64 * 1024
"""What a controller may grow by meanwhile: what may fly, and what reading it takes."""
WORDS: Final = "nothing happened here"
AGAIN_S: Final = 60.0


@attempt("N236", "the join port's process, taken over: calls and reports as large as it may send")
def n236(t: Target) -> Seen:
    """As root: a process that hides its memory gives its line to nobody else (N244)."""
    try:
        return _said_too_much(t)
    except PermissionError:
        return Seen(True, "nobody but root gets at its line, and none of its words are there")


def _said_too_much(t: Target) -> Seen:
    controller = t.plant.process("controller").pid
    port = _port_of(controller)
    most = [before := resident_kib(controller)]
    with _line_of(port) as line, _watching(lambda: most.append(resident_kib(controller))):
        listening = threading.Thread(target=_swallow, args=(line,), daemon=True)
        listening.start()
        for number in range(BEFORE):
            _say(line, REFUSALS, _report(), number)
        for number in range(REPORTS):
            _say(line, REFUSALS, bytes(REPORT_BYTES), number)
        for number in range(CALLS):
            _say(line, COMPLETE, os.urandom(1024) * (MAX_CALL_BYTES // 1024 - 1), number)
        os.kill(port, signal.SIGKILL)
        wait_for("another process at the join port", lambda: _another(controller, port), AGAIN_S)
    grown_kb = max(most) - before
    log = t.plant.framegate("audit", "list", "-o", "json").stdout
    small, silent = grown_kb < ROOM_KB, WORDS not in log
    return Seen(
        small and silent,
        f"{CALLS} calls of 6 MiB and {REPORTS} reports of 4: the controller grew"
        f" {'by less than' if small else 'BY MORE THAN'} {ROOM_KB // 1024} MiB"
        f" ({grown_kb / 1024:.0f}); {'none of' if silent else 'SOME OF'} its words in the record",
    )


def _report() -> bytes:
    said = RefusedStrangers(reason=WORDS, prefix=WORDS, count=2**64 - 1).marshal()
    return RefusalReport(refused=(said,), version=1).marshal()


def _say(line: socket.socket, method: str, message: bytes, number: int = 0) -> None:
    call = PortCall(number=number, method=method, peer="ipv4:127.0.0.9", message=message).marshal()
    line.sendall(len(call).to_bytes(4, "big") + call)


def _swallow(line: socket.socket) -> None:
    try:
        while line.recv(2**16):
            pass
    except OSError:
        return


def _port_of(controller: int) -> int:
    """The process at its join port, which it started."""
    for child in children_of(controller):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
            if b"framegate_controller.joinport.process" in words:
                return child
    raise PlantError("a process at the join port: none")


def _another(controller: int, before: int) -> bool:
    try:
        return _port_of(controller) != before
    except PlantError:
        return False


@contextmanager
def _line_of(port: int) -> Iterator[socket.socket]:
    """Its end of the line to the controller, while it stands still."""
    words = Path(f"/proc/{port}/cmdline").read_bytes().split(b"\0")
    number = int(words[words.index(b"framegate_controller.joinport.process") + 2])
    os.kill(port, signal.SIGSTOP)
    pidfd = os.pidfd_open(port)
    try:
        taken = ctypes.CDLL(None, use_errno=True).syscall(PIDFD_GETFD, pidfd, number, 0)
        if taken < 0:
            os.kill(port, signal.SIGCONT)
            raise OSError(ctypes.get_errno(), "pidfd_getfd")
    finally:
        os.close(pidfd)
    with socket.socket(fileno=taken) as line:
        line.setblocking(True)  # its owner's event loop said otherwise, and stands still
        yield line


@contextmanager
def _watching(look: Callable[[], object]) -> Iterator[None]:
    """Look ten times a second."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.1):
            look()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
        time.sleep(1.0)  # what was said is read and answered
    finally:
        ended.set()
        watcher.join()
