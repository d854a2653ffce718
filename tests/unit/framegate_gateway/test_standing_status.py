"""What `systemctl status` says of a gateway: whether it admits anything, and if not, why."""

import asyncio
from types import SimpleNamespace

import pytest

from framegate.errors import Reason
from framegate_gateway.server import GatewayProcess


class Manager:
    """A service manager that keeps what it was told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def status(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture
def gateway():
    keys = SimpleNamespace(refused=Reason.PCR_DIGEST.value)
    return SimpleNamespace(
        keys=keys, _manager=Manager(), _first=asyncio.Event(), publisher=None, _mqtt=None
    )


SERVES = "serves zone line-1 on gateway.line-1.gw1"
CREDENTIALS = SimpleNamespace(zone="line-1", device="gateway.line-1.gw1")


def test_a_host_that_never_had_standing_is_told_and_no_wait_goes_on(gateway):
    GatewayProcess._changed(gateway, None)
    (said,) = gateway._manager.said
    assert said == f"admits nothing: the host has no standing, {Reason.PCR_DIGEST.value}"
    assert not gateway._first.is_set()


def test_one_that_lost_it_does_not_go_on_saying_that_it_serves(gateway):
    for credentials in (CREDENTIALS, None, CREDENTIALS):
        GatewayProcess._changed(gateway, credentials)
    first, second, third = gateway._manager.said
    assert first == third == SERVES and second.startswith("admits nothing: ")
