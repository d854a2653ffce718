"""What a program that serves tells its service manager (sd_notify(3)): ready, reloading, stopping,
what it does, and that it is alive.

A datagram to the socket that the manager names, in a dozen lines: what is packaged for it is a
binding to a library or has been left alone for years. Started by hand, there is nobody to tell.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

log = logging.getLogger(__name__)
MAX_STATUS: Final = 200
"""Characters of a status: `systemctl status` shows one line."""


@dataclass(frozen=True, slots=True)
class ServiceManager:
    """Whoever started this program. `address` is its socket, empty where there is none; it wants a
    sign of life within each `watchdog_s` seconds, 0 where it wants none.
    """

    address: str = ""
    watchdog_s: float = 0.0

    @classmethod
    def of(cls, environment: Mapping[str, str], pid: int) -> ServiceManager:
        """What `environment` says to the process `pid`. A watchdog that is another process's is
        none of ours; words that are no number are nobody's.
        """
        address = environment.get("NOTIFY_SOCKET", "")
        if not address.startswith(("/", "@")):
            return cls()
        micros = environment.get("WATCHDOG_USEC", "")
        mine = environment.get("WATCHDOG_PID", str(pid)) == str(pid)
        wanted = micros.isascii() and micros.isdigit() and mine
        return cls(address, int(micros) / 1e6 if wanted else 0.0)

    def ready(self, status: str) -> None:
        """It serves: what waits for it may start."""
        self._tell("READY=1", _status(status))

    def status(self, status: str) -> None:
        """What it does, in words."""
        self._tell(_status(status))

    def reloading(self) -> None:
        """It reads its settings again; `ready` ends that."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, status: str) -> None:
        """It was told to end, and finishes what is under way."""
        self._tell("STOPPING=1", _status(status))

    def alive(self) -> None:
        """Its work goes on."""
        self._tell("WATCHDOG=1")

    def _tell(self, *words: str) -> None:
        """A manager that is away, or busy, is no reason to stop working."""
        if not self.address:
            return
        name = f"\0{self.address[1:]}" if self.address.startswith("@") else self.address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
                link.setblocking(False)
                link.sendto("\n".join(words).encode(), name)
        except OSError as error:
            log.info("the service manager was not told: %s", error)


NOBODY: Final = ServiceManager()
"""No service manager: started by hand."""


def service_manager() -> ServiceManager:
    """Whoever started this process, and takes words from it. Its children get none of it: what
    they inherit is chosen in `child_process`.
    """
    return ServiceManager.of(os.environ, os.getpid())


def _status(text: str) -> str:
    """One line: a newline would begin another assignment, and words may be somebody else's."""
    shown = "".join(c if c.isprintable() else "?" for c in text)
    return f"STATUS={shown[:MAX_STATUS]}"
