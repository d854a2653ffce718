"""The processes of a simulated plant: started, watched, ended, and their logs; and how to wait for
them.
"""

from __future__ import annotations

import contextlib
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from framegate_host.private_files import private_folder

BIN: Final = Path(sys.executable).parent
SIM: Final = shlex.quote(str(BIN / "framegate-sim"))
"""As the source `exec:` takes it, which reads words as a shell does: a clone may lie in a folder
with spaces in its name.
"""
STOP_TIMEOUT_S: Final = 20.0
"""A controller's orderly end takes some seconds, on a busy machine more; who is killed instead
leaves what it had to do undone.
"""
UP_S: Final = 120.0
"""A program starts in a second or two; on a machine that runs thirty others it takes its turn."""
DAEMONS: Final = frozenset(f"framegate-{n}" for n in ("controller", "gateway", "agent", "line"))
"""Programs that show metrics."""


class PlantError(RuntimeError):
    """Something of the simulated plant did not come up or did not answer."""


_PORTS: Final = range(18_000, 32_000)
"""Below those that Linux gives to whoever connects (from 32768 on): a port that is kept for a
program which is yet to start, or was killed and starts again, is no other connection's meanwhile.
"""
_PORT_TRIES: Final = 200


def free_port() -> int:
    """A port that was free a moment ago, and that no outgoing connection takes. Raises PlantError
    where there is none.
    """
    for _ in range(_PORT_TRIES):
        port = secrets.choice(_PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            # as servers bind: one that has just ended may be followed at once
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise PlantError("no free port on 127.0.0.1")


def wait_for(
    what: str, look: Callable[[], Any], timeout_s: float = 60.0, every_s: float = 0.05
) -> Any:
    """`look()` as soon as it is true; PlantError naming `what` where it does not become so in
    time.
    """
    end = time.monotonic() + timeout_s
    while True:
        outcome = look()
        if outcome:
            return outcome
        if time.monotonic() > end:
            raise PlantError(f"waited {timeout_s:g} s for {what}")
        time.sleep(every_s)


class Processes:
    """Programs that run beside each other, each by a name and with a log of its own."""

    def __init__(self, logs: Path) -> None:
        self.logs = logs
        private_folder(self.logs)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.metrics: dict[str, int] | None = None
        """Where each daemon shows its metrics, by its name; None: nowhere. Set it to an empty one
        before the first start.
        """

    @property
    def running(self) -> frozenset[str]:
        """Names of the processes that were started and not stopped."""
        return frozenset(self._processes)

    def start(self, name: str, program: str, *argv: object) -> subprocess.Popen[bytes]:
        """Start a process under `name`, its output to a log; a daemon with metrics, where those
        are wanted.
        """
        if self.metrics is not None and program in DAEMONS and argv[:1] == ("run",):
            port = self.metrics.setdefault(name, free_port())
            argv = (*argv, "--metrics", f"127.0.0.1:{port}")
        path = program if "/" in program else str(BIN / program)
        with (self.logs / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [path, *map(str, argv)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._processes[name] = process
        return process

    def stop(self, name: str, how: signal.Signals = signal.SIGTERM) -> None:
        """End a process; SIGKILL follows where it does not listen."""
        process = self._processes.pop(name, None)
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def process(self, name: str) -> subprocess.Popen[bytes]:
        """A running process by name."""
        return self._processes[name]

    def log_tail(self, name: str, lines: int = 15) -> str:
        """The end of a process's log."""
        path = self.logs / f"{name}.log"
        return (
            "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
            if path.exists()
            else ""
        )

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """Add the ends of all logs to a PlantError."""
        try:
            yield
        except PlantError as error:
            tails = "\n".join(
                f"--- {p.stem}\n{self.log_tail(p.stem)}" for p in sorted(self.logs.glob("*.log"))
            )
            raise PlantError(f"{error}\n{tails}") from error

    def wait_until_up(self, name: str, look: Callable[[], bool]) -> None:
        """Wait until `look()` is true; PlantError where the process ends before."""

        def ready() -> bool:
            if self._processes[name].poll() is not None:
                raise PlantError(f"{name} ended: {self.log_tail(name)}")
            return look()

        wait_for(f"{name} to come up", ready, UP_S)

    def stop_all(self) -> None:
        """End every process."""
        for name in list(self._processes):
            self.stop(name)


def answers(port: int) -> bool:
    """Whether something listens on this port of loopback."""
    try:
        socket.create_connection(("127.0.0.1", port), 0.2).close()
    except OSError:
        return False
    return True
