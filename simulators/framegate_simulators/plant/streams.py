"""Streams between hosts of a simulated network: what was sent, and when the last of it came."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from framegate_simulators.plant.namespaces import Network

_COUNTED: Final = struct.Struct("!I")
POLL_S: Final = 0.2
CONNECT_S: Final = 2.0
ANYWHERE: Final = (
    (socket.AF_INET, "0.0.0.0"),  # noqa: S104 - of a network of its own
    (socket.AF_INET6, "::"),
)
Clock = Callable[[], float]


@dataclass(slots=True)
class Arrivals:
    """What came of one stream: how many messages, when the last one, and which were missing."""

    count: int = 0
    last_s: float = float("-inf")
    numbers: set[int] = field(default_factory=set)


class Receiver:
    """Listens on a host, on TCP or UDP, and answers each TCP message with a byte, so that packets
    of both directions are under way.
    """

    def __init__(self, network: Network, host: str, port: int, *, kind: str = "tcp") -> None:
        self.arrivals: dict[tuple[str, int], Arrivals] = {}
        self._stopped = threading.Event()
        self._sockets: list[socket.socket] = []
        with network.at(host):
            for family, anywhere in ANYWHERE:
                self._sockets.append(self._listen(family, anywhere, port, kind))
        work = self._accept if kind == "tcp" else self._datagrams
        self._threads = [
            threading.Thread(target=work, args=(s,), daemon=True) for s in self._sockets
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Receiver:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(5)
        for each in self._sockets:
            each.close()

    def of(self, name: tuple[str, int]) -> Arrivals:
        """What came from an address and port."""
        return self.arrivals.setdefault(name, Arrivals())

    def _listen(self, family: int, anywhere: str, port: int, kind: str) -> socket.socket:
        stream = kind == "tcp"
        made = socket.socket(family, socket.SOCK_STREAM if stream else socket.SOCK_DGRAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind((anywhere, port))
        made.settimeout(POLL_S)
        if stream:
            made.listen(512)
        return made

    def _accept(self, listener: socket.socket) -> None:
        while not self._stopped.is_set():
            try:
                connection, name = listener.accept()
            except TimeoutError:
                continue
            reader = threading.Thread(
                target=self._read, args=(connection, (name[0], name[1])), daemon=True
            )
            reader.start()

    def _read(self, connection: socket.socket, name: tuple[str, int]) -> None:
        came = self.of(name)
        connection.settimeout(POLL_S)
        with connection:
            while not self._stopped.is_set():
                try:
                    data = connection.recv(65536)
                except TimeoutError:
                    continue
                except OSError:
                    return
                if not data:
                    return
                came.last_s = time.monotonic()
                came.count += len(data) // _COUNTED.size
                with suppress(OSError):
                    connection.send(b".")

    def _datagrams(self, here: socket.socket) -> None:
        while not self._stopped.is_set():
            try:
                data, name = here.recvfrom(64)
            except TimeoutError:
                continue
            came = self.of((name[0], name[1]))
            came.last_s = time.monotonic()
            came.count += 1
            if len(data) >= _COUNTED.size:
                came.numbers.add(_COUNTED.unpack_from(data)[0])


class Sender:
    """A stream of a host: a message every `every_s` seconds while it runs, 0 for an idle one."""

    def __init__(
        self,
        network: Network,
        host: str,
        to: tuple[str, int],
        *,
        kind: str = "tcp",
        every_s: float = 0.001,
    ) -> None:
        family = socket.AF_INET6 if ":" in to[0] else socket.AF_INET
        stream = kind == "tcp"
        with network.at(host):
            self.socket = socket.socket(family, socket.SOCK_STREAM if stream else socket.SOCK_DGRAM)
        self.socket.settimeout(CONNECT_S)
        self.socket.connect(to)
        name = self.socket.getsockname()
        self.name = (name[0], name[1])
        self.sent = 0
        self.reset = False
        self._every_s, self._stopped = every_s, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        if every_s:
            self.socket.settimeout(POLL_S)
            self._thread.start()

    def __enter__(self) -> Sender:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Send no more."""
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join(5)
        self.socket.close()

    def send(self) -> bool:
        """One message; whether the kernel took it."""
        try:
            self.socket.send(_COUNTED.pack(self.sent))
        except ConnectionError:
            self.reset = True
            return False
        except OSError:
            return False
        self.sent += 1
        return True

    def _run(self) -> None:
        while not self._stopped.is_set():
            self.send()
            if self.reset:
                return
            time.sleep(self._every_s)


def reaches(network: Network, host: str, to: tuple[str, int], within_s: float = 1.0) -> bool:
    """Whether a TCP connection from a host comes about."""
    family = socket.AF_INET6 if ":" in to[0] else socket.AF_INET
    with network.at(host):
        tried = socket.socket(family, socket.SOCK_STREAM)
    tried.settimeout(within_s)
    try:
        tried.connect(to)
    except OSError:
        return False
    finally:
        tried.close()
    return True
