"""Which requests are let in, and what every answer carries."""

import re

import pytest
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse

from framegate_console.guard import MAX_BODY, Guard, admission
from support.asgi import NAVIGATED, Browser

HOSTS = frozenset({"localhost:8090", "console.plant.framegate"})
FORM = {
    "host": "localhost:8090",
    "sec-fetch-site": "same-origin",
    "origin": "http://localhost:8090",
    "content-type": "application/x-www-form-urlencoded",
    "content-length": "3",
}
PAGE = {"host": "localhost:8090", **NAVIGATED}


def status(method: str, headers: dict[str, str]) -> int | None:
    refusal = admission(method, Headers(headers), HOSTS, "http")
    return refusal.status if refusal is not None else None


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("GET", PAGE),
        ("HEAD", PAGE),
        ("GET", {"host": "LOCALHOST:8090", "sec-fetch-site": "same-origin"}),
        ("GET", {**PAGE, "sec-fetch-site": "cross-site"}),
        ("POST", FORM),
        ("POST", {k: v for k, v in FORM.items() if k != "origin"}),
        ("POST", {**FORM, "content-type": "application/json; charset=utf-8"}),
        ("POST", {**FORM, "content-length": str(MAX_BODY)}),
    ],
)
def test_a_page_of_this_console_comes_in(method, headers):
    assert status(method, headers) is None


@pytest.mark.parametrize(
    ("refused", "method", "headers"),
    [
        (421, "GET", {**PAGE, "host": "evil.example"}),
        (421, "GET", {**PAGE, "host": "localhost"}),
        (421, "GET", {**PAGE, "host": "localhost:8091"}),
        (421, "GET", {**PAGE, "host": "console.plant.framegate.evil.example"}),
        (421, "GET", {k: v for k, v in PAGE.items() if k != "host"}),
        (405, "PUT", FORM),
        (405, "DELETE", FORM),
        (405, "OPTIONS", FORM),
        (403, "GET", {"host": "localhost:8090"}),
        (403, "GET", {**PAGE, "sec-fetch-site": "elsewhere"}),
        (403, "GET", {"host": "localhost:8090", "sec-fetch-site": "cross-site"}),
        (403, "GET", {**PAGE, "sec-fetch-site": "cross-site", "sec-fetch-dest": "iframe"}),
        (403, "GET", {**PAGE, "sec-fetch-site": "cross-site", "sec-fetch-dest": "image"}),
        (403, "GET", {**PAGE, "sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}),
        (403, "GET", {"host": "localhost:8090", "sec-fetch-site": "same-site"}),
        (403, "POST", {**FORM, "sec-fetch-site": "cross-site"}),
        (403, "POST", {**FORM, "sec-fetch-site": "same-site"}),
        (403, "POST", {**FORM, "sec-fetch-site": "none"}),
        (403, "POST", {**FORM, "origin": "null"}),
        (403, "POST", {**FORM, "origin": "https://localhost:8090"}),
        (403, "POST", {**FORM, "origin": "http://localhost:9999"}),
        (415, "POST", {**FORM, "content-type": "text/plain"}),
        (415, "POST", {**FORM, "content-type": "multipart/form-data; boundary=x"}),
        (415, "POST", {k: v for k, v in FORM.items() if k != "content-type"}),
        (411, "POST", {k: v for k, v in FORM.items() if k != "content-length"}),
        (411, "POST", {**FORM, "content-length": "-1"}),
        (411, "POST", {**FORM, "content-length": "9" * 30}),
        (413, "POST", {**FORM, "content-length": str(MAX_BODY + 1)}),
    ],
)
def test_everything_else_does_not(refused, method, headers):
    assert status(method, headers) == refused


def test_two_hosts_are_none():
    raw = [(b"host", b"localhost:8090"), (b"host", b"evil.example"), (b"sec-fetch-site", b"none")]
    refusal = admission("GET", Headers(raw=raw), HOSTS, "http")
    assert refusal is not None and refusal.status == 421


@pytest.mark.parametrize("host", ["localhost:8090", "evil.example"])
@pytest.mark.parametrize("https", [False, True])
async def test_every_answer_carries_its_headers_also_one_that_is_refused(host, https):
    guarded = Guard(PlainTextResponse("fine"), HOSTS, https=https)
    first, second = [await Browser(guarded, host=host).get("/") for _ in range(2)]
    policy = first.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    assert "require-trusted-types-for 'script'" in policy and "unsafe" not in policy
    assert first.headers["x-content-type-options"] == "nosniff"
    assert first.headers["cross-origin-opener-policy"] == "same-origin"
    assert first.headers["cache-control"] == "no-store"
    assert ("strict-transport-security" in first.headers) == https
    nonces = [
        re.search(r"'nonce-([^']+)'", a.headers["content-security-policy"])[1]
        for a in (first, second)
    ]
    assert nonces[0] != nonces[1] and len(nonces[0]) >= 22
