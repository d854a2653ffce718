"""docs/guides/operators/install.md, followed to the letter from a bare Debian without a network:
what the page shows is typed as it stands. Part of `make units-test`.
"""

import json

import pytest

from units.container import boot_bare, lacking

pytestmark = pytest.mark.alone


@pytest.fixture(scope="module")
def seen(release):
    if reason := lacking():
        pytest.skip(reason)
    told = boot_bare(release, "guide.py")
    assert "fault" not in told, f"{told['fault']}\n{told['journal']}\n{told['blocks']}"
    return told


def test_the_machine_was_bare_and_had_no_network(seen):
    assert seen["bare"] == 1, "not even an interpreter"


def test_every_block_of_the_page_does_what_it_says(seen):
    wrong = {}
    for name, told in seen["blocks"].items():
        codes = {code for code, _ in told["failed"]}
        if codes != ({told["code"]} if told["code"] else set()):
            wrong[name] = (told["text"], told["failed"], told["shown"][-1500:])
    assert not wrong, json.dumps(wrong, indent=1)
    titles = {name.rsplit(" ", 1)[0] for name in seen["blocks"]}
    assert titles == {
        "Without the Internet",
        "One host",
        "Is it ours?",
        "Reload, restart, upgrade",
        "When somebody is to help",
        "The day the controller is gone",
    }


def test_what_the_page_promises_is_so_at_its_end(seen):
    assert "warranted by gateway.line-1.gw1" in seen["gateway"]
    assert seen["after"]["shown"].split()[:3] == ["active"] * 3
    assert "trusted" in seen["listed"]["shown"]


def test_an_upgrade_was_looked_at_before_it_came(seen):
    (told,) = [t for t in seen["blocks"].values() if "upgrade --check" in t["text"]]
    assert "nothing of the registry changes with this version" in told["shown"]


def test_another_controller_begins_again_from_what_was_kept(seen):
    assert seen["lost"] == [], "nothing of the first one is left"
    (told,) = [t for t in seen["blocks"].values() if "restore /run/again/fleet.tar" in t["text"]]
    assert "restoration 1" in told["shown"] and "entries of the record" in told["shown"]
    assert "trusted" in seen["again"]
