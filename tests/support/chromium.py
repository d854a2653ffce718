"""A real browser before a console of its own: Chromium without a screen, the controller of `walk`,
and a console that is served over TLS under the fleet's name.
"""

import asyncio
import base64
import contextlib
import datetime
import hashlib
import shutil
from dataclasses import dataclass, field

import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from framegate.identity.certificates import spki_of
from framegate_console.certificate import server_tls
from framegate_console.server import behind_doors
from framegate_controller.server import Controller
from framegate_controller.settings import ControllerSettings
from framegate_simulators.fixtures.access import PASSWORD, add_person, totp_now
from framegate_simulators.plant.processes import free_port
from support.console import Shown, console_at
from support.founded import found_controller
from support.waiting import until
from support.walk import Walk

CHROMIUM = shutil.which("chromium")
NAME = "console.plant.framegate"
ELSEWHERE = "evil.example"
"""Somebody else's name, which they let stand for the console's address."""
PATIENCE_MS = 60_000
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # what other sites may reach is the console's to say here, and not the browser's
    "--disable-features=LocalNetworkAccessChecks",
)


@dataclass
class Seat:
    """A console in TLS, a controller behind it, and a browser before it."""

    walk: Walk
    shown: Shown
    chromium: object
    origin: str
    secrets: dict[str, str] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)

    async def begin_controller(self, **more) -> None:
        """Another process of the same controller, where the first one was, with `more` settings."""
        before = self.walk.running
        ports = [int(a.rpartition(":")[2]) for a in (before.join_address, before.fleet_address)]
        settings = ControllerSettings(
            state=before.settings.state,
            join_port=ports[0],
            fleet_port=ports[1],
            console=(self.origin,),
            **more,
        )
        running = Controller(settings)
        await running.start()
        self.walk.running, self.walk.store = running, running.store

    def person(self, name: str, *roles: str) -> str:
        self.secrets[name] = add_person(self.walk.store, self.walk.fleet, name, *roles)
        return name

    async def page(self, width: int = 1280, **more):
        """A page in a window of its own; what it complains of is kept."""
        context = await self.chromium.new_context(
            viewport={"width": width, "height": 900}, **{"locale": "en-GB", **more}
        )
        page = await context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        return page

    def _heard(self, message) -> None:
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.complaints.append(message.text)

    async def sign_in(self, page, name: str) -> None:
        await page.goto(f"{self.origin}/signin")
        await page.fill("#operator", name)
        await page.fill("#password", PASSWORD)
        await page.fill("#code", totp_now(self.secrets[name]))
        await page.click("#signin button")
        await page.wait_for_selector(".who")


def certificate(folder) -> str:
    """console.pem and console.key for `NAME`; what Chromium knows its key by."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=7))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir()
    (folder / "console.pem").write_bytes(made.public_bytes(Encoding.PEM))
    form = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "console.key").write_bytes(key.private_bytes(*form))
    return base64.b64encode(hashlib.sha256(spki_of(key.public_key())).digest()).decode()


@contextlib.asynccontextmanager
async def _served(app, port: int, folder):
    config = uvicorn.Config(
        app,
        port=port,
        log_level="error",
        ws="none",
        lifespan="off",
        timeout_graceful_shutdown=1,
        http=behind_doors(server_tls(folder)),
    )
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext
    task = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    yield
    server.should_exit = True
    await task


@pytest.fixture
async def seat(tmp_path):
    """A console, its controller and a browser, of this test alone."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    from playwright.async_api import async_playwright

    port = free_port()
    origin, folder = f"https://{NAME}:{port}", tmp_path / "tls"
    known = certificate(folder)
    fleet = found_controller(tmp_path)
    settings = ControllerSettings(state=tmp_path, join_port=0, fleet_port=0, console=(origin,))
    running = Controller(settings)
    await running.start()
    walk = Walk(running, fleet)
    shown = console_at(
        fleet.root.pem,
        running.join_address,
        running.fleet_address,
        path=tmp_path / "fleet.json",
        name=(f"{NAME}:{port}",),
        listen=f"127.0.0.1:{port}",
        tls=folder,
    )
    rules = f"--host-resolver-rules=MAP {NAME} 127.0.0.1,MAP {ELSEWHERE} 127.0.0.1"
    trusted = f"--ignore-certificate-errors-spki-list={known}"
    async with _served(shown.app, port, folder), async_playwright() as playwright:
        chromium = await playwright.chromium.launch(
            executable_path=CHROMIUM, headless=True, args=[*ARGUMENTS, rules, trusted]
        )
        yield Seat(walk, shown, chromium, origin)
        await chromium.close()
        shown.console.sessions.end_all()
    walk.close()
    await walk.running.stop(0)
