"""Who is connected: how many, from where, and who gives way when there are too many."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from framegate.errors import Reason, Refused
from framegate_controller.joinport.limits import (
    MAX_CONNECTIONS,
    MAX_CONNECTIONS_PREFIX,
    PROTECTED_S,
)
from framegate_host.prefixes import prefix_of

log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class Connection:
    """One peer (gRPC's name without a port); `calls` are under way on it, and until
    `protected_until_s` it gives way to nobody.
    """

    peer: str
    prefix: str
    close: Callable[[], None]
    calls: int = 0
    protected_until_s: float = 0.0
    port: int = field(default=0)

    @contextmanager
    def calling(self) -> Iterator[None]:
        """A call is under way."""
        self.calls += 1
        try:
            yield
        finally:
            self.calls -= 1

    def challenged(self, now_s: float) -> None:
        """It waits for a TPM: it got a challenge."""
        self.protected_until_s = now_s + PROTECTED_S

    def waits_for_tpm(self, now_s: float) -> bool:
        """Whether it got a challenge that may yet be answered."""
        return self.protected_until_s > now_s

    def gives_way(self, now_s: float) -> bool:
        """Whether nothing is under way on it."""
        return not self.calls and not self.waits_for_tpm(now_s)

    def answered(self) -> None:
        """Its challenge was answered."""
        self.protected_until_s = 0.0


class Connections:
    """The connections of a port, in the order in which they came."""

    def __init__(self, most: int = MAX_CONNECTIONS, most_prefix: int = MAX_CONNECTIONS_PREFIX):
        self._most, self._most_prefix = most, most_prefix
        self._by_prefix: dict[str, dict[Connection, None]] = {}
        self._by_port: dict[int, Connection] = {}
        self.count = 0
        self.turned_away = 0

    def admit(self, peer: str, close: Callable[[], None], now_s: float) -> Connection | None:
        """A new connection, or none where nobody gives way to it.

        1. of one prefix at most so many: its quietest gives way;
        2. of all together at most so many: the quietest of the prefix that has most quiet ones
           gives way.
        """
        prefix = prefix_of(peer)
        own = self._by_prefix.get(prefix, {})
        if len(own) >= self._most_prefix and not self._evicted(own, now_s):  # 1
            self.turned_away += 1
            return None
        if self.count >= self._most:  # 2
            crowd = max(self._by_prefix.values(), key=lambda group: _quiet(group, now_s))
            if not self._evicted(crowd, now_s):
                self.turned_away += 1
                return None
        connection = Connection(peer, prefix, close)
        self._by_prefix.setdefault(prefix, {})[connection] = None
        self.count += 1
        return connection

    def leave(self, connection: Connection) -> None:
        """It is closed; a second time changes nothing."""
        group = self._by_prefix.get(connection.prefix, {})
        if connection not in group:
            return
        del group[connection]
        self.count -= 1
        if not group:
            del self._by_prefix[connection.prefix]
        if self._by_port.get(connection.port) is connection:
            del self._by_port[connection.port]

    def bind(self, connection: Connection, port: int) -> None:
        """From now on the server sees it come from this port of this host."""
        connection.port = port
        self._by_port[port] = connection

    def at(self, peer: str) -> Connection:
        """The connection that the server calls `peer`. Raises Refused: one that went past us."""
        _, _, port = peer.rpartition(":")
        connection = self._by_port.get(int(port)) if port.isdecimal() else None
        if connection is None:
            raise Refused.of(
                Reason.UNAUTHENTICATED, "a connection through the join port", "another"
            )
        return connection

    def _evicted(self, group: dict[Connection, None], now_s: float) -> bool:
        for each in group:
            if each.gives_way(now_s):
                self.leave(each)
                each.close()
                return True
        return False


def _quiet(group: dict[Connection, None], now_s: float) -> int:
    return sum(each.gives_way(now_s) for each in group)
