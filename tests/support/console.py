"""The web console in this process: over a controller that runs, or over made up answers."""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.access.verbs import Role
from framegate_console.app import application
from framegate_console.sessions import COOKIE, Session, Sessions
from framegate_console.settings import ConsoleSettings
from framegate_console.signing_in import SignInDesk
from framegate_console.visit import Console
from framegate_operator.contexts import OperatorContext
from framegate_simulators.fixtures.access import signed_in
from support.asgi import Browser

LIFE_MS = 3_600_000


@dataclass
class Shown:
    """A console, and browsers before it."""

    console: Console
    app: object

    def browser(self, **more) -> Browser:
        return Browser(self.app, **more)

    def signed_in(self, session: Session, **more) -> Browser:
        """A browser with `session`, as if it had signed in here."""
        browser = self.browser(**more)
        browser.jar[COOKIE] = self.console.sessions.begin(session, None)
        return browser


def console_at(root_pem: bytes, join: str, fleet: str, *, path: Path, **settings) -> Shown:
    context = OperatorContext(path, join, fleet, "controller.plant.framegate", root_pem)
    chosen = ConsoleSettings(context=path, **settings)
    console = Console(chosen, context, SignInDesk(context), Sessions(chosen.sessions))
    return Shown(console, application(console))


def session_of(name, pair, root, authorities, fleet, *, expires_ms) -> Session:
    """A session with a key and chain that are there already."""
    key, chain = pair
    return Session(
        name,
        chain,
        key,
        x509.load_pem_x509_certificate(root),
        tuple(map(x509.load_der_x509_certificate, authorities)),
        expires_ms,
        fleet,
    )


def wall_context(walk, file: Path, *roles: str) -> Path:
    """The context of somebody called `wall` with these roles, who is signed in."""
    key, chain = signed_in(walk.store, walk.fleet, "wall", *roles)
    authorities = map(x509.load_der_x509_certificate, walk.fleet.authorities)
    OperatorContext(
        file,
        walk.running.join_address,
        walk.running.fleet_address,
        "controller.plant.framegate",
        walk.fleet.root.pem,
        "wall",
        chain,
        key,
        b"".join(a.public_bytes(Encoding.PEM) for a in authorities),
        int(time.time() * 1000) + LIFE_MS,
    ).write()
    return file


@pytest.fixture
async def shown(walk, tmp_path):
    """A console before the controller of `walk`; `as_role` is a browser of that role."""
    running = walk.running
    at = (running.join_address, running.fleet_address)
    made = console_at(walk.fleet.root.pem, *at, path=tmp_path / "fleet.json")

    def as_role(role: Role | str, **more) -> Browser:
        name = role if role == "approver" else f"the-{role}"
        session = session_of(
            name,
            walk.pairs[role],
            walk.fleet.root.pem,
            walk.fleet.authorities,
            at[1],
            expires_ms=int(time.time() * 1000) + LIFE_MS,
        )
        return made.signed_in(session, **more)

    made.as_role = as_role
    yield made
    made.console.sessions.end_all()
    await asyncio.sleep(0.05)  # channels close by themselves
