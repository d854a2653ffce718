"""A browser's requests to an ASGI application in this process: with a cookie jar, as a page of this
origin would make them.
"""

import asyncio
import contextlib
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from urllib.parse import unquote, urlencode, urlsplit

SAME_ORIGIN = {"sec-fetch-site": "same-origin"}
NAVIGATED = {"sec-fetch-site": "none", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    cookies: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass
class Browser:
    """Follows no redirection by itself."""

    app: object
    host: str = "localhost:8090"
    client: str = "127.0.0.1"
    jar: dict[str, str] = field(default_factory=dict)

    async def get(self, path: str, headers: dict[str, str] | None = None, most: int = 0) -> Answer:
        """A page, as somebody types its address; of a stream, `most` pieces."""
        return await self.ask("GET", path, {**NAVIGATED, **(headers or {})}, most=most)

    async def fetch(self, path: str, most: int = 0) -> Answer:
        """What a page of ours asks for by itself."""
        return await self.ask("GET", path, SAME_ORIGIN, most=most)

    async def post(self, path: str, headers: dict[str, str] | None = None, **form: str) -> Answer:
        kind = {"content-type": "application/x-www-form-urlencoded"}
        body = urlencode(form).encode()
        return await self.ask("POST", path, {**SAME_ORIGIN, **kind, **(headers or {})}, body)

    async def ask(self, method, path, headers, body: bytes = b"", most: int = 0) -> Answer:
        parts = urlsplit(path)
        sent = {"host": self.host, **headers}
        if body or method == "POST":
            sent["content-length"] = str(len(body))
        if self.jar and "cookie" not in sent:
            sent["cookie"] = "; ".join(f"{k}={v}" for k, v in self.jar.items())
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(parts.path),
            "raw_path": parts.path.encode(),
            "query_string": parts.query.encode(),
            "root_path": "",
            "headers": [(k.encode(), v.encode()) for k, v in sent.items() if v is not None],
            "client": (self.client, 5000),
            "server": ("127.0.0.1", 8090),
        }
        return await self._run(scope, body, most)

    async def _run(self, scope, body, most) -> Answer:
        started, pieces, over = {}, [], asyncio.Event()
        asked = False

        async def receive():
            nonlocal asked
            if not asked:
                asked = True
                return {"type": "http.request", "body": body, "more_body": False}
            await over.wait()
            return {"type": "http.disconnect"}

        async def send(message):
            if message["type"] == "http.response.start":
                started.update(message)
                return
            pieces.append(message.get("body", b""))
            if most and len([p for p in pieces if p]) >= most:
                over.set()
                task.cancel()
                await asyncio.sleep(0)

        task = asyncio.ensure_future(self.app(scope, receive, send))
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait_for(task, 60)
        return self._answer(started, b"".join(pieces))

    def _answer(self, started, body) -> Answer:
        headers, cookies = {}, {}
        for name, value in started["headers"]:
            if name == b"set-cookie":
                for key, morsel in SimpleCookie(value.decode()).items():
                    cookies[key] = value.decode()
                    if morsel.value and morsel["max-age"] != "0":
                        self.jar[key] = morsel.value
                    else:
                        self.jar.pop(key, None)
            else:
                headers[name.decode().lower()] = value.decode()
        return Answer(started["status"], headers, cookies, body)
