"""Security keys through the command line: registered, signed in with, shown again; a software
authenticator stands where the USB key would be.
"""

import asyncio
import json

import pytest
from typer.testing import CliRunner

from framegate_controller.server import Controller
from framegate_controller.settings import ControllerSettings
from framegate_host.operator_context import context_body
from framegate_operator import security_key, signin
from framegate_operator.main import app
from framegate_simulators.fixtures.access import PASSWORD, add_person, totp_now, write_secret
from support.founded import found_controller
from support.security_key import SoftSecurityKey


@pytest.fixture
async def desk(tmp_path, monkeypatch):
    keys = found_controller(tmp_path)
    running = Controller(ControllerSettings(state=tmp_path, join_port=0, fleet_port=0))
    await running.start()
    secret = add_person(running.store, keys, "anna", "viewer")
    password = write_secret(tmp_path / "pw", PASSWORD + "\n")
    context = write_secret(
        tmp_path / "anna.json",
        json.dumps(
            context_body(
                running.join_address,
                running.fleet_address,
                "controller.plant.framegate",
                keys.root.pem.decode(),
            )
        ),
    )
    monkeypatch.setenv("FRAMEGATE_CONTEXT", str(context))

    async def run(*argv: str):
        return await asyncio.to_thread(
            CliRunner().invoke,
            app,
            [a.replace("PW", str(password)).replace("CODE", totp_now(secret)) for a in argv],
        )

    yield run
    await running.stop(0)


async def test_a_key_is_registered_signs_in_and_is_shown_again(desk, monkeypatch):
    key, asked = SoftSecurityKey(), []
    monkeypatch.setattr(signin, "find_authenticator", lambda name: asked.append(name) or key)
    assert (await desk("login", "anna", "--password-file", "PW", "--code", "CODE")).exit_code == 0
    added = await desk("login", "--add-key", "blue")
    assert added.exit_code == 0, added.output
    assert (await desk("logout")).exit_code == 0
    assert (await desk("whoami")).exit_code != 0
    done = await desk("login", "anna", "--security-key")
    assert done.exit_code == 0, done.output
    me = json.loads((await desk("whoami", "-o", "json")).stdout)
    assert (me["method"], me["security_keys"]) == ("security-key", ["blue"])
    assert (await desk("login", "--again", "--security-key")).exit_code == 0
    assert json.loads((await desk("whoami", "-o", "json")).stdout)["factor_ms"] > me["factor_ms"]
    assert set(asked) == {"controller.plant.framegate"}


async def test_somebody_elses_key_and_no_key_at_all(desk, monkeypatch):
    monkeypatch.setattr(signin, "find_authenticator", lambda _name: SoftSecurityKey())
    refused = await desk("login", "anna", "--security-key")
    assert refused.exit_code != 0 and "sign-in" in refused.output
    monkeypatch.setattr(signin, "find_authenticator", security_key.find_authenticator)
    none = await desk("login", "anna", "--security-key")
    assert (
        none.exit_code != 0 and "security key" in none.output and "framegate login" in none.output
    )
