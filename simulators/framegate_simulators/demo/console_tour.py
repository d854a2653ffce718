"""What a headless browser sees of the console, signed in as people do; pictures kept as files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, ConsoleMessage, Page, ViewportSize, sync_playwright

from framegate_simulators.fixtures.access import PASSWORD, totp_now, wait_for_next_code
from framegate_simulators.plant.browser import chromium
from framegate_simulators.plant.console_plant import ConsolePlant
from framegate_simulators.plant.processes import PlantError

WIDTHS: Final = {"wide": 1280, "middle": 800, "phone": 390}
PATIENCE_MS: Final = 300_000
CHOSEN: Final = 6
"""Good frames that a golden image is learnt from."""
SETTLE_MS: Final = 1_500
"""Pictures of parts arrive after the page; nothing tells when the last one did."""


def sign_in(page: Page, shown: ConsolePlant, name: str) -> None:
    """As somebody types it. A code counts once: where it was used, the next one is waited for."""
    for _ in range(3):
        page.goto(f"{shown.address}/signin")
        page.fill("#operator", name)
        page.fill("#password", PASSWORD)
        page.fill("#code", totp_now(shown.plant.authenticators[name]))
        page.click("#signin button")
        page.wait_for_load_state()
        if "/signin" not in page.url:
            return
        wait_for_next_code()
    raise PlantError(f"{name} could not sign in: {page.inner_text('main')}")


class Tour:
    """Looks at every page of a plant in which things happened; pictures go to `folder`."""

    def __init__(self, shown: ConsolePlant, folder: Path) -> None:
        self._shown, self._folder = shown, folder
        self._count = 0
        self._complaints: list[str] = []

    def run(self) -> int:
        """Take the pictures; how many. Raises PlantError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        shown = self._shown
        request = shown.ask_for_masks()
        with sync_playwright() as playwright:
            browser = chromium(playwright)
            with self._page(browser, "wide") as page:
                page.goto(f"{shown.address}/signin")
                self._keep(page, "signin")
                sign_in(page, shown, "anna")
                page.wait_for_selector(".parts .part", state="attached", timeout=PATIENCE_MS)
                self._keep(page, "line-well")
                shown.hold(shown.cameras[0], "a fork lift hit the mount")
                shown.tamper(shown.cameras[1])
                page.wait_for_selector(".card.s-suspect", timeout=PATIENCE_MS)
                self._pages(page, request)
                self._verify(page)
                self._learn(page)
                state = page.context.storage_state()
            for width in ("middle", "phone"):
                with self._page(browser, width, storage_state=state) as page:
                    self._narrow(page, width)
            for scheme in ("light", "dark"):
                german = {"color_scheme": scheme, "locale": "de-DE", "storage_state": state}
                with self._page(browser, "wide", **german) as page:
                    self._german(page, scheme)
            with self._page(browser, "wide") as page:
                page.goto(f"{shown.address}/wall")
                page.wait_for_selector(".board .card", timeout=PATIENCE_MS)
                self._keep(page, "wall")
            browser.close()
        if self._complaints:
            raise PlantError(f"the browser complains: {self._complaints[:5]}")
        return self._count

    def _pages(self, page: Page, request: str) -> None:
        shown = self._shown
        defect = shown.latest("DEFECT")
        for name, path in (
            ("line", "/"),
            ("camera", "/camera/camera.line-1.cam3"),
            ("cameras", "/cameras"),
            ("gateways", "/gateways"),
            ("verdicts", "/verdicts"),
            ("verdict", f"/verdict/{defect}"),
            ("approvals", "/approvals"),
            ("approval", f"/approval/{request}"),
            ("masks", "/camera/camera.line-1.cam1/masks"),
            ("map", "/map"),
            ("boot", "/camera/camera.line-1.cam3/boot"),
            ("incidents", "/incidents"),
            ("playbooks", "/playbooks"),
            ("rollouts", "/rollouts"),
            ("models", "/models"),
            ("part", "/part/drawn-1"),
            ("record", "/record"),
            ("entry", "/record/3"),
            ("policy", "/policy"),
            ("me", "/me"),
        ):
            page.goto(f"{shown.address}{path}")
            page.wait_for_selector("main h1", state="attached", timeout=PATIENCE_MS)
            self._keep(page, name)

    def _verify(self, page: Page) -> None:
        """The page's own worker verifies the receipt of a defect."""
        page.goto(f"{self._shown.address}/verdict/{self._shown.latest('DEFECT')}")
        page.click("#verify button")
        page.wait_for_selector("#verify .proof:not([hidden])", timeout=PATIENCE_MS)
        self._keep(page, "verified")

    def _learn(self, page: Page) -> None:
        """Good frames are chosen, a golden image is learnt from them, and asked for."""
        shown = self._shown
        page.goto(f"{shown.address}/part/drawn-1")
        good = page.locator(".choice .o-PASS input[type=checkbox]")
        good.first.wait_for(state="attached", timeout=PATIENCE_MS)
        for place in range(min(CHOSEN, good.count())):
            good.nth(place).check()
        page.fill("#why-learn", "the old golden image is of another lot")
        self._keep(page, "part-chosen")
        page.click(".learn .acts button")
        self._prove(page, "h1, .failure")
        page.wait_for_selector("#source", timeout=PATIENCE_MS)
        self._keep(page, "lesson")
        page.fill("#source", "line 1, six good boards")
        page.fill("#why-part", "the old golden image is of another lot")
        page.click("#regions-form button:not([type])")
        self._prove(page, "main h1")
        self._keep(page, "lesson-asked")

    def _prove(self, page: Page, until: str) -> None:
        """The next code of the authenticator, where the console asks for a fresh one."""
        page.wait_for_selector(until, timeout=PATIENCE_MS)
        for _ in range(3):
            if page.locator("#factor_code").count() == 0:
                return
            wait_for_next_code()
            page.fill("#factor_code", totp_now(self._shown.plant.authenticators["anna"]))
            page.click("#factor button")
            page.wait_for_load_state()
        raise PlantError(f"no code of anna's counts: {page.inner_text('main')[:300]}")

    def _narrow(self, page: Page, width: str) -> None:
        for name, path in (
            ("line", "/"),
            ("camera", "/camera/camera.line-1.cam3"),
            ("map", "/map"),
            ("boot", "/camera/camera.line-1.cam3/boot"),
            ("part", "/part/drawn-1"),
            ("approvals", "/approvals"),
            ("verdict", f"/verdict/{self._shown.latest('DEFECT')}"),
        ):
            page.goto(f"{self._shown.address}{path}")
            page.wait_for_selector("main h1", state="attached", timeout=PATIENCE_MS)
            self._keep(page, f"{name}-{width}")

    def _german(self, page: Page, scheme: str) -> None:
        for name, path in (
            ("line", "/"),
            ("camera", "/camera/camera.line-1.cam3"),
            ("map", "/map"),
            ("verdict", f"/verdict/{self._shown.latest('DEFECT')}"),
            ("boot", "/camera/camera.line-1.cam3/boot"),
            ("part", "/part/drawn-1"),
        ):
            page.goto(f"{self._shown.address}{path}")
            page.wait_for_selector("main h1", state="attached", timeout=PATIENCE_MS)
            self._keep(page, f"{name}-de-{scheme}")

    def _heard(self, message: ConsoleMessage) -> None:
        """A policy that was broken, or a script; what a gateway has no picture of is neither."""
        if message.type == "error" and "Failed to load resource" not in message.text:
            self._complaints.append(message.text)

    def _keep(self, page: Page, name: str) -> None:
        page.wait_for_timeout(SETTLE_MS)
        wide, window = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        if wide > window:
            self._complaints.append(f"{name} scrolls sideways: {wide} of {window}")
        page.evaluate("scrollTo(0, 0)")  # the bar stays at a screen's top, in a whole page too
        page.screenshot(path=self._folder / f"{name}.png", full_page=name != "policy")
        self._count += 1

    @contextmanager
    def _page(self, browser: Browser, width: str, **more: Any) -> Iterator[Page]:
        viewport: ViewportSize = {"width": WIDTHS[width], "height": 900}
        context = browser.new_context(
            viewport=viewport, **{"locale": "en-GB", "timezone_id": "Europe/Berlin", **more}
        )
        try:
            page = context.new_page()
            page.set_default_timeout(PATIENCE_MS)
            page.on("console", self._heard)
            page.on("pageerror", lambda error: self._complaints.append(str(error)))
            yield page
        finally:
            context.close()
