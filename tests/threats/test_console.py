"""The web console: stored script, requests of other sites, sessions, a console that is taken over,
guessed addresses, names that are rebound (N170 to N175); gateways whose answers are none (N220).
"""

import asyncio
import base64
import gc
import json
import re
import sys
import time
from dataclasses import replace
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from framegate.access.verbs import Role
from framegate.errors import Reason, Refused, Unavailable
from framegate_console.calls import Calls, Endpoint
from framegate_console.live import Live
from framegate_console.pages import live_page, models
from framegate_console.pages.models import Lesson, LessonFacts
from framegate_console.pages.wall import require_viewer
from framegate_console.sessions import COOKIE, Session
from framegate_console.tries import TRIES
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_simulators.fixtures.access import PASSWORD, add_person, totp_now
from support.asgi import NAVIGATED, SAME_ORIGIN, Browser
from support.console import console_at
from support.hostile_fleet import DEVICE, HOSTILE, MARKUP, PAGES, HostileCalls
from support.paths import ROOT
from support.waiting import until

CAM = "camera.line-1.cam1"
PNG = b"\x89PNG\r\n\x1a\n"
HTTP_UNSEEN = re.compile(r"[\u202a-\u202e\u2066-\u2069\u200b-\u200f\x00-\x08\x0b-\x1f]")


@pytest.fixture
async def hostile(tmp_path):
    """A browser before a console whose fleet is hostile through and through."""
    root = b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"
    shown = console_at(root, "127.0.0.1:1", "127.0.0.1:1", path=tmp_path / "fleet.json")
    session = someone("anna")
    session.live = Live(session, HostileCalls())
    browser = shown.signed_in(session)
    browser.session = session
    yield browser
    session.end()


def someone(name: str) -> Session:
    return Session(name, b"", b"k", None, (), int(time.time() * 1000) + 60_000, "127.0.0.1:1")


@pytest.mark.parametrize("path", PAGES)
async def test_n170_whatever_a_machine_wrote_is_shown_as_text(hostile, path):
    for language in ("en", "de"):
        answer = await hostile.get(path, {"accept-language": language})
        assert answer.status == 200, answer.text[-800:]
        harmless(answer)


@pytest.mark.parametrize("query", ["?q=", "?event=", "?device=", "?actor="])
async def test_n170_what_was_asked_for_is_shown_as_text(hostile, query):
    from urllib.parse import quote

    for path in ("/cameras", "/verdicts", "/record"):
        harmless(await hostile.get(path + query + quote(HOSTILE)))


async def test_n170_what_changes_is_text_too(hostile):
    answer = await hostile.ask("GET", "/live/line", SAME_ORIGIN, most=4)
    assert "text/event-stream" in answer.headers["content-type"] and "data: " in answer.text
    harmless(answer)
    assert all(
        line.split(":")[0] in {"data", "event", "retry", ""} for line in answer.text.split("\n")
    )


async def test_n170_who_is_asked_for_a_factor_again_can_show_a_key_and_goes_on_with_the_same(
    hostile,
):
    """The same fields are sent again, as text, and the page has the script that asks the key."""
    calls = hostile.session.live.calls
    calls.refusals = {
        "Change": Refused.of(Reason.FACTOR_NEEDED, "a factor of the last minutes", "an old one")
    }
    page = await hostile.post(f"/camera/{CAM}/change", event="quarantine", reason=HOSTILE)
    assert page.status == 403 and f'action="/camera/{CAM}/change"' in page.text
    assert 'name="event" value="quarantine"' in page.text and "/keys.js" in page.text
    harmless(page)


class Elements(HTMLParser):
    """Reads a page as a browser does, and finds nothing in it that could run or lead elsewhere."""

    def handle_starttag(self, tag, attrs):
        assert tag not in {"iframe", "object", "embed", "base", "style"}, tag
        for name, value in attrs:
            assert not name.startswith("on") and name != "style", (tag, name)
            if name in {"href", "src", "action"}:
                assert re.match(r"/(?![/\\])|#", value), (tag, name, value)
                path, _, query = value.partition("?")
                assert {".", ".."}.isdisjoint(unquote(path.replace("%2F", "_")).split("/")), value
                assert not query or value.startswith(("/verdicts?", "/live/")), (name, value)


def harmless(answer) -> None:
    """Nothing of a hostile text became an element, an attribute, a script, or steers."""
    assert "<img src=x" not in answer.text and "<script>" not in answer.text
    assert 'onerror="' not in answer.text and "49</" not in answer.text
    assert not HTTP_UNSEEN.search(answer.text)
    nonce = re.search(r"'nonce-([^']+)'", answer.headers["content-security-policy"])[1]
    assert answer.text.count("<script") == answer.text.count(
        f'<script nonce="{nonce}" src="/static/'
    )
    assert MARKUP[:9] not in answer.text
    assert "data-key=" not in answer.text or "/keys.js" in answer.text
    Elements().feed(answer.text)


async def test_n170_a_parts_name_leads_to_no_other_page(hostile):
    """A form of a part's page goes to that part, whatever it is called: not to a camera's masks."""
    for name in (f"..%2Fcamera%2F{CAM}%2Fmasks", "..%2Fsignout", "%2E%2E%2Fsignout", "a%2F..%2Fb"):
        page = await hostile.ask("GET", f"/part/{name}", NAVIGATED)
        assert page.status == 200
        action = re.search(r'<form method="post" action="(/part/[^"]*)" class="learn"', page.text)[
            1
        ]
        assert "/" not in action.removeprefix("/part/") and action.count("/") == 2
        harmless(page)
    # and what is no form of masks asks for none
    hostile.session.live.calls.asked.clear()
    for form in ({}, {"regions": ""}, {"frames": "12", "reason": "a lesson"}):
        answer = await hostile.post(f"/camera/{CAM}/masks", **form)
        assert answer.status in {400, 403}
    assert hostile.session.live.calls.asked == []


async def signed_in(browser, walk, name: str = "nina", *roles: str):
    secret = add_person(walk.store, walk.fleet, name, *(roles or ("viewer", "operator")))
    return await browser.post(
        "/signin", operator=name, password=PASSWORD, code=totp_now(secret), next="/cameras"
    )


async def test_somebody_signs_in_and_sees_the_machines(shown, walk):
    browser = shown.browser()
    first = await browser.get("/cameras")
    assert (first.status, first.headers["location"]) == (303, "/signin?next=%2Fcameras")
    answer = await signed_in(browser, walk)
    assert (answer.status, answer.headers["location"]) == (303, "/cameras")
    cookie = answer.cookies[COOKIE]
    for member in ("Secure", "HttpOnly", "SameSite=strict", "Path=/"):
        assert member in cookie
    assert "Domain" not in cookie and "Max-Age" in cookie
    page = await browser.get("/cameras")
    assert page.status == 200 and "cam1" in page.text and "suspect" in page.text


async def test_who_is_wrong_in_anything_is_not_signed_in(shown, walk):
    secret = add_person(walk.store, walk.fleet, "nina", "viewer")
    for wrong in ("password", "code", "operator"):
        given = {"operator": "nina", "password": PASSWORD, "code": totp_now(secret)}
        browser = shown.browser()
        answer = await browser.post("/signin", **{**given, wrong: "nobody"})
        assert answer.status == 403 and COOKIE not in browser.jar
        assert "nobody" not in answer.text and PASSWORD not in answer.text


async def test_n171_what_another_site_asks_for_changes_nothing(hostile):
    calls = hostile.session.live.calls
    forged = [
        {"sec-fetch-site": "cross-site", "origin": "https://evil.example"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"sec-fetch-site": None},
        {"origin": "null"},
    ]
    for headers in forged:
        for path in (f"/camera/{CAM}/change", "/signout", "/signin", "/approvals/role"):
            answer = await hostile.post(path, headers, event="quarantine", reason="x")
            assert answer.status == 403, (headers, path)
    assert not calls.asked and not hostile.session.ended
    assert (await hostile.post(f"/camera/{CAM}/change", event="quarantine")).status == 303
    assert calls.asked == ["Change"]


async def test_n171_no_page_is_framed_nor_its_parts_taken_by_another_site(hostile):
    for headers in (
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"},
        {"sec-fetch-site": "same-site", "sec-fetch-mode": "cors", "sec-fetch-dest": "empty"},
    ):
        assert (await hostile.ask("GET", "/", headers)).status == 403
    page = await hostile.get("/")
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    assert page.headers["x-frame-options"] == "DENY"


async def test_n171_an_answer_to_somebody_elses_sign_in_signs_nobody_in(hostile):
    """Login CSRF at the provider: the browser has to have begun this very sign-in."""
    state = "ab" * 16
    for jar in ({}, {"__Host-framegate-oidc": "cd" * 16}):
        browser = Browser(hostile.app, jar=dict(jar))
        headers = {**NAVIGATED, "sec-fetch-site": "cross-site"}
        answer = await browser.ask("GET", f"/oidc?state={state}&code=stolen", headers)
        assert answer.status == 403 and COOKIE not in browser.jar


class Guessed:
    """A sign-in desk at which every guess is wrong, and which counts them."""

    def __init__(self):
        self.asked = 0

    async def by_key(self, *_):
        self.asked += 1
        raise Refused.of(Reason.SIGN_IN, "a key's answer", "another")

    by_provider = oidc_begin = by_key


@pytest.mark.parametrize("path", ["/signin/key", "/signin/provider", "/oidc"])
async def test_n172_whoever_guesses_is_stopped_here_and_locks_nobody_out(hostile, path):
    """Every way to sign in is counted by the browser's address, before the controller hears of it:
    it would count them all as this console's.
    """
    desk = hostile.app._app.state.console.desk = Guessed()
    state = "ab" * 16
    browser = Browser(hostile.app, jar={"__Host-framegate-oidc": state})
    for _ in range(TRIES + 3):
        if path == "/oidc":
            answer = await browser.get(f"{path}?state={state}&code=x")
        else:
            kind = {**SAME_ORIGIN, "content-type": "application/json"}
            body = json.dumps({"state": state, "response": {}}).encode()
            form = {**kind, "content-type": "application/x-www-form-urlencoded"}
            given = (form, b"") if path == "/signin/provider" else (kind, body)
            answer = await browser.ask("POST", path, *given)
    assert answer.status == 429 and desk.asked == TRIES
    elsewhere = Browser(hostile.app, client="10.0.0.9", jar=dict(browser.jar))
    if path == "/oidc":
        assert (await elsewhere.get(f"{path}?state={state}&code=x")).status == 403


async def test_n172_no_session_takes_every_connection(hostile, monkeypatch):
    monkeypatch.setattr(live_page, "MAX_STREAMS", 1)
    open_one = asyncio.ensure_future(hostile.fetch("/live/line"))
    live = hostile.session.live
    await until(lambda: live.open_pages)
    assert (await hostile.fetch("/live/cameras")).status == 429
    hostile.session.end()
    await asyncio.wait_for(open_one, 60)


async def test_n172_a_session_that_was_there_before_is_not_gone_on_with(shown, walk):
    """Whoever put their own cookie into a browser does not get into what its user signs in to."""
    planted = shown.as_role(Role.VIEWER)
    victim = shown.browser(jar=dict(planted.jar))
    await signed_in(victim, walk)
    assert victim.jar[COOKIE] != planted.jar[COOKIE]
    assert (await planted.get("/cameras")).status == 303, "the planted one is ended"


async def test_n172_a_session_that_ended_opens_nothing(shown, walk):
    for role, how in (("viewer", "disabled"), ("auditor", "elsewhere"), ("operator", "here")):
        browser, name = shown.as_role(Role(role)), f"the-{role}"
        kept = dict(browser.jar)
        session = shown.console.sessions.of(kept[COOKIE])
        if how == "disabled":
            with walk.store.writing() as tx:
                tx.people.put(replace(tx.people.get(name), enabled=False))
        elif how == "elsewhere":
            walk.sql("UPDATE operator_sessions SET ended_ms = 1 WHERE operator = ?", name)
        else:
            await browser.post("/signout")
        copied = shown.browser(jar=kept)
        for path in ("/cameras", f"/camera/{CAM}", "/record"):
            assert (await copied.get(path)).status == 303, how
        assert (await copied.fetch("/live/line")).status == 401
        assert session.ended and session.key == b""


async def test_n172_a_page_that_is_open_hears_that_its_session_is_over(shown, walk):
    roles = (Role.ENGINEER, Role.AUDITOR, Role.OPERATOR)
    browsers = [shown.as_role(role) for role in roles]
    lives = [shown.console.follow(shown.console.sessions.of(b.jar[COOKIE])) for b in browsers]
    streams = [asyncio.ensure_future(b.fetch("/live/cameras")) for b in browsers]
    await until(lambda: all(live.events for live in lives))  # what they show has come
    with walk.store.writing() as tx:
        tx.people.put(replace(tx.people.get("the-engineer"), enabled=False))
    walk.sql("UPDATE operator_sessions SET ended_ms = 1 WHERE operator = 'the-auditor'")
    await browsers[2].post("/signout")
    for live, answer in zip(
        lives, await asyncio.wait_for(asyncio.gather(*streams), 60), strict=True
    ):
        assert "cam1" in answer.text and answer.text.rstrip().endswith("event: gone\ndata: -")
        assert live.session.ended and live.session.key == b""


async def test_n173_a_console_has_no_more_than_the_sessions_in_it(shown, walk, tmp_path):
    """Neither a key of the fleet, nor a password, nor a key of a session that ended; and what it
    can do for somebody is what they can do.
    """
    viewer = shown.as_role(Role.VIEWER)
    session = shown.console.sessions.of(viewer.jar[COOKIE])
    key = session.key
    refused = await viewer.post(f"/camera/{CAM}/change", event="quarantine", reason="by a viewer")
    assert refused.status == 403 and not walk.entries("quarantine")
    with pytest.raises(Refused) as denied:
        request = pb.ChangeRequest(device=CAM, event="quarantine", reason="taken over")
        await session.live.calls.operator("Change", request)
    assert denied.value.reason in {Reason.POLICY_DENIED}
    await viewer.post("/signout")
    gc.collect()
    assert session.key == b"" and key not in json.dumps(repr(vars(shown.console.sessions))).encode()
    assert not (tmp_path / "fleet.json").exists(), "the console wrote nothing"
    assert "framegate_controller" not in {
        name.partition(".")[0]
        for module in list(sys.modules.values())
        if getattr(module, "__name__", "").startswith("framegate_console")
        for name in _imports(module)
    }


def _imports(module) -> set[str]:
    file = getattr(module, "__file__", None)
    if not file or not file.startswith(str(ROOT)):
        return set()
    return set(re.findall(r"^(?:from|import) ([\w.]+)", Path(file).read_text(), re.MULTILINE))


def test_n173_a_session_in_the_fleets_context_is_not_the_consoles(tmp_path):
    from framegate_console.server import console_of
    from framegate_console.settings import ConsoleSettings

    body = {
        "join_address": "127.0.0.1:1",
        "fleet_address": "127.0.0.1:2",
        "server_name": "controller.plant.framegate",
        "root": "root",
        "operator": "anna",
        "key": "secret",
        "certificate": "chain",
        "expires_ms": 2**60,
    }
    file = tmp_path / "operator.json"
    file.write_text(json.dumps(body))
    file.chmod(0o600)
    console = console_of(ConsoleSettings(context=file))
    assert (console.context.key, console.context.operator) == (b"", "")


@pytest.mark.parametrize(
    "roles", [[], ["operator"], ["viewer", "auditor"], ["viewer@line-1", "admin"]]
)
def test_n173_the_wall_board_is_a_viewer_and_nothing_else(roles):
    with pytest.raises(Refused, match="a viewer and nothing else"):
        require_viewer(roles, "wall")
    require_viewer(["viewer"], "wall")
    require_viewer(["viewer@line-1"], "wall")


async def test_n174_a_guessed_address_opens_nothing_without_a_session(hostile):
    browser = Browser(hostile.app)
    for path in (
        f"/picture/{'ab' * 32}/frame.png",
        f"/picture/{'ab' * 32}/card.png",
        "/picture/asked/00000001/0",
        "/picture/golden/0/drawn-1",
        f"/picture/lesson/{'ab' * 16}",
        "/live/line",
    ):
        for cookie in ({}, {COOKIE: "guessed"}):
            browser.jar = dict(cookie)
            answer = await browser.fetch(path)
            assert answer.status == 401 and answer.body == b"", path
    for path in (f"/verdict/{'ab' * 32}/receipt.json", "/record/0/proof.json", "/root.pem"):
        assert (await browser.get(path)).status == 303, path


async def test_n174_what_one_learnt_nobody_else_gets_by_its_address(hostile):
    models._lessons["ab" * 16] = Lesson(hostile.session, "drawn-1", PNG, LessonFacts(5))
    models._lessons["cd" * 16] = Lesson(someone("olga"), "drawn-1", PNG, LessonFacts(5))
    try:
        assert (await hostile.fetch(f"/picture/lesson/{'ab' * 16}")).body == PNG
        for path in (f"/picture/lesson/{'cd' * 16}", f"/lesson/{'cd' * 16}"):
            assert (await hostile.fetch(path)).status == 404
    finally:
        models._lessons.clear()


async def test_n174_what_is_no_picture_is_not_sent_as_one(hostile):
    """A gateway that lies cannot make the console serve a page of its own from here."""
    models._lessons["ab" * 16] = Lesson(hostile.session, "x", HOSTILE.encode(), LessonFacts(5))
    try:
        answer = await hostile.fetch(f"/picture/lesson/{'ab' * 16}")
        assert answer.status == 403
        harmless(answer)
    finally:
        models._lessons.clear()


@pytest.mark.parametrize("identifier", ["..%2f..%2fetc", "AB" * 32, "ab" * 33, "x", "ab"])
async def test_n174_an_id_is_an_id_and_no_path(hostile, identifier):
    for path in (f"/picture/{identifier}/frame.png", f"/verdict/{identifier}"):
        assert (await hostile.fetch(path)).status in {400, 404}


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8090",
        "127.0.0.1",
        "127.0.0.1.evil.example:8090",
        "",
        "0.0.0.0:8090",
    ],
)
async def test_n175_a_name_that_was_rebound_to_the_console_is_not_answered(hostile, host):
    """The browser keeps the attacker's name in Host, whatever address it stands for now."""
    browser = Browser(hostile.app, host=host, jar=dict(hostile.jar))
    for answer in (
        await browser.get("/"),
        await browser.get("/signin"),
        await browser.fetch("/live/line"),
        await browser.fetch(f"/picture/{'ab' * 32}/frame.png"),
        await browser.post("/signin", operator="a", password="b", code="c"),
    ):
        assert answer.status == 421 and DEVICE not in answer.text and not answer.cookies
    assert DEVICE in (await hostile.get("/")).text


def leaf_of(gateway, fg) -> bytes:
    """A receipt's JSON, of which nothing holds, under the id that is asked for."""
    claims = {"fg": fg, "iat_ms": 1, "cti": "ab" * 32, "iss": gateway}
    return json.dumps({"leaf": base64.b64encode(json.dumps(claims).encode()).decode()}).encode()


@pytest.fixture
def beside_a_liar(hostile, monkeypatch):
    """Two gateways, of which the first tells `lies` of every verdict."""
    calls, liar = hostile.session.live.calls, Endpoint("gateway.line-1.gw1", "127.0.0.1:1")
    lies = {"receipt": b"", "lineage": b""}
    monkeypatch.setattr(calls, "answers", partial(Calls.answers, calls), raising=False)

    async def gateways():
        return [liar] if "alone" in lies else [liar, Endpoint("gateway.line-1.gw2", "127.0.0.1:2")]

    async def rows(at, name, request, most):
        fg = {"outcome": "PASS", "reason": ""}
        told = lies["receipt"] if at == liar else leaf_of(at.device, fg)
        return [pb.ReceiptReply(receipt=told)]

    async def gateway(at, name, request, **_):
        told = lies["lineage"] if at == liar else b'{"kind":"event","event":{"told-by":"gw2"}}'
        return pb.LineageReply(lineage=told)

    for name, work in (("gateways", gateways), ("gateway_rows", rows), ("gateway", gateway)):
        monkeypatch.setattr(calls, name, work, raising=False)
    return hostile, lies


@pytest.mark.parametrize(
    "told", [b"", b"{", b"[1]", b"null", b"\xff", b"[" * 100_000], ids=range(6)
)
async def test_n220_a_gateway_that_tells_no_object_hides_nothing_of_the_others(beside_a_liar, told):
    browser, lies = beside_a_liar
    lies |= {"receipt": told, "lineage": told}
    answer = await browser.get(f"/verdict/{'ab' * 32}")
    assert answer.status == 200 and "told-by" in answer.text


@pytest.mark.parametrize(
    ("receipt", "lineage"),
    [
        (b"{}", {}),
        (b'{"leaf": "%%"}', {}),
        (b'{"leaf": 5}', {}),
        (b'{"leaf": "W10="}', {}),
        (b'{"leaf": "e30="}', {}),
        (leaf_of("gateway.line-1.gw1", 5), {"kind": "verdict", "verdict": {"defects": 7}}),
        (leaf_of("gateway.line-1.gw1", {}), {"kind": "event", "event": 5}),
    ],
    ids=range(7),
)
async def test_n220_what_a_gateway_left_out_is_told_in_words(beside_a_liar, receipt, lineage):
    browser, lies = beside_a_liar
    lies |= {"receipt": receipt, "lineage": json.dumps(lineage).encode(), "alone": b""}
    answer = await browser.get(f"/verdict/{'ab' * 32}")
    assert answer.status in {403, 503}, answer.text[-300:]
    harmless(answer)


@pytest.mark.parametrize(
    "facts",
    ["", "{", "[]", "{}", '{"used":"5"}', '{"used":5,"left_out":3}', '{"used":5,"outline":{}}'],
    ids=range(7),
)
def test_n220_what_was_learnt_is_said_in_its_form_or_not_at_all(facts):
    with pytest.raises(Unavailable):
        LessonFacts.of(facts)
