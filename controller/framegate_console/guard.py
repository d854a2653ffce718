"""What stands before every page: which requests are let in, and what every answer carries.

A console on loopback is reached by every page that the same browser has open, and one in the plant
by every machine there. So nothing is answered that does not name this console as its host, nothing
is changed by a request that another page made, and no answer can be framed, sniffed or scripted.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY: Final = 1024 * 1024
"""Bytes of a request: the largest is a policy that somebody pasted, of some ten thousand."""
READS: Final = frozenset({"GET", "HEAD"})
_ONCE: Final = (
    "sec-fetch-site",
    "sec-fetch-mode",
    "sec-fetch-dest",
    "origin",
    "content-type",
    "content-length",
)
"""Headers that are judged here: of two, another part of a program may read the other one."""
_FORMS: Final = ("application/x-www-form-urlencoded", "application/json")
_FIXED: Final = MappingProxyType(
    {
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        # same-origin and not no-referrer, under which browsers send Origin: null with our own forms
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cross-Origin-Embedder-Policy": "require-corp",
        "Permissions-Policy": (
            "camera=(), microphone=(), geolocation=(), payment=(), usb=(), serial=()"
        ),
    }
)
_POLICY: Final = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; worker-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types htmx verifier"
)
"""Two policies of Trusted Types: that of htmx with its nonce gate, and one that makes nothing but
the address of the page's own worker. Scripts by nonce alone.
"""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not let in: status and a sentence."""

    status: int
    why: str


def admission(method: str, headers: Headers, hosts: frozenset[str], scheme: str) -> Refusal | None:
    """Whether a request may come in; None where it may.

    1. one `Host`, which is a name of this console (DNS rebinding brings others); 2. GET, HEAD or
    POST; 3. the browser says where the request comes from (Fetch Metadata); 4. what another site
    asks for is at most a whole page in a window of its own; 5. what changes something comes from a
    page of this very origin, and 6. its `Origin`, where there is one, is this host's; 7. its body
    is a form or JSON, whose length is said and is at most `MAX_BODY`, and it comes in one piece:
    chunks would be read however many there are; 8. what is judged here is said once.
    """
    host = headers.getlist("host")
    if len(host) != 1 or host[0].lower() not in hosts:  # 1
        return Refusal(421, "this console does not go by that name: framegate-console run --name")
    if any(len(headers.getlist(name)) > 1 for name in _ONCE):  # 8
        return Refusal(400, "each header once")
    if method not in {*READS, "POST"}:  # 2
        return Refusal(405, "GET or POST")
    site = headers.get("sec-fetch-site", "")
    if site not in {"same-origin", "none", "same-site", "cross-site"}:  # 3
        return Refusal(403, "a browser of these years, which says where a request comes from")
    if method in READS:
        page = (
            headers.get("sec-fetch-mode") == "navigate"
            and headers.get("sec-fetch-dest") == "document"
        )
        if site != "same-origin" and not page:  # 4
            return Refusal(403, "asked for by another site")
        return None
    if site != "same-origin":  # 5
        return Refusal(403, "asked for by another site")
    origin = headers.get("origin")
    if origin is not None and origin.lower() != f"{scheme}://{host[0].lower()}":  # 6
        return Refusal(403, "asked for by another origin")
    return _body(headers)


def _body(headers: Headers) -> Refusal | None:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in _FORMS:  # 7
        return Refusal(415, "a form or JSON")
    length = headers.get("content-length", "")
    if "transfer-encoding" in headers or not (
        length.isascii() and length.isdigit() and len(length) <= len(str(MAX_BODY))
    ):
        return Refusal(411, "a body whose length is said")
    return Refusal(413, f"at most {MAX_BODY} bytes") if int(length) > MAX_BODY else None


class Guard:
    """Lets requests in by `admission`, and gives every answer its headers; the page's nonce is in
    `scope["nonce"]`.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str], *, https: bool) -> None:
        self._app, self._hosts, self._https = app, frozenset(hosts), https

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI. WebSockets are not spoken here."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        nonce = scope["nonce"] = secrets.token_urlsafe(16)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_FIXED)
                headers["Content-Security-Policy"] = _POLICY.format(nonce=nonce)
                if "cache-control" not in headers:
                    headers["Cache-Control"] = "no-store"
                if self._https:
                    headers["Strict-Transport-Security"] = "max-age=31536000"
            await send(message)

        scheme = "https" if self._https else "http"
        refusal = admission(scope["method"], Headers(scope=scope), self._hosts, scheme)
        if refusal is not None:
            await PlainTextResponse(refusal.why, refusal.status)(scope, receive, answer)
            return
        await self._app(scope, receive, answer)
