"""Who gives way at a port when there are too many connections: whoever has no call under way.

gRPC takes connections by itself, before TLS, and hands out none of them; a front of ours before it
would copy every frame once more. So connections are found among this process's own descriptors, and
one is ended by shutting its socket down, which gRPC takes for its peer's end.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import socket
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from framegate_host.prefixes import address_of, prefix_of, split_peer
from framegate_proto.call_context import Called, PassedContexts

DESCRIPTORS: Final = "/proc/self/fd"
LOOK_S: Final = 0.1
"""Between two looks at how many descriptors there are, which is all of a look on most days."""
CROWDED_S: Final = 0.05
"""Likewise while there are too many: who connects again and again finds no more places than it can
take in so long.
"""


@dataclass(slots=True)
class _Connection:
    """A connected socket of this process: its descriptor and inode, its own port, who is at the
    other end; `since`, the so many-th that was found; `ended` by us, and gRPC lets go of it.
    """

    descriptor: int
    inode: int
    port: int
    peer: str
    since: int
    ended: bool = False


class Crowd:
    """The connections of one port that has so many `places`: of more than `most` those give way
    who have no call under way. Of the event loop alone; `port` is known once the port is open.
    """

    def __init__(self, most: int, places: int) -> None:
        self.most, self._places, self.port = most, places, 0
        self.turned_out = 0
        self._calls = Counter[str]()

    def interceptor(self) -> PassedContexts:
        """Has this know of every call at the port; MUST come after `OutlivingContexts`."""
        return PassedContexts(self._calling)

    @contextmanager
    def _calling(self, context: Any, _what: Called) -> Iterator[Any]:
        peer = _called(context.peer())
        self._calls[peer] += 1
        try:
            yield context
        finally:
            self._calls[peer] -= 1
            if not self._calls[peer]:
                del self._calls[peer]

    def giving_way(self, connections: Sequence[_Connection]) -> list[_Connection]:
        """Those of the port's that have to go, the first to come first.

        1. whoever has a call stays; so do as many others as there may be beside them: up to `most`
           of all, and where they are more half of the places that are left, for whoever comes says
           nothing before its handshake is over;
        2. of the rest the oldest goes, of the network that has most of such.
        """
        there = sorted((c for c in connections if not c.ended), key=lambda c: c.since)
        quiet = dict[str, list[_Connection]]()
        for each in there:
            if not self._calls[each.peer]:
                quiet.setdefault(prefix_of(each.peer), []).append(each)
        silent = sum(map(len, quiet.values()))
        calling = len(there) - silent
        over = silent - max(0, self.most - calling, (self._places - calling) // 2)  # 1
        gone: list[_Connection] = []
        while over > len(gone):  # 2
            most = max(quiet, key=lambda prefix: len(quiet[prefix]))
            gone.append(quiet[most].pop(0))
            if not quiet[most]:
                del quiet[most]
        return gone


class Crowds:
    """All ports of a process. `look` is cheap while it has few descriptors."""

    def __init__(self, crowds: Sequence[Crowd]) -> None:
        self._crowds = tuple(crowds)
        self._known: dict[int, _Connection | None] = {}
        self._found = 0

    def look(self) -> bool:
        """Have those give way who must; whether there are so many that somebody might have to."""
        try:
            with os.scandir(DESCRIPTORS) as entries:
                names = [entry.name for entry in entries]
        except OSError:  # no descriptor is left to look with
            return True
        if len(names) <= min(crowd.most for crowd in self._crowds):
            self._known.clear()
            return False
        self._known = dict(self._sockets(names))
        crowded = [self._made_room(crowd) for crowd in self._crowds]
        return any(crowded)

    async def keep_room(self) -> None:
        """Look forever."""
        wait_s = LOOK_S
        while True:
            await asyncio.sleep(wait_s)
            wait_s = CROWDED_S if self.look() else LOOK_S

    def _sockets(self, names: Sequence[str]) -> Iterator[tuple[int, _Connection | None]]:
        """Every socket of this process by its inode: what is known of it, or is found now; None of
        one that is not connected.
        """
        for name in names:
            with contextlib.suppress(OSError):  # it was closed meanwhile
                about = os.fstat(int(name))
                if not stat.S_ISSOCK(about.st_mode):
                    continue
                if about.st_ino not in self._known:
                    self._found += 1
                    yield about.st_ino, _connected(int(name), about.st_ino, self._found)
                else:
                    yield about.st_ino, self._known[about.st_ino]

    def _made_room(self, crowd: Crowd) -> bool:
        """Whether its port has as many as it may, or more."""
        there = [c for c in self._known.values() if c is not None and c.port == crowd.port]
        for connection in crowd.giving_way(there):
            connection.ended = True
            crowd.turned_out += 1
            with contextlib.suppress(OSError):  # it ended by itself
                _end(connection)
        return len(there) >= crowd.most


def _connected(descriptor: int, inode: int, since: int) -> _Connection | None:
    try:
        with _held(descriptor, inode) as end:
            if end.family not in {socket.AF_INET, socket.AF_INET6}:
                return None
            (host, port), own = end.getpeername()[:2], end.getsockname()[1]
    except OSError:  # it listens, or is gone
        return None
    return _Connection(descriptor, inode, own, _named(host, port), since)


def _end(connection: _Connection) -> None:
    with _held(connection.descriptor, connection.inode) as end:
        end.shutdown(socket.SHUT_RDWR)


@contextmanager
def _held(descriptor: int, inode: int) -> Iterator[socket.socket]:
    """The very socket behind a descriptor that another thread may close meanwhile, by one of our
    own. Raises OSError where it is another by now.
    """
    with socket.socket(fileno=os.dup(descriptor)) as end:
        if os.fstat(end.fileno()).st_ino != inode:
            raise OSError(f"descriptor {descriptor} is another socket by now")
        yield end


def _named(host: str, port: int) -> str:
    """A peer as it is named here, whichever way it was read."""
    address = address_of(host)
    shown = str(address) if isinstance(address, ipaddress.IPv4Address) else f"[{address}]"
    return f"{shown}:{port}"


def _called(peer: str) -> str:
    """gRPC's name of a peer, likewise; as it is where that is no IP address."""
    host, port = split_peer(peer)
    try:
        return _named(host, int(port))
    except ValueError:
        return peer
