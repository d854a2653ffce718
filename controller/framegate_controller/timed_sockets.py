"""Sockets to others' servers that end at one moment, whatever comes meanwhile.

A socket's own timeout begins anew with every byte: a server that sends one now and then holds
whoever reads for days (N219).
"""

from __future__ import annotations

import io
import socket
import time
from typing import Any, Final, cast

_NODELAY: Final = (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class Until:
    """How long is left. `begin` may be called again, for the next request."""

    def __init__(self, silence_s: float) -> None:
        """No part of it waits longer than `silence_s` for the other side to say anything."""
        self._silence_s, self._end_s = silence_s, 0.0

    def begin(self, seconds: float) -> None:
        """So much from now on."""
        self._end_s = time.monotonic() + seconds

    def left_s(self) -> float:
        """For what waits next. Raises TimeoutError where the time is over."""
        left = self._end_s - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time for the whole of it is over")
        return min(left, self._silence_s)


def connected(host: str, port: int, until: Until) -> socket.socket:
    """A TCP connection to one of the addresses of `host`, all tried within the one time. Raises
    OSError.
    """
    failed: OSError = OSError(f"no address of {host}")
    for family, kind, protocol, _, address in socket.getaddrinfo(
        host.strip("[]"), port, type=socket.SOCK_STREAM
    ):
        bare = None
        try:
            bare = socket.socket(family, kind, protocol)
            bare.setsockopt(*_NODELAY)
            bare.settimeout(until.left_s())
            bare.connect(address)
        except OSError as error:
            failed = error
            if bare is not None:
                bare.close()
        else:
            bare.settimeout(until.left_s())  # TLS takes it for the whole of its handshake
            return bare
    raise failed


class TimedSocket:
    """A connected socket, TLS or not, as `http.client` uses one. Reading and writing raise
    TimeoutError once `until` is over.
    """

    def __init__(self, bare: socket.socket, until: Until) -> None:
        self._bare, self._until = bare, until

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bare, name)

    def makefile(self, *_: Any, **__: Any) -> io.BufferedReader:
        """For reading."""
        raw = cast(io.RawIOBase, self._bare.makefile("rb", 0))
        return io.BufferedReader(_Timed(self._bare, raw, self._until))

    def sendall(self, data: Any, flags: int = 0) -> None:
        """See `socket.sendall`."""
        self._bare.settimeout(self._until.left_s())
        self._bare.sendall(data, flags)


class _Timed(io.RawIOBase):
    """`raw`, the socket's own file, which keeps the socket open while somebody reads."""

    def __init__(self, bare: socket.socket, raw: io.RawIOBase, until: Until) -> None:
        self._bare, self._raw, self._until = bare, raw, until

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._bare.settimeout(self._until.left_s())
        return cast("int | None", self._raw.readinto(buffer))

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()
