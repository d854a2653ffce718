"""From which web consoles a controller takes security keys, and the provider's answers."""

import pytest

from framegate.errors import Malformed
from framegate_controller.people.oidc import OidcProvider, OidcSettings
from framegate_controller.people.security_keys import SecurityKeys
from framegate_controller.store.shared.ceremonies import InMemoryWaiting

CONSOLE = "https://console.plant.framegate:8443"


@pytest.mark.parametrize(
    ("origin", "taken"),
    [
        ("https://plant.framegate", True),
        (CONSOLE, True),
        ("https://console.plant.framegate", False),
        ("http://console.plant.framegate:8443", False),
        ("https://console.plant.framegate:8443.evil.example", False),
        ("https://other.plant.framegate", False),
        ("null", False),
    ],
)
def test_a_security_key_answers_to_the_fleets_name_and_named_consoles(origin, taken):
    keys = SecurityKeys("plant", b"secret", InMemoryWaiting(4), (CONSOLE,))
    assert keys._server._verify(origin) == taken


@pytest.mark.parametrize(
    ("redirect", "taken"),
    [
        (f"{CONSOLE}/oidc", True),
        ("http://localhost:8090/oidc", True),
        ("http://127.0.0.1:5000/", True),
        (f"{CONSOLE}/", False),
        (f"{CONSOLE}/oidc?next=https://evil.example", False),
        (f"{CONSOLE}/oidc#x", False),
        ("https://localhost:8090/oidc", False),
        ("https://evil.example/oidc", False),
        ("https://console.plant.framegate:8443@evil.example/oidc", False),
        ("http://console.plant.framegate:8443/oidc", False),
    ],
)
def test_n171_a_provider_sends_people_back_to_their_machine_or_a_named_console(redirect, taken):
    settings = OidcSettings("https://login.example.net", "framegate", consoles=(CONSOLE,))
    provider = OidcProvider(settings, InMemoryWaiting(4))
    assert provider._returns(redirect) == taken
    if not taken:
        with pytest.raises(Malformed):
            provider.begin("code", redirect, "ipv4:10.0.0.1:1", 0)
