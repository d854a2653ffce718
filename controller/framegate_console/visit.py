"""One request of a browser: who asks, in which language, and how it is answered."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, quote

from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from framegate.errors import FramegateError, Malformed, Reason, Refused
from framegate_console.calls import Calls
from framegate_console.live import Live
from framegate_console.rendering import rendered
from framegate_console.sessions import COOKIE, Session, Sessions
from framegate_console.settings import ConsoleSettings
from framegate_console.signing_in import SignInDesk
from framegate_console.told_alike import ToldAlike
from framegate_console.tries import Tries
from framegate_console.wording import Words, language_of, words_in
from framegate_operator.contexts import OperatorContext

LANGUAGE_COOKIE: Final = "__Host-framegate-language"
GZIP_LEVEL: Final = 5
"""Level 9 takes twice as long for some percent."""
MAX_OPEN_BODY: Final = 64 * 1024
"""Bytes of a request of whoever comes: a security key's answer has some thousand, and as many
strangers as there may be connections must not fill the memory.
"""
MAX_FIELDS: Final = 64
MAX_FIELD: Final = 256 * 1024
"""Characters of one field: a policy's text; names and reasons are far shorter."""
_STATUS: Final[Mapping[Reason, int]] = {
    Reason.NOT_FOUND: 404,
    Reason.USAGE: 400,
    Reason.UNAVAILABLE: 503,
    Reason.CONFLICT: 409,
    Reason.TOO_MANY_TRIES: 429,
    Reason.LOCKED: 429,
}
_FORBIDDEN: Final = 403
_NOBODY: Final = Response(status_code=400)
"""For whoever hung up before all of their request was here."""


@dataclass(slots=True)
class Console:
    """What the process has: where the fleet is, who is signed in, and the wall board's session."""

    settings: ConsoleSettings
    context: OperatorContext
    desk: SignInDesk
    sessions: Sessions
    tries: Tries = field(default_factory=Tries)
    alike: ToldAlike = field(default_factory=ToldAlike)
    wall: Live | None = None
    wall_problem: str = ""

    @property
    def fleet(self) -> str:
        """The fleet's name."""
        return self.context.server_name.removeprefix("controller.").removesuffix(".framegate")

    def follow(self, session: Session) -> Live:
        """What follows the fleet for `session`, made at its first use."""
        if session.live is None:
            calls = Calls(session, self.context.server_name, self.context.root)
            session.live = Live(session, calls, self.alike)
        live: Live = session.live
        return live


class Visit:
    """One request. `session` is None where nobody is signed in."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.console: Console = request.app.state.console
        self.cookie = request.cookies.get(COOKIE)
        self.session = self.console.sessions.of(self.cookie)
        self.words: Words = words_in(
            language_of(
                request.cookies.get(LANGUAGE_COOKIE, ""),
                request.headers.get("accept-language", ""),
                self.console.settings.language,
            )
        )
        self._form: dict[str, str] | None = None

    @property
    def live(self) -> Live:
        """What follows the fleet for who asks. Raises Refused (SIGNED_OUT)."""
        if self.session is None:
            raise Refused.of(Reason.SIGNED_OUT, "a session", "nobody is signed in")
        return self.console.follow(self.session)

    @property
    def calls(self) -> Calls:
        """The fleet's services under the session of who asks. Raises Refused (SIGNED_OUT)."""
        return self.live.calls

    @property
    def address(self) -> str:
        """Where the browser is."""
        return self.request.client.host if self.request.client else "unknown"

    @property
    def packs(self) -> bool:
        """Whether the browser reads what is packed by gzip."""
        return "gzip" in self.request.headers.get("accept-encoding", "")

    @property
    def here(self) -> str:
        """The address of this request as it came: what was quoted in it still is, so that a form
        that is sent here again goes nowhere else.
        """
        raw: bytes = self.request.scope["raw_path"]
        return raw.partition(b"?")[0].decode("ascii", "replace")

    def path(self, name: str) -> str:
        """A part of the address."""
        return str(self.request.path_params[name])

    def asked(self, name: str) -> str:
        """A member of the address's query; empty where it is not there."""
        return self.request.query_params.get(name, "")[:MAX_FIELD]

    async def form(self) -> Mapping[str, str]:
        """The form's fields, each once. Raises Malformed (USAGE)."""
        if self._form is None:
            self._form = _fields(await self.request.body())
        return self._form

    @property
    def read(self) -> Mapping[str, str] | None:
        """The form's fields where they were read; None where there is no form, or none that is."""
        return self._form

    async def json(self) -> Mapping[str, Any]:
        """The body, an object of texts that can be sent on. Raises Malformed (USAGE)."""
        try:
            body = json.loads(await self.request.body(), parse_constant=_refuse)
            json.dumps(body, ensure_ascii=False).encode()  # no half of a surrogate pair
        except (ValueError, RecursionError) as error:
            raise Malformed.of(Reason.USAGE, "JSON", type(error).__name__) from error
        if not isinstance(body, dict):
            raise Malformed.of(Reason.USAGE, "a JSON object", type(body).__name__)
        return body

    def show(self, body: str, status: int = 200, **members: Any) -> Response:
        """A page around the template `body`. `live` among the members is where its changes come
        from; `forms` a template below it that changes do not touch.
        """
        page = self.rendered("page.html", body=body, **members).encode()
        if not self.packs:
            return HTMLResponse(page, status)
        # no secret stands in a page beside what others wrote, which its length could tell (BREACH)
        headers = {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
        return HTMLResponse(gzip.compress(page, GZIP_LEVEL), status, headers)

    def rendered(self, template: str, **members: Any) -> str:
        """A template with what every page knows."""
        everywhere = {
            "nonce": self.request.scope["nonce"],
            "fleet": self.console.fleet,
            "me": self.session,
            "here": self.here,
            "live": "",
            "forms": "",
            "head": "",
            "title": "",
            "scripts": (),
            "now_ms": int(time.time() * 1000),
        }
        return rendered(template, self.words, {**everywhere, **members})

    def go(self, path: str) -> Response:
        """To another page of ours, by GET."""
        return RedirectResponse(quote(path, safe="/?=&#%:"), 303)


Handler = Callable[[Visit], Awaitable[Response]]


def page(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """A page of somebody who is signed in: whoever is not signs in first, and what is refused is
    told in words.
    """

    async def answer(request: Request) -> Response:
        visit = Visit(request)
        if visit.session is None:
            return _sign_in_first(visit)
        try:
            return await handler(visit)
        except FramegateError as error:
            if visit.session.over:
                return _sign_in_first(visit)
            return told(visit, error)
        except ClientDisconnect:
            return _NOBODY
        finally:
            if request.method == "POST" and visit.session.live is not None:
                visit.session.live.expire()

    return answer


def open_page(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """A page of whoever comes."""

    async def answer(request: Request) -> Response:
        visit = Visit(request)
        try:
            if int(request.headers.get("content-length", 0)) > MAX_OPEN_BODY:
                raise Malformed.of(Reason.USAGE, f"at most {MAX_OPEN_BODY} bytes", "more")
            return await handler(visit)
        except FramegateError as error:
            return told(visit, error)
        except ClientDisconnect:
            return _NOBODY

    return answer


def told(visit: Visit, error: FramegateError) -> Response:
    """What was refused, why, and what to do. Where a fresh second factor is what lacks, the same
    form is shown again with a place for it; where somebody else has to approve, their page is.
    """
    if visit.read is not None and visit.session is not None:
        again = {k: v for k, v in visit.read.items() if not k.startswith("factor_")}
        if error.reason == Reason.FACTOR_NEEDED:
            members = {"again": again, "title": "factor.title", "scripts": ("keys.js",)}
            return visit.show("factor.html", _FORBIDDEN, **members)
        if error.reason == Reason.APPROVAL_NEEDED:
            return visit.show("asked.html", 202, failure=error.failures[0], title="asked.title")
    status = _STATUS.get(error.reason, _FORBIDDEN)
    return visit.show("refused.html", status, failures=error.failures, title="refused.title")


def _sign_in_first(visit: Visit) -> Response:
    visit.console.sessions.end(visit.cookie)
    back = visit.here if visit.request.method == "GET" else "/"
    if back.startswith(("/live/", "/picture/")) or visit.request.headers.get("hx-request"):
        return Response(status_code=401)
    return visit.go(f"/signin?next={quote(back, safe='')}")


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _fields(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            body.decode(),
            keep_blank_values=True,
            strict_parsing=bool(body),
            max_num_fields=MAX_FIELDS,
        )
    except ValueError as error:
        raise Malformed.of(Reason.USAGE, "a form", type(error).__name__) from error
    fields = dict(pairs)
    if len(fields) != len(pairs) or any(len(v) > MAX_FIELD for v in fields.values()):
        raise Malformed.of(Reason.USAGE, "each field once, none too long", "another form")
    return fields
