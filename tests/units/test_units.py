"""Services under a real systemd: start, sandbox, reload, watchdog, stop with a part under way.

Its own target, `make units-test`: a Debian is made, packages are installed, a container is booted.
"""

import json

import pytest

from units.container import BUILD, boot, lacking

pytestmark = pytest.mark.alone
DAEMONS = ("controller", "agent", "gateway", "line", "console")


@pytest.fixture(scope="module")
def seen():
    if reason := lacking():
        pytest.skip(reason)
    told = boot()
    assert "fault" not in told, f"{told['fault']}\n{told['journal']}"
    # for docs/reference/footprint.md
    (BUILD / "starts.json").write_text(json.dumps(told["starts"]) + "\n")
    return told


@pytest.mark.parametrize("unit", DAEMONS)
def test_a_daemon_runs_in_its_sandbox(seen, unit):
    at = seen[unit]
    assert at["Seccomp"].strip() == "2" and at["NoNewPrivs"].strip() == "1"
    assert at["Uid"].split()[0] in {"6470", "6471", "6472", "6473", "6475"}
    # to see whose program speaks on its socket, and nothing else: CAP_SYS_PTRACE is bit 19
    allowed = 1 << 19 if unit == "agent" else 0
    assert int(at["CapEff"], 16) == int(at["CapBnd"], 16) == allowed


def test_a_start_waits_until_it_serves(seen):
    assert seen["controller"]["ActiveState"] == seen["line"]["ActiveState"] == "active"
    assert seen["controller"]["StatusText"].startswith("fleet plant: join port ")
    assert seen["agent"]["StatusText"] == "gateway.line-1.gw1 is trusted"
    assert seen["gateway"]["StatusText"] == "serves zone line-1 on gateway.line-1.gw1"
    assert seen["console"]["StatusText"] == ("fleet plant: browsers come to http://localhost:8090")
    status, policy = seen["console"]["page"]
    assert status == 200 and "default-src 'none'" in policy
    assert seen["line"]["StatusText"] == "line press-7, 1 cameras"


def test_the_childs_cage_is_whole_inside_the_units(seen):
    (told,) = [x for x in seen["gateway"]["journal"].splitlines() if "inference child:" in x]
    for what in ("namespaces of nobody", "no network", "no files (Landlock", "system calls"):
        assert what in told
    assert "UNCONFINED" not in told


def test_a_reload_reads_settings_and_a_wrong_file_changes_nothing(seen):
    right, wrong = seen["reload"]["right"], seen["reload"]["wrong"]
    assert right == {"ActiveState": "active", "StatusText": "settings were read again"}
    assert wrong == {"ActiveState": "active", "NRestarts": "0"}
    assert "those of before hold" in seen["reload"]["journal"]
    assert seen["reload agent"] == seen["reload gateway"] == seen["reload console"] == 0


@pytest.mark.parametrize("unit", ["controller", "agent", "gateway", "console"])
def test_who_stands_still_is_started_again(seen, unit):
    assert seen[f"watchdog {unit}"] == {"restarts": 1, "journal": True}


def test_a_stop_loses_no_part_that_is_under_way(seen):
    """A stop waits at most 4.5 s; what is left of a deadline of 15 s the next start diverts."""
    stop = seen["stop"]
    assert stop["before"]["open"] == 1
    assert stop["result"] == {"Result": "success", "ActiveState": "inactive"}
    assert stop["took_s"] < 29  # less than what systemd gives it before it kills
    again = stop["again"]
    assert again["open"] == 0 and again["parts"] == stop["before"]["parts"]
    assert again["outcomes"]["UNINSPECTED"] == again["parts"], "nothing passes that nobody judged"


def test_a_controllers_service_signs_with_keys_in_a_token(seen):
    """It is ready once its server CA signed it a certificate in the token; its sandbox is whole."""
    token = seen["token"]
    assert token["ActiveState"] == "active" and "join port" in token["StatusText"]
    assert token["Seccomp"].strip() == "2" and int(token["CapEff"], 16) == 0


def test_no_secret_of_the_machine_is_in_a_support_bundle(seen):
    """Keys, passphrases, passwords, tickets and tokens as they lie there, and a proxy's password in
    somebody's drop-in, searched for in what each program would send away.
    """
    assert seen["sought"]["count"] > 50, seen["sought"]
    for name, bundle in seen["bundles"].items():
        assert bundle["found"] == [], name
        assert {"settings.json", "log.txt", "unit.txt", "service.txt"} <= set(bundle["parts"])
        assert len(bundle["log"]) > 100, name
    assert seen["sought"]["in the journal"] == []
