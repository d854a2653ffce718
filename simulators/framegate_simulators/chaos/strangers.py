"""Strangers at a port who say nothing, or very slowly something: half-open connections by the
thousand, slow-loris.
"""

from __future__ import annotations

import contextlib
import random
import socket
import threading
from collections.abc import Iterator, Sequence
from typing import Final

HALF_OPEN: Final = 1_000
SLOW: Final = 60
SLOW_S: Final = 0.3
"""Between two bytes."""
HELLO: Final = bytes.fromhex("160301020001000001fc0303") + bytes(500)
"""The beginning of a TLS ClientHello (RFC 8446, 4.1.2)."""


@contextlib.contextmanager
def half_open(ports: Sequence[int]) -> Iterator[None]:
    """A thousand connections that say nothing, spread over `ports`."""
    held: list[socket.socket] = []
    try:
        for number in range(HALF_OPEN):
            with contextlib.suppress(OSError):  # refused is an answer too
                held.append(socket.create_connection(_at(ports, number), 1.0))
        yield
    finally:
        for one in held:
            one.close()


@contextlib.contextmanager
def slow_loris(ports: Sequence[int], chance: random.Random) -> Iterator[None]:
    """Connections that say a byte now and then, each as if it meant to go on."""
    over = threading.Event()

    def speak() -> None:
        held = []
        for number in range(SLOW):
            with contextlib.suppress(OSError):
                held.append(socket.create_connection(_at(ports, number), 1.0))
        said = 0
        while not over.wait(SLOW_S * chance.random()) and said < len(HELLO):
            for one in held:
                with contextlib.suppress(OSError):
                    one.send(HELLO[said : said + 1])
            said += 1
        for one in held:
            one.close()

    speaker = threading.Thread(target=speak)
    speaker.start()
    try:
        yield
    finally:
        over.set()
        speaker.join()


def _at(ports: Sequence[int], number: int) -> tuple[str, int]:
    return "127.0.0.1", ports[number % len(ports)]
