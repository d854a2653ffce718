"""OpenID Connect against a real provider: code flow with PKCE, device flow, and everything that is
wrong in them.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urljoin, urlsplit

import pytest

from framegate.errors import FramegateError, Reason
from framegate_controller.ca.open import found_fleet
from framegate_controller.people.operators import add_operator
from framegate_controller.people.policies import found_policy
from framegate_controller.people.signin import SignIn
from framegate_controller.server import Controller
from framegate_controller.settings import ControllerSettings
from framegate_controller.store.database import open_registry
from framegate_controller.store.shared.ceremonies import MAX_CEREMONIES, InMemoryWaiting
from framegate_controller.store.shared.limits import InMemorySignInLimits
from framegate_host.operator_context import context_body
from framegate_simulators.fixtures.access import certificate_request, write_secret
from support.openid import anna, provider_of
from support.openid_browser import Browser
from support.paths import TESTS
from support.refusals import refused

BACK = "http://127.0.0.1:5/"


@pytest.fixture
def fleet(bench, provider):
    """SignIn with the provider, and anna, whom it knows."""

    def make(client: str = "framegate") -> SignIn:
        stores = InMemorySignInLimits(), InMemoryWaiting(MAX_CEREMONIES)
        return SignIn(bench.store, bench.fleet, *stores, provider_of(provider["issuer"], client))

    with bench.store.writing() as tx:
        add_operator(tx, anna(provider), by="host")
    return make


def browser(name: str = "anna") -> Browser:
    return Browser(name, f"{name} of the plant")


def came_back(sign_in: SignIn, now_ms: int, name: str = "anna") -> tuple[bytes, str]:
    flow = sign_in.oidc.begin("code", BACK, "p", now_ms)
    query = parse_qs(urlsplit(browser(name).open(flow.url, stop_at=BACK)).query)
    assert query["state"] == [flow.state.hex()]
    return flow.state, query["code"][0]


def polled(sign_in: SignIn, flow, bench):
    """Ask as often as the provider allows, which its own clock measures (RFC 8628, 3.5)."""
    for _ in range(10):
        time.sleep(flow.interval_s)
        bench.clock.pass_s(10)
        signed_in = sign_in.oidc_complete(flow.state, "", certificate_request(), "p")
        if signed_in is not None:
            return signed_in
    raise AssertionError("the provider never answered")


def test_code_flow_with_pkce_signs_a_person_in_and_works_once(fleet, bench):
    sign_in = fleet()
    flow = sign_in.oidc.begin("code", BACK, "p", bench.clock())
    asked = parse_qs(urlsplit(flow.url).query)
    assert (
        asked["code_challenge_method"] == ["S256"]
        and asked["prompt"] == ["login"]
        and "nonce" in asked
    )
    state, code = came_back(sign_in, bench.clock())
    signed_in = sign_in.oidc_complete(state, code, certificate_request(), "ipv4:10.0.0.1:1")
    assert (signed_in.operator, signed_in.roles) == (
        "anna",
        ("viewer",),
    ) and signed_in.expires_ms <= bench.clock() + 8 * 3_600_000
    assert (
        refused(lambda: sign_in.oidc_complete(state, code, certificate_request(), "p"))
        == Reason.SIGN_IN
    )  # the state is spent
    other = sign_in.oidc.begin("code", BACK, "p", bench.clock())
    assert (
        refused(lambda: sign_in.oidc_complete(other.state, code, certificate_request(), "p"))
        == Reason.SIGN_IN
    )  # the code is, too


def test_a_code_stolen_on_its_way_is_worth_nothing_in_another_sign_in(fleet, bench):
    """The verifier never leaves the controller: a code begun under one state cannot be redeemed
    under another (RFC 7636).
    """
    sign_in = fleet()
    mine = sign_in.oidc.begin("code", BACK, "p", bench.clock())
    _, theirs = came_back(sign_in, bench.clock())
    assert (
        refused(lambda: sign_in.oidc_complete(mine.state, theirs, certificate_request(), "p"))
        == Reason.SIGN_IN
    )


@pytest.mark.parametrize("state", [b"", b"x" * 16, b"x" * 4000])
def test_states_that_nobody_began(fleet, state):
    assert (
        refused(lambda: fleet().oidc_complete(state, "code", certificate_request(), "p"))
        == Reason.SIGN_IN
    )


def test_a_flow_begun_long_ago(fleet, bench):
    sign_in = fleet()
    state, code = came_back(sign_in, bench.clock())
    bench.clock.pass_s(601)
    assert (
        refused(lambda: sign_in.oidc_complete(state, code, certificate_request(), "p"))
        == Reason.SIGN_IN
    )


def test_a_person_the_provider_knows_and_the_fleet_does_not_is_recorded_and_refused(fleet, bench):
    sign_in = fleet()
    state, code = came_back(sign_in, bench.clock(), "mallory")
    assert (
        refused(lambda: sign_in.oidc_complete(state, code, certificate_request(), "p"))
        == Reason.SIGN_IN
    )
    assert len(bench.events("sign-in-failed")) == 1


def test_a_disabled_operator_stays_out_whatever_the_provider_says(fleet, bench):
    sign_in = fleet()
    with bench.store.writing() as tx:
        tx.people.put(replace(tx.people.find("anna"), enabled=False))
    state, code = came_back(sign_in, bench.clock())
    assert (
        refused(lambda: sign_in.oidc_complete(state, code, certificate_request(), "p"))
        == Reason.SIGN_IN
    )


def test_device_flow_waits_and_then_signs_in(fleet, bench, provider):
    sign_in = fleet("framegate-device")
    flow = sign_in.oidc.begin("device", "", "p", bench.clock())
    assert flow.user_code
    assert sign_in.oidc_complete(flow.state, "", certificate_request(), "p") is None
    browser().open(urljoin(provider["issuer"], flow.url) + "?user_code=" + flow.user_code)
    signed_in = polled(sign_in, flow, bench)
    assert signed_in.operator == "anna"
    assert (
        refused(lambda: sign_in.oidc_complete(flow.state, "", certificate_request(), "p"))
        == Reason.SIGN_IN
    )


def test_n143_a_device_flow_ends_only_where_it_began(fleet, bench, provider):
    """A code that was begun elsewhere signs nobody in here, and none in there: the one that waits
    goes on waiting for the address that began it.
    """
    sign_in = fleet("framegate-device")
    flow = sign_in.oidc.begin("device", "", "p", bench.clock())
    browser().open(urljoin(provider["issuer"], flow.url) + "?user_code=" + flow.user_code)
    bench.clock.pass_s(10)
    assert (
        refused(lambda: sign_in.oidc_complete(flow.state, "", certificate_request(), "q"))
        == Reason.SIGN_IN
    )
    assert polled(sign_in, flow, bench).operator == "anna"


def test_device_flow_that_the_person_denies(fleet, bench, provider):
    sign_in = fleet("framegate-device")
    flow = sign_in.oidc.begin("device", "", "p", bench.clock())
    browser().open(
        urljoin(provider["issuer"], flow.url) + "?user_code=" + flow.user_code, allow=False
    )
    assert refused(lambda: polled(sign_in, flow, bench)) == Reason.SIGN_IN


def test_a_device_flow_asks_the_provider_no_oftener_than_it_wants(fleet, bench, monkeypatch):
    sign_in = fleet("framegate-device")
    flow = sign_in.oidc.begin("device", "", "p", bench.clock())
    assert sign_in.oidc_complete(flow.state, "", certificate_request(), "p") is None
    monkeypatch.setattr(sign_in.oidc, "_client", lambda _: pytest.fail("asked again at once"))
    assert sign_in.oidc_complete(flow.state, "", certificate_request(), "p") is None


@pytest.mark.parametrize(
    "redirect",
    [
        "http://10.0.0.1/",
        "https://127.0.0.1/",
        "http://localhost.evil.example/",
        "",
        "javascript:alert(1)",
    ],
)
def test_redirects_that_leave_the_machine(fleet, bench, redirect):
    assert refused(lambda: fleet().oidc.begin("code", redirect, "p", bench.clock())) == Reason.USAGE


@pytest.mark.parametrize("issuer", ["http://idp.example/", "ftp://127.0.0.1/", "idp.example", ""])
def test_issuers_without_tls(issuer):
    assert refused(lambda: provider_of(issuer)) == Reason.USAGE


def test_a_provider_that_is_away_or_says_it_is_another(bench, provider):
    away = provider_of("http://127.0.0.1:9")
    assert refused(lambda: away.begin("code", BACK, "p", bench.clock())) == Reason.SIGN_IN
    other = provider_of(provider["issuer"] + "/")
    with pytest.raises(FramegateError, match="metadata"):
        other.begin("code", BACK, "p", bench.clock())


async def test_framegate_login_at_the_provider_from_a_terminal(provider, tmp_path):
    """The whole way: the command, its loopback port, a browser, the provider, the controller."""
    keys = found_fleet(tmp_path / "keys", "plant")
    store = open_registry(tmp_path / "registry.db")
    with store.writing() as tx:
        found_policy(tx, keys)
        add_operator(tx, anna(provider), by="host")
    store.close()
    running = Controller(
        ControllerSettings(
            state=tmp_path,
            join_port=0,
            fleet_port=0,
            oidc_issuer=provider["issuer"],
            oidc_client_id="framegate",
        )
    )
    await running.start()
    try:
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
        script = TESTS / "support" / "openid_browser.py"
        wrapper = tmp_path / "browser"
        wrapper.write_text(
            f'#!/bin/sh\nexec "{sys.executable}" "{script}" anna "anna of the plant" "$1"\n'
        )
        wrapper.chmod(0o755)
        environment = {**os.environ, "BROWSER": f"{wrapper} %s", "FRAMEGATE_CONTEXT": str(context)}
        run = [str(Path(sys.executable).parent / "framegate")]
        done = await asyncio.to_thread(
            subprocess.run,
            [*run, "login", "--oidc"],
            capture_output=True,
            text=True,
            timeout=60,
            env=environment,
            check=False,
        )
        assert done.returncode == 0 and "signed in as anna" in done.stderr, done.stderr
        done = await asyncio.to_thread(
            subprocess.run,
            [*run, "whoami", "-o", "json"],
            capture_output=True,
            text=True,
            timeout=60,
            env=environment,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["method"] == "oidc"
    finally:
        await running.stop(0)
