"""Small answers are sent at once: with Nagle's algorithm (RFC 896) the second of two waits until
the first is acknowledged, which who receives it puts off for 40 ms.

asyncio switches it off for connections that it takes from a socket which says that it is TCP's; one
that Python made as the kernel's choice for a stream says 0. Linux hands on what the listening one
has to those that it accepts.
"""

from __future__ import annotations

import socket


def undelayed(listening: socket.socket) -> socket.socket:
    """`listening`, a TCP socket, whose connections send at once."""
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening
