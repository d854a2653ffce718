"""Beyond loopback a console takes TLS and a name; it answers to its names and to no others."""

import pytest

from framegate_console.settings import ConsoleSettings


def made(tmp_path, **members) -> ConsoleSettings:
    return ConsoleSettings(context=tmp_path / "fleet.json", **members)


@pytest.mark.parametrize(
    ("members", "lacking"),
    [
        ({}, ()),
        ({"listen": "[::1]:8090"}, ()),
        ({"listen": "10.0.0.1:8090"}, ("--tls", "--name")),
        ({"listen": "0.0.0.0:443", "name": ("console.plant",)}, ("--tls",)),
        ({"listen": "localhost.evil.example:80"}, ("--tls", "--name")),
        ({"name": ("*.plant",)}, ("--name",)),
        ({"name": ("https://console/",)}, ("--name",)),
    ],
)
def test_what_does_not_go_together_is_said(tmp_path, members, lacking):
    told = [f.expected for f in made(tmp_path, **members).problems()]
    assert len(told) == len(lacking)
    assert all(any(word in text for text in told) for word in lacking)


def test_beyond_loopback_with_both_there_is_nothing_to_say(tmp_path):
    whole = made(tmp_path, listen="0.0.0.0:443", tls=tmp_path, name=("console.plant",))
    assert not list(whole.problems())
    assert whole.hosts == {"console.plant", "console.plant:443"}


def test_on_loopback_it_is_called_by_loopbacks_names_with_its_port(tmp_path):
    assert made(tmp_path).hosts == {"localhost:8090", "127.0.0.1:8090", "[::1]:8090"}
    named = made(tmp_path, name=("Console.Plant:9000",))
    assert "console.plant:9000" in named.hosts and "console.plant:9000:8090" not in named.hosts
