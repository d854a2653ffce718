"""A real OpenID provider (django-oauth-toolkit) in a process of its own."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from framegate.access.verbs import parse_scoped
from framegate_controller.people.oidc import OidcProvider, OidcSettings
from framegate_controller.people.operators import NewOperator
from framegate_controller.store.shared.ceremonies import MAX_FLOWS, InMemoryWaiting


@pytest.fixture(scope="module")
def provider(tmp_path_factory) -> Iterator[dict]:
    """What the provider says of itself: issuer, client, subjects."""
    folder = tmp_path_factory.mktemp("openid")
    script = Path(__file__).with_name("openid_provider.py")
    process = subprocess.Popen(
        [sys.executable, str(script), str(folder)],
        stdout=subprocess.PIPE,
        stderr=(folder / "log").open("wb"),
        text=True,
    )
    line = process.stdout.readline()
    assert line, (folder / "log").read_text()
    yield json.loads(line)
    process.kill()
    process.wait()


def provider_of(issuer: str, client: str = "framegate") -> OidcProvider:
    return OidcProvider(OidcSettings(issuer, client, device_code=True), InMemoryWaiting(MAX_FLOWS))


def anna(provider) -> NewOperator:
    return NewOperator(
        name="anna",
        roles=(parse_scoped("viewer"),),
        vouched=True,
        oidc_issuer=provider["issuer"],
        oidc_subject=provider["subjects"]["anna"],
    )
