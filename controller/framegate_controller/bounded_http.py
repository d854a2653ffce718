"""Asking others' servers over HTTP: within a time, and no more than an answer's bytes.

A server that is slow, or sends without end, costs a thread of its own a while and nothing else.
"""

from __future__ import annotations

import time
from typing import Any, Final, TypeVar

import requests
from requests.adapters import HTTPAdapter

TIMEOUT_S: Final = 10.0
"""For a connection, for the first byte, and for all of an answer's body."""
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
    def send(self, request: requests.PreparedRequest, *_: Any, **how: Any) -> requests.Response:
        """As the base class; the body is read before this returns."""
        how.update(timeout=TIMEOUT_S, stream=True)
        response = super().send(request, **how)
        end_s, body = time.monotonic() + TIMEOUT_S, bytearray()
        try:
            for chunk in response.iter_content(_CHUNK):
                body += chunk
                if len(body) > MAX_BODY:
                    raise requests.RequestException(f"more than {MAX_BODY} bytes")
                if time.monotonic() > end_s:
                    raise requests.Timeout(f"more than {TIMEOUT_S:g} s for one answer")
        finally:
            response.close()
        response._content = bytes(body)  # where `content` and `json` find what was read
        return response
