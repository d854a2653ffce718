"""The web console in a real browser, attacked: by a fleet whose every text is hostile, by pages of
other sites, and by a name that was rebound to it (N170, N171, N175).
"""

import time

import pytest

from framegate_console.live import Live
from framegate_console.sessions import COOKIE, Session
from support.accessibility import violations
from support.chromium import ELSEWHERE
from support.hostile_fleet import DEVICE, PAGES, HostileCalls
from support.waiting import until

pytestmark = pytest.mark.plants
CAM = "camera.line-1.cam1"
MORE = ("/policy/explain", f"/lesson/{'ab' * 16}", "/record/5", "/nothing")
"""Pages that such a fleet makes a refusal of, which has its words in it too."""


@pytest.fixture
def hostile(seat):
    """A session before a fleet that is hostile through and through; its cookie's value."""
    expires_ms = int(time.time() * 1000) + 3_600_000
    session = Session("anna", b"", b"k", None, (), expires_ms, "127.0.0.1:1")
    session.live = Live(session, HostileCalls())
    return seat.shown.console.sessions.begin(session, None)


async def signed_in(seat, value: str, width: int = 1280, **more):
    page = await seat.page(width, **more)
    cookie = {"name": COOKIE, "value": value, "url": seat.origin, "secure": True, "httpOnly": True}
    await page.context.add_cookies([{**cookie, "sameSite": "Strict"}])
    return page


@pytest.mark.parametrize(
    ("scheme", "locale"), [("dark", "en-GB"), ("light", "de-DE")], ids=["dark-en", "light-de"]
)
async def test_n170_every_page_of_a_hostile_fleet_is_text_and_shuts_nobody_out(
    seat, hostile, scheme, locale
):
    page = await signed_in(seat, hostile, color_scheme=scheme, locale=locale)
    dialogs = []
    page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    for path in (*PAGES, *MORE):
        await page.goto(seat.origin + path)
        for width in (390, 640, 1280):  # 640: a screen of 1280 at 200 %
            await page.set_viewport_size({"width": width, "height": 900})
            wide = await page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, f"{path} scrolls sideways at {width}: {wide}"
        assert await page.locator("img[src=x], body script, iframe, [onerror]").count() == 0, path
        assert await violations(page) == [], path
        assert page.url.startswith(seat.origin), path
    assert dialogs == [] and seat.complaints == []


async def test_n170_what_comes_later_is_text_too(seat, hostile):
    """What a stream brings is put into a page by its script, and not by the parser."""
    page = await signed_in(seat, hostile)
    for path in ("/", "/cameras", f"/camera/{DEVICE}", "/incidents", "/approvals"):
        await page.goto(seat.origin + path)
        await page.wait_for_selector("#connection[data-state=well]")
        assert "<img src=x" in await page.inner_text("#live")
        assert await page.locator("img[src=x], #live script").count() == 0, path
    assert seat.complaints == []


PAGE = """<!doctype html><title>prizes</title>
<form id=change method=post action="{console}/camera/{cam}/change">
<input name=event value=quarantine><input name=reason value=prize></form>
<form id=signin method=post action="{console}/signin">
<input name=operator value=mallory><input name=password value=x><input name=code value=1></form>
<iframe src="{console}/"></iframe><img src="{console}/picture/{id}/frame.png">
<script src="{console}/verdicts"></script>"""


async def test_n171_a_page_of_another_site_changes_frames_and_reads_nothing(seat):
    """The browser has a session of the console, and a page of somebody else's opened beside it."""
    seat.person("olga", "operator")
    page = await seat.page()
    await seat.sign_in(page, "olga")
    other = await page.context.new_page()
    body = PAGE.format(console=seat.origin, cam=CAM, id="ab" * 32)

    async def theirs(route):
        await route.fulfill(body=body, content_type="text/html")

    at = seat.origin.rpartition(":")[2]
    evil = f"https://{ELSEWHERE}:{at}/prizes"
    await other.route(evil, theirs)
    answered, kept_out = [], []
    other.on("response", lambda answer: answered.append((answer.url, answer.status)))
    other.on("requestfailed", lambda asked: kept_out.append((asked.url, asked.failure)))
    for form in ("change", "signin"):
        await other.goto(evil)
        async with other.expect_navigation():
            await other.evaluate(f"document.getElementById('{form}').submit()")
        assert "asked for by another" in await other.inner_text("body")
    await other.goto(evil)
    parts = ["/", f"/picture/{'ab' * 32}/frame.png", "/verdicts"]
    await until(lambda: {seat.origin + p for p in parts} <= {url for url, _ in kept_out})
    assert all("BLOCKED_BY_RESPONSE" in why for url, why in kept_out if url != evil)
    ours = {(url.removeprefix(seat.origin), n) for url, n in answered if url != evil}
    assert {(f"/camera/{CAM}/change", 403), ("/signin", 403)} <= ours
    assert {status for _, status in ours} == {403}
    fetched = await other.evaluate(
        """async (address) => {
            try { return await (await fetch(address, {credentials: "include"})).text(); }
            catch (error) { return error.name; }
        }""",
        f"{seat.origin}/cameras",
    )
    assert "cam1" not in fetched
    assert seat.walk.entries("quarantine") == []
    await page.reload()
    assert await page.inner_text(".who") == "olga", "and who was signed in still is"


async def test_n175_a_name_that_was_rebound_reaches_nothing(seat):
    """The attacker's page becomes the console's address by name, in a browser that has a session;
    under that name there is neither the session nor an answer.
    """
    seat.person("olga", "operator")
    page = await seat.page()
    await seat.sign_in(page, "olga")
    rebound = seat.origin.replace("console.plant.framegate", ELSEWHERE)
    for path in ("/", "/signin", f"/camera/{CAM}", "/wall", f"/picture/{'ab' * 32}/frame.png"):
        answer = await page.goto(rebound + path)
        assert answer.status == 421 and "cam1" not in await answer.text(), path
        assert "cookie" not in await answer.request.all_headers()
    fetched = await page.evaluate(
        """async () => (await fetch("/signin/key/begin", {
            method: "POST", headers: {"content-type": "application/json"}, body: "{}",
        })).status"""
    )
    assert fetched == 421


async def test_n172_a_browser_that_another_put_a_cookie_into_gets_its_own_session(seat):
    """What a sign-in begins is drawn anew; the planted session is ended, also where it is open."""
    for name in ("mallory", "olga"):
        seat.person(name, "operator")
    theirs, victim = await seat.page(), await seat.page()
    await seat.sign_in(theirs, "mallory")
    planted = await theirs.context.cookies(seat.origin)
    await victim.context.add_cookies(planted)
    await seat.sign_in(victim, "olga")
    kept = {c["name"]: c["value"] for c in await victim.context.cookies(seat.origin)}
    assert kept[COOKIE] != {c["name"]: c["value"] for c in planted}[COOKIE]
    await theirs.wait_for_selector("#signin")
    assert await victim.inner_text(".who") == "olga"
