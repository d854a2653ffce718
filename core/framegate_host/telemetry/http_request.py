"""The few bytes of HTTP that a scraper or a probe sends, and what is sent back: no body in, no
second request on a connection.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs

MAX_HEAD: Final = 8 * 1024
"""Bytes of a request's head; Prometheus sends some three hundred."""
_LINE: Final = re.compile(rb"(GET|HEAD) (/[!-~]{0,255}) HTTP/1\.[01]")
_PHRASES: Final = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """What is asked for: a path, names that stand in its query, and the formats that are taken."""

    path: str
    query: frozenset[str]
    accept: str
    head_only: bool


@dataclass(frozen=True, slots=True)
class HttpReply:
    """What is answered."""

    status: int
    body: bytes
    kind: str = "text/plain; charset=utf-8"

    def encoded(self, *, head_only: bool) -> bytes:
        """The reply's bytes; the connection ends behind them."""
        head = (
            f"HTTP/1.1 {self.status} {_PHRASES[self.status]}\r\n"
            f"Content-Type: {self.kind}\r\nContent-Length: {len(self.body)}\r\n"
            "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
            "Connection: close\r\n\r\n"
        ).encode("ascii")
        return head if head_only else head + self.body


def parse_request(head: bytes) -> HttpRequest | None:
    """The request whose head, up to the empty line, is `head`; None where it is none that is
    answered here: another method, a body, a target that is no path, or bytes that are not ASCII.
    """
    first, *fields = head.split(b"\r\n")
    line = _LINE.fullmatch(first)
    if line is None or len(head) > MAX_HEAD or not head.isascii():
        return None
    accept = ""
    for field in fields:
        name, colon, value = field.partition(b":")
        if not field:
            continue
        if not colon or name.lower() in {b"content-length", b"transfer-encoding"}:
            return None
        if name.lower() == b"accept":
            accept = value.strip().decode("ascii")
    path, _, query = line.group(2).decode("ascii").partition("?")
    try:
        names = frozenset(parse_qs(query, keep_blank_values=True, max_num_fields=16))
    except ValueError:
        return None
    return HttpRequest(path, names, accept, line.group(1) == b"HEAD")
