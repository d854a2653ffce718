"""Names that were looked up once, for a process that can ask no name server any more."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any

from framegate_controller.sinks.credentials import Host
from framegate_controller.sinks.delivery import SinkFailed


class KeptNames:
    """The addresses of a few hosts, as `socket.getaddrinfo` had them; of others it knows none.

    A host that moves is found again when its sink's process is started anew.
    """

    def __init__(self, hosts: Sequence[Host]) -> None:
        """Look them up. Raises SinkFailed for one that has no address."""
        self._kept: dict[tuple[str, int], list[Any]] = {}
        for host in hosts:
            try:
                known = socket.getaddrinfo(host.name, host.port, type=socket.SOCK_STREAM)
            except (OSError, UnicodeError) as error:
                raise SinkFailed(f"no address of {host.name}: {error}") from error
            self._kept[host.name, host.port] = known

    def lookup(
        self,
        host: Any,
        port: Any,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> list[Any]:
        """In place of `socket.getaddrinfo`. Raises socket.gaierror for whom it does not know."""
        name = host.decode() if isinstance(host, bytes) else host
        try:
            known = self._kept[name, int(port)]
        except (KeyError, ValueError, TypeError):
            raise socket.gaierror(socket.EAI_NONAME, f"not looked up: {name}") from None
        return [a for a in known if family in {0, a[0]}]
