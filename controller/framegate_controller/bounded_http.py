"""Asking others' servers over HTTP: within a time, and no more than an answer's bytes.

A server that is slow, or sends without end, costs a thread of its own a while and nothing else.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from framegate_controller.timed_sockets import TimedSocket, Until, connected

TIMEOUT_S: Final = 10.0
"""For any one thing: a connection, TLS, the next bytes of an answer."""
ALL_S: Final = 20.0
"""For a request from its connection to the last byte of its answer, however that comes (N219)."""
MAX_BODY: Final = 1024 * 1024
"""Metadata and key sets are some ten kilobytes."""
MAX_REDIRECTS: Final = 3
"""Each may take its time again; providers redirect once, to a canonical name, or never."""
_CHUNK: Final = 64 * 1024
S = TypeVar("S", bound=requests.Session)


def bounded(session: S, verify: str | bool) -> S:
    """`session`, whose every answer is bounded in time and bytes.

    Whatever passes a bound raises requests.RequestException. `verify` is as requests has it: a CA
    file, or true for the public ones.
    """
    session.verify = verify
    session.max_redirects = MAX_REDIRECTS
    for scheme in ("https://", "http://"):
        session.mount(scheme, _Bounded())
    return session


class _Bounded(HTTPAdapter):
    """Of one session, which one thread uses at a time."""

    def __init__(self) -> None:
        self._until = Until(TIMEOUT_S)
        super().__init__()

    def init_poolmanager(self, *given: Any, **how: Any) -> None:
        """As the base class, with connections that end in time."""
        super().init_poolmanager(*given, **how)
        self.poolmanager.pool_classes_by_scheme = {
            "http": _pool(HTTPConnectionPool, HTTPConnection, self._until),
            "https": _pool(HTTPSConnectionPool, HTTPSConnection, self._until),
        }

    def send(self, request: requests.PreparedRequest, *_: Any, **how: Any) -> requests.Response:
        """As the base class; the body is read before this returns."""
        how.update(timeout=TIMEOUT_S, stream=True)
        self._until.begin(ALL_S)
        response = super().send(request, **how)
        body = bytearray()
        try:
            for chunk in response.iter_content(_CHUNK):
                body += chunk
                if len(body) > MAX_BODY:
                    raise requests.RequestException(f"more than {MAX_BODY} bytes")
        finally:
            response.close()
        response._content = bytes(body)  # where `content` and `json` find what was read
        return response


def _pool(pool: type[Any], connection: type[Any], until: Until) -> type[Any]:
    """A pool of connections that end in time."""

    class Timed(connection):  # type: ignore[misc]
        sock: Any

        def _new_conn(self) -> Any:
            return connected(self._dns_host, self.port, until)

        def connect(self) -> None:
            super().connect()
            self.sock = TimedSocket(self.sock, until)

    return type("TimedPool", (pool,), {"ConnectionCls": Timed})
