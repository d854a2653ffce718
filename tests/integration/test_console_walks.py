"""Whole ways through the web console in a real browser: at a provider, by a key, by the keyboard
alone, and a receipt that the page verifies by itself.
"""

import base64
import json

import pytest

from framegate_console.pages import verdicts
from framegate_controller.people.operators import add_operator
from framegate_gateway.receipts.lineage import lineage
from framegate_simulators.fixtures.access import PASSWORD, totp_now
from support.accessibility import violations
from support.openid import anna, started_provider
from support.receipts import proved

pytestmark = pytest.mark.plants
CAM = "camera.line-1.cam1"
AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}
MOST_TABS = 90


async def test_somebody_signs_in_at_the_provider_and_comes_back(seat, tmp_path):
    folder = tmp_path / "provider"
    folder.mkdir()
    with started_provider(folder, f"{seat.origin}/oidc") as provider:
        with seat.walk.store.writing() as tx:
            add_operator(tx, anna(provider), by="host")
        await seat.walk.running.stop(0)
        at = {"oidc_issuer": provider["issuer"], "oidc_client_id": "framegate"}
        await seat.begin_controller(**at)
        page = await seat.page()
        await page.goto(f"{seat.origin}/signin")
        await page.click("form[action='/signin/provider'] button")
        await page.click("main a[href^='http']")
        await page.fill("input[name=username]", "anna")
        await page.fill("input[name=password]", "anna of the plant")
        await page.press("input[name=password]", "Enter")
        await page.click("input[name=allow]")
        await page.wait_for_selector(".who:has-text('anna')")
        cookies = {c["name"]: c for c in await page.context.cookies(seat.origin)}
        session = cookies["__Host-framegate"]
        assert session["sameSite"] == "Strict" and session["secure"] and session["httpOnly"]
        assert "__Host-framegate-oidc" not in cookies
        entry = seat.walk.entries("signed-in")[-1]
        assert entry["actor"] == "operator.anna" and "oidc" in str(entry)
        # the answer counts once: whoever saw the address gets nothing by it
        again = await page.goto(f"{seat.origin}/oidc?state={'ab' * 16}&code=stolen")
        assert again.status == 403
    assert seat.complaints == []


async def test_a_dangerous_act_asks_for_the_key_again_and_goes_on(seat):
    seat.person("kim", "security", "auditor")
    seat.person("ines", "viewer")
    page, asker = await seat.page(), await seat.page()
    session = await page.context.new_cdp_session(page)
    await session.send("WebAuthn.enable", {"enableUI": False})
    await session.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})
    await seat.sign_in(page, "kim")
    await page.goto(f"{seat.origin}/me")
    await page.fill("#label", "on my key ring")
    await page.click("button[data-key=add]")
    await page.wait_for_selector("dd:has-text('on my key ring')")
    await seat.sign_in(asker, "ines")
    await asker.goto(f"{seat.origin}/approvals")
    await asker.fill("#why-role", "to mend cam1")
    await asker.click("form[action='/approvals/role'] button")
    await asker.wait_for_selector("text=access.request")

    seat.walk.sql("UPDATE operator_sessions SET factor_ms = 1 WHERE operator = 'kim'")
    await page.goto(f"{seat.origin}/approvals")
    await page.click("li:has-text('ines') a")
    await page.click("button[value=approve]")
    await page.wait_for_selector("#factor")
    assert await violations(page) == []
    (state,) = seat.walk.sql("SELECT state FROM access_requests WHERE requester = 'ines'")
    assert state == ("pending",), "nothing happened so far"
    await page.click("button[data-key=factor]")
    await page.wait_for_selector("#factor", state="detached")
    assert await page.inner_text("h1") == "Approvals", await page.inner_text("main")
    (state,) = seat.walk.sql("SELECT state FROM access_requests WHERE requester = 'ines'")
    assert state == ("approved",)
    assert seat.complaints == []


async def tab_to(page, selector: str) -> None:
    """The Tab key until that has the focus, which is seen on each stop of the way."""
    for _ in range(MOST_TABS):
        await page.keyboard.press("Tab")
        at = await page.evaluate(
            """(selector) => {
                const one = document.activeElement;
                const style = getComputedStyle(one);
                const seen = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
                // seen also means that nothing lies over it (WCAG 2.4.11)
                const box = one.getBoundingClientRect();
                const at = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
                const free = at !== null && (one.contains(at) || at.contains(one));
                const what = one.outerHTML.slice(0, 120);
                return { there: one.matches(selector), seen: seen && free, what };
            }""",
            selector,
        )
        assert at["seen"] or at["what"].startswith("<body"), f"focus is not seen on {at['what']}"
        if at["there"]:
            return
    raise AssertionError(f"the keyboard does not reach {selector}")


async def test_a_camera_is_held_by_the_keyboard_alone(seat):
    seat.person("olga", "operator")
    page = await seat.page()
    await seat.sign_in(page, "olga")
    await page.goto(seat.origin)
    await tab_to(page, "a.skip")
    await page.keyboard.press("Enter")
    assert await page.evaluate("document.activeElement.id") == "main"
    await tab_to(page, f"a[href='/camera/{CAM}']")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("#why-change")
    await tab_to(page, "#why-change")
    await page.keyboard.type("a fork lift hit the mount")
    await tab_to(page, "button[value=quarantine]")
    await page.keyboard.press("Space")
    await page.wait_for_selector(".headed .s-quarantined")
    assert [e["reason"] for e in seat.walk.entries("quarantine")] == ["a fork lift hit the mount"]
    assert seat.complaints == []


async def test_from_signing_in_to_an_approval_by_the_keyboard_alone(seat):
    seat.person("ines", "viewer")
    seat.person("sara", "security")
    asker, page = await seat.page(), await seat.page()
    await seat.sign_in(asker, "ines")
    await asker.goto(f"{seat.origin}/approvals")
    await asker.fill("#why-role", "to mend cam1")
    await asker.click("form[action='/approvals/role'] button")
    await asker.wait_for_selector("text=access.request")
    asked = await asker.locator("main li:has-text('ines') a").get_attribute("href")

    await page.goto(f"{seat.origin}/signin")
    for field, text in (
        ("#operator", "sara"),
        ("#password", PASSWORD),
        ("#code", totp_now(seat.secrets["sara"])),
    ):
        await tab_to(page, field)
        await page.keyboard.type(text)
    await page.keyboard.press("Enter")
    await page.wait_for_selector(".who")
    await tab_to(page, "nav a[href='/approvals']")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("main li a")
    await tab_to(page, f"main li a[href='{asked}']")
    await page.keyboard.press("Enter")
    await page.wait_for_selector("#why-decision")
    await tab_to(page, "#why-decision")
    await page.keyboard.type("cam1 has to be mended")
    await tab_to(page, "button[value=approve]")
    await page.keyboard.press("Space")
    await page.wait_for_selector("h1:has-text('Approvals')")
    (state,) = seat.walk.sql("SELECT state FROM access_requests WHERE requester = 'ines'")
    assert state == ("approved",)
    (entry,) = seat.walk.entries("access-approved")
    assert entry["actor"] == "operator.sara"
    assert seat.complaints == []


@pytest.fixture
async def judged(seat, receipts_desk, monkeypatch):
    """A page that shows a verdict of a gateway that is not there, and what it was given to show: a
    receipt that may be altered, and a root.
    """
    receipts = await proved(receipts_desk)
    shown = {"receipt": receipts[1], "another": receipts[3]}
    name = json.loads(base64.b64decode(receipts[1]["leaf"]))["cti"]

    async def receipt(_visit, _identifier):
        return shown["receipt"]

    async def chain(_visit, identifier, _gateway):
        return lineage(receipts_desk.store, receipts_desk.models.bundle, identifier)

    monkeypatch.setattr(verdicts, "_receipt", receipt)
    monkeypatch.setattr(verdicts, "_lineage", chain)
    seat.person("vito", "viewer")
    page = await seat.page()
    await seat.sign_in(page, "vito")
    seat.shown.console.context.root = receipts_desk.fleet.root.pem
    await page.goto(f"{seat.origin}/verdict/{name}")
    return page, shown


async def said(page) -> tuple[str, list[str]]:
    """(what the page's worker says, the checks that failed)."""
    await page.evaluate("document.querySelector('#verify .proof').hidden = true")
    await page.click("#verify button")
    await page.wait_for_selector("#verify .proof:not([hidden])")
    failed = page.locator("#verify [data-state=failed]")
    names = [await failed.nth(n).get_attribute("data-check") for n in range(await failed.count())]
    return await page.inner_text("#verify .proof"), names


async def test_the_pages_worker_verifies_and_says_what_does_not_hold(seat, judged, tmp_path):
    page, shown = judged
    assert await violations(page) == []
    text, failed = await said(page)
    assert text.startswith("It holds") and failed == []
    assert await violations(page) == [], "also once it is verified"
    for width in (390, 640, 1280):
        await page.set_viewport_size({"width": width, "height": 900})
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
    assert await page.locator("#verify [data-state=held]").count() == 13
    whole = shown["receipt"]
    cases = {
        "batch-path": {**whole, "leaf": shown["another"]["leaf"]},
        "verdict": {**whole, "verdict": shown["another"]["verdict"]},
        "log-path": {**whole, "log": {**whole["log"], "path": [], "index": 0}},
        "camera-path": {**whole, "camera": {**whole["camera"], "path": []}},
        "camera-head": {
            **whole,
            "camera": {**whole["camera"], "signature": shown["another"]["camera"]["head"]},
        },
    }
    for check, altered in cases.items():
        shown["receipt"] = altered
        text, failed = await said(page)
        assert text.startswith("It does not hold") and failed == [check], (check, text)
    shown["receipt"] = {**whole, "camera": None}
    text, failed = await said(page)
    assert text.startswith("What is there holds") and failed == []
    # a root of somebody's own, which is not this fleet's
    shown["receipt"] = whole
    other = tmp_path / "other.pem"
    other.write_bytes(seat.walk.fleet.root.pem)
    await page.set_input_files("#own-root", other)
    text, failed = await said(page)
    assert text.startswith("It does not hold") and failed == ["batch-signer"]
    assert seat.complaints == []


async def test_n170_no_page_makes_a_worker_of_anything_else(seat):
    """The policy of Trusted Types: an address that is not the verifier's makes no worker."""
    seat.person("vito", "viewer")
    page = await seat.page()
    await seat.sign_in(page, "vito")
    tried = await page.evaluate(
        """() => {
            try { new Worker("/static/x/evil.js"); return "made"; } catch (e) { return e.name; }
        }"""
    )
    assert tried == "TypeError"
    seat.complaints.clear()  # the refusal that was provoked
