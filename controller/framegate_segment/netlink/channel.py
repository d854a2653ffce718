"""A netlink socket of this network namespace, asked and answered."""

from __future__ import annotations

import errno
import itertools
import os
import socket
from collections.abc import Iterator, Sequence
from typing import Final

from framegate.errors import Reason, Refused, Unavailable
from framegate_segment.netlink.codec import DONE, ERROR, Message, messages

NETLINK_NETFILTER: Final = 12
_SOL_NETLINK: Final = 270
_ADD_MEMBERSHIP: Final = 1
_NO_ENOBUFS: Final = 5
KERNEL: Final = 0
"""Its port id; every program has another."""
READ_BYTES: Final = 1 << 20
"""The kernel fills at most 32 KiB a read of a dump; events come many in one."""
BUFFER_BYTES: Final = 4 << 20
"""What waits for a reader: some ten thousand logged packets."""
TIMEOUT_S: Final = 5.0
"""The kernel answers within microseconds, or holds a lock somebody else has."""


class Channel:
    """One socket; a request at a time. `port_id` is what the kernel names it by in events."""

    def __init__(self, *groups: int, lossy: bool = False) -> None:
        """Raises Unavailable: no netfilter here, or no right to it."""
        try:
            self.socket = socket.socket(
                socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER
            )
            self.socket.bind((0, 0))
            for group in groups:
                self.socket.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
            if lossy:
                self.socket.setsockopt(_SOL_NETLINK, _NO_ENOBUFS, 1)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        except OSError as error:
            raise _unavailable(error) from error
        self.socket.settimeout(TIMEOUT_S)
        self.port_id: int = self.socket.getsockname()[0]
        self._sequence = itertools.count(1)

    def next_sequence(self) -> int:
        """A number for the next message."""
        return next(self._sequence) & 0xFFFFFFFF

    def commit(self, data: bytes, last: int) -> None:
        """Send a batch or a request and await the acknowledgement of `last`. Raises Refused with
        the kernel's word, after which nothing of it holds.
        """
        self._send(data)
        while True:
            for reply in self._read():
                if reply.kind == ERROR and reply.error:
                    raise refused(reply.error)
                if reply.kind == ERROR and reply.sequence == last:
                    return

    def dump(self, data: bytes, sequence: int) -> Iterator[Message]:
        """Everything that a dump request is answered with. Raises Refused."""
        self._send(data)
        while True:
            for reply in self._read():
                if reply.sequence != sequence:
                    continue
                if reply.kind == DONE:
                    return
                if reply.kind == ERROR:
                    raise refused(reply.error)
                yield reply

    def events(self) -> Sequence[Message]:
        """What came by itself; nothing where nothing is there. Raises OSError (ENOBUFS) where the
        kernel had to leave some out.
        """
        self.socket.settimeout(0)
        try:
            return tuple(messages(self._received()))
        except BlockingIOError:
            return ()
        finally:
            self.socket.settimeout(TIMEOUT_S)

    def close(self) -> None:
        """Let go of it."""
        self.socket.close()

    def _send(self, data: bytes) -> None:
        try:
            self.socket.sendto(data, (0, 0))
        except OSError as error:
            raise _unavailable(error) from error

    def _received(self) -> bytes:
        """What the kernel sent next. Programs can send to this socket as well (N193)."""
        while True:
            data, (sender, _) = self.socket.recvfrom(READ_BYTES)
            if sender == KERNEL:
                return bytes(data)

    def _read(self) -> list[Message]:
        try:
            return list(messages(self._received()))
        except OSError as error:
            raise _unavailable(error) from error


def refused(code: int) -> Refused:
    """The kernel's no."""
    name = errno.errorcode.get(code, str(code))
    hint = "CAP_NET_ADMIN in this network namespace" if code == errno.EPERM else ""
    expected = "a change that the kernel's packet filter takes"
    return KernelRefused.of(Reason.SEGMENT, expected, f"{name}: {os.strerror(code)}", hint)


class KernelRefused(Refused):
    """The packet filter took nothing of a batch."""


def _unavailable(error: OSError) -> Unavailable:
    expected = "the kernel's packet filter, and CAP_NET_ADMIN"
    return Unavailable.of(Reason.UNAVAILABLE, expected, error.strerror or error)
