"""A real OpenID provider (django-oauth-toolkit) in a process of its own."""

import contextlib
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


@contextlib.contextmanager
def started_provider(folder: Path, *redirects: str) -> Iterator[dict]:
    """What the provider says of itself: issuer, client, subjects; it sends people to `redirects`
    too.
    """
    script = Path(__file__).with_name("openid_provider.py")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, str(script), str(folder), *redirects],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    line = process.stdout.readline()
    assert line, (folder / "log").read_text()
    yield json.loads(line)
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def provider(tmp_path_factory) -> Iterator[dict]:
    """What the provider says of itself: issuer, client, subjects."""
    with started_provider(tmp_path_factory.mktemp("openid")) as told:
        yield told


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
