"""What is sent to the console: bodies without an end, bodies of many strangers at once (N230), and
values that no page of it sends (N231).
"""

import asyncio
import contextlib
import json
import time
from urllib.parse import quote

import pytest
import uvicorn
from starlette.datastructures import Headers

from framegate.errors import Malformed
from framegate_console.form_numbers import MAX_HOURS, since_ms
from framegate_console.guard import Guard, admission
from framegate_console.live import Live
from framegate_console.server import behind_doors
from framegate_console.sessions import Session
from framegate_console.visit import MAX_OPEN_BODY
from support.asgi import NAVIGATED, SAME_ORIGIN, Browser
from support.console import console_at
from support.hostile_fleet import DEVICE, HostileCalls
from support.waiting import until

ROOT = b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"
FORM = {**SAME_ORIGIN, "content-type": "application/x-www-form-urlencoded"}
JSON = {**SAME_ORIGIN, "content-type": "application/json"}


@pytest.fixture
async def browser(tmp_path):
    """Somebody who is signed in before a console whose controller answers everything."""
    shown = console_at(ROOT, "127.0.0.1:1", "127.0.0.1:1", path=tmp_path / "fleet.json")
    expires_ms = int(time.time() * 1000) + 60_000
    session = Session("anna", b"", b"k", None, (), expires_ms, "127.0.0.1:1")
    session.live = Live(session, HostileCalls())
    browser = shown.signed_in(session)
    browser.calls = session.live.calls
    yield browser
    session.end()


class Takes:
    """An application that takes what is posted, all of it, and counts the bytes."""

    def __init__(self) -> None:
        self.bytes = 0

    async def __call__(self, scope, receive, send):
        more = True
        while more:
            message = await receive()
            self.bytes += len(message.get("body", b""))
            more = message.get("more_body", False)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"taken"})


@pytest.mark.parametrize("length", ["Content-Length: 5\r\n", ""], ids=["beside-a-length", "alone"])
async def test_n230_a_body_in_chunks_is_not_read(length):
    """Chunks go before a length (RFC 9112, 6.3), and have no end that a head could say."""
    app = Takes()
    config = uvicorn.Config(
        Guard(app, ["x"], https=False),
        port=0,
        log_level="critical",
        ws="none",
        lifespan="off",
        http=behind_doors(None),
    )
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext
    task = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    hears, writer = await asyncio.open_connection("127.0.0.1", port)
    head = "".join(f"{k}: {v}\r\n" for k, v in FORM.items())
    writer.write(
        f"POST / HTTP/1.1\r\nHost: x\r\n{head}{length}Transfer-Encoding: chunked\r\n\r\n".encode()
    )
    with contextlib.suppress(OSError):
        for _ in range(64):
            writer.write(b"1000\r\n" + b"a" * 0x1000 + b"\r\n")
            await writer.drain()
    first = await asyncio.wait_for(hears.readline(), 30)
    assert b" 411 " in first and app.bytes == 0
    writer.close()
    server.should_exit = server.force_exit = True
    await task


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("sec-fetch-site", ("same-origin", "cross-site")),
        ("origin", ("http://localhost:8090", "https://evil.example")),
        ("content-type", ("application/json", "text/plain")),
        ("content-length", ("3", "3")),
    ],
)
def test_n230_what_is_judged_is_said_once(name, values):
    """Of two, a proxy or a page may read the other one."""
    sent = {"host": "localhost:8090", **FORM, "content-length": "3"}
    sent.pop(name, None)
    raw = [(k.encode(), v.encode()) for k, v in sent.items()]
    for order in (values, values[::-1]):
        twice = raw + [(name.encode(), v.encode()) for v in order]
        refusal = admission("POST", Headers(raw=twice), frozenset({"localhost:8090"}), "http")
        assert refusal is not None and refusal.status == 400
    once = [*raw, (name.encode(), values[0].encode())]
    assert admission("POST", Headers(raw=once), frozenset({"localhost:8090"}), "http") is None


async def test_n230_what_whoever_comes_posts_is_small(browser):
    stranger = Browser(browser.app)
    for path, kind in (("/signin", FORM), ("/language", FORM), ("/signin/key/begin", JSON)):
        answer = await stranger.ask("POST", path, kind, b"a" * (MAX_OPEN_BODY + 1))
        assert answer.status == 400 and "at most 65536 bytes" in answer.text, path
    # and who is signed in may send more: some paste a policy
    long = "x" * MAX_OPEN_BODY
    answer = await browser.post(f"/camera/{DEVICE}/change", event="quarantine", reason=long)
    assert answer.status == 303 and browser.calls.asked == ["Change"]


@pytest.mark.parametrize(
    "path",
    [
        "/record?hours=999999999999999",
        f"/record?hours={'9' * 5000}",
        f"/record/{'9' * 5000}",
        f"/picture/golden/{'9' * 5000}/drawn-1",
        f"/picture/asked/00000001/{'9' * 5000}",
        "/picture/golden/-1/drawn-1",
        f"/incident/{'9' * 5000}",
        "/camera/%00",
        "/camera/%ED%A0%80",
        "/map?days=99999999999999999999",
        f"/cameras?q={quote('x' * 5000)}%ff%00",
    ],
)
async def test_n231_an_address_that_no_page_leads_to_is_told_in_words(browser, path):
    answer = await browser.ask("GET", path, NAVIGATED)
    assert answer.status < 500 and browser.calls.asked == []


@pytest.mark.parametrize(
    "body",
    [
        b'{"operator": "\\ud800"}',
        b'{"label": "\\udfff", "response": {}, "state": "00"}',
        b'{"operator": "\xed\xa0\x80"}',
        b'{"operator": NaN}',
        b'{"operator": -Infinity}',
        b'{"operator": ' + b"9" * 5000 + b"}",
        b"[" * 50_000,
        b"null",
        b"\xff",
        b"",
    ],
    ids=range(10),
)
async def test_n231_json_that_no_browser_sends_is_told_in_words(browser, body):
    for path in ("/signin/key/begin", "/signin/key", "/me/key/begin", "/me/key/add"):
        answer = await browser.ask("POST", path, JSON, body)
        assert answer.status == 400, path
    assert browser.calls.asked == []


@pytest.mark.parametrize(
    "body", [b"a", b"a=1&a=2", b"\xff=1", b"&".join(b"a%d=1" % n for n in range(65))]
)
async def test_n231_a_form_that_no_browser_sends_is_told_in_words(browser, body):
    paths = (f"/camera/{DEVICE}/change", "/language", "/signin", "/approvals/role")
    for path in (*paths, "/policy/simulate"):
        answer = await browser.ask("POST", path, FORM, body)
        assert answer.status == 400, path
    assert browser.calls.asked == []


async def test_n231_what_is_too_long_ago_is_no_time():
    assert since_ms("1") < since_ms("0") and since_ms(str(MAX_HOURS)) > 0
    for hours in (str(MAX_HOURS + 1), "9" * 15, "9" * 16, "-1", "٣", ""):
        with pytest.raises(Malformed):
            since_ms(hours)


@pytest.mark.parametrize("path", ["/language", "/approvals/role", "/signin/key"])
async def test_n231_whoever_hangs_up_in_the_middle_is_answered_by_nothing(browser, path):
    """No traceback: a stranger would write the log full of them."""
    kind = JSON if path == "/signin/key" else FORM
    scope = {
        "type": "http",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [
            *((k.encode(), v.encode()) for k, v in kind.items()),
            (b"host", b"localhost:8090"),
            (b"content-length", b"9"),
            (b"cookie", "; ".join(f"{k}={v}" for k, v in browser.jar.items()).encode()),
        ],
        "client": ("127.0.0.1", 5000),
    }
    told = iter([{"type": "http.request", "body": b"a", "more_body": True}])
    sent = []

    async def receive():
        return next(told, {"type": "http.disconnect"})

    async def send(message):
        sent.append(message)

    await browser.app(scope, receive, send)
    assert sent[0]["status"] == 400 and browser.calls.asked == []
    assert json.dumps([m.get("body", b"").decode() for m in sent[1:]]) == '[""]'
