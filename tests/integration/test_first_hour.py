"""What somebody meets in the first hour with a running fleet: a second factor that is asked for in
place, ids that can be copied, and honest words when a gateway is gone.
"""

import os
import re
import sqlite3
from contextlib import closing

import pytest

from framegate_simulators.plant.plant import Plant
from framegate_simulators.plant.processes import BIN, SIM, wait_for
from support.typed import typed

pytestmark = [pytest.mark.swtpm, pytest.mark.slow, pytest.mark.plants]
ASKED = "code of your authenticator"
OLD_MS = 901_000
"""Since the second factor was shown: the default policy wants it within fifteen minutes."""


@pytest.fixture(scope="module")
def plant(tmp_path_factory):
    """A gateway and a camera whose frames are inspected."""
    with (
        Plant(interval_s=4.0, logs=tmp_path_factory.mktemp("logs")) as running,
        running.explained(),
    ):
        running.found_fleet()
        running.start_controller()
        gateway, camera = running.add_machine("gw1", "gateway"), running.add_machine("cam1")
        for site in (gateway, camera):
            running.join(site, running.invite(site))
        running.write_golden([1])
        running.start_agent(gateway)
        running.start_gateway(gateway)
        running.start_agent(camera, "--source", f"exec:{SIM} camera --rate 4")
        wait_for("a defect", lambda: camera.status().get("outcomes", {}).get("DEFECT"), 120)
        yield running


def tire(plant: Plant) -> None:
    """Let the second factor of whoever is signed in be of more than a quarter of an hour ago."""
    plant.stop("controller")
    path = plant.folder / "controller" / "registry.db"
    with closing(sqlite3.connect(path)) as registry, registry:
        registry.execute("UPDATE operator_sessions SET factor_ms = factor_ms - ?", (OLD_MS,))
    plant.start_controller()
    camera = plant.sites["cam1"]
    count = camera.status().get("outcomes", {}).get("DEFECT", 0)
    wait_for("more", lambda: camera.status().get("outcomes", {}).get("DEFECT", 0) > count, 120)


WHERE_FROM = "where are these parts from"


def at_a_terminal(plant: Plant, *argv: object, code: str, origin: str = ""):
    environment = {**os.environ, "FRAMEGATE_CONTEXT": str(plant.context), "TERM": "dumb"}
    answers = {ASKED: code, WHERE_FROM: origin}
    argv = (BIN / "framegate", *argv)
    return typed([*map(str, argv)], answers, environment, frozenset({WHERE_FROM}))


def test_a_factor_is_asked_for_in_place_by_controller_and_gateway(plant, tmp_path):
    tire(plant)
    at_controller = ("zone", "set", "line-1", "--remark", "press")
    away = plant.framegate(*at_controller, check=False)  # nobody at a terminal is asked nothing
    assert away.returncode == 4 and "framegate login --again" in away.stderr
    assert ASKED not in away.stderr
    wrong = at_a_terminal(plant, *at_controller, code="000000")
    assert wrong.code and ASKED in wrong.shown and "Traceback" not in wrong.shown
    right = at_a_terminal(plant, *at_controller, code=plant.recovery_codes[0])
    assert right.code == 0 and right.shown.count(ASKED) == 1, right.shown
    assert plant.recovery_codes[0] not in right.shown, "a code is not shown"
    again = at_a_terminal(plant, *at_controller, code="none")
    assert again.code == 0 and ASKED not in again.shown, "it is good for a while"

    tire(plant)
    golden = tmp_path / "golden.png"
    at_gateway = ("part", "learn", "drawn-1", "--frames", "5", "--out", golden)
    learnt = at_a_terminal(plant, *at_gateway, code=plant.recovery_codes[1])
    assert learnt.code == 0 and learnt.shown.count(ASKED) == 1, learnt.shown
    assert golden.read_bytes().startswith(b"\x89PNG")
    assert "framegate part add drawn-1" in learnt.shown and "in force," not in learnt.shown


def test_short_ids_are_taken_by_whatever_takes_an_id(plant, tmp_path):
    row = plant.framegate("verdict", "list", "--outcome", "DEFECT", "--limit", "1").stdout
    (short,) = re.findall(r"\b[0-9a-f]{12}\b", row)
    signed = ("verdict", "show", short)  # its batch is signed within a second or so
    wait_for("its receipt", lambda: not plant.framegate(*signed, check=False).returncode, 60)
    for argv in (
        ("verdict", "show", short),
        ("verdict", "why", short),
        ("why", short),
        ("receipt", "show", short),
        ("lineage", "show", short),
        ("receipt", "export", short, "--out", tmp_path / "r.jsonl"),
    ):
        done = plant.framegate(*argv)
        assert not re.search(r"\b[0-9a-f]{32,}\b", done.stdout), (argv, done.stdout)
    shown = plant.framegate("camera", "show", "cam1").stdout
    (result,) = re.findall(r"^result id +([0-9a-f]{12})\s*$", shown, re.MULTILINE)
    assert not re.search(r"\b[0-9a-f]{32,}\b", shown)
    assert result in plant.framegate("result", "show", result).stdout
    missing = plant.framegate("result", "show", "0" * 12, check=False)
    assert missing.returncode == 3 and "Traceback" not in missing.stderr


def test_events_are_told_without_what_machines_do_as_a_matter_of_course(plant):
    routine = {"attested", "posture-changed", "allowed"}
    told = {e["event"] for e in plant.ask("events", "--limit", "500")}
    assert "proved" in told and not told & routine
    shown = {e["event"] for e in plant.ask("camera", "show", "cam1")["events"]}
    assert "proved" in shown and not shown & routine
    everything = {e["event"] for e in plant.ask("events", "--all", "--limit", "500")}
    assert "attested" in everything and told <= everything


def test_what_programs_say_of_their_start_is_no_warning(plant):
    for name, said in (
        ("controller", "join port"),
        ("gateway-gw1", "known answers given"),
        ("gateway-gw1", "warranted by"),
        ("agent-cam1", "of the fleet at"),
        ("agent-cam1", "camera: exec:"),
        ("agent-cam1", "go to gateway.line-1.gw1"),
    ):
        lines = (plant.logs / f"{name}.log").read_text().splitlines()
        starts = [line for line in lines if said in line]
        assert starts and all(" INFO " in line for line in starts), (name, said, lines[:20])


def test_with_the_gateway_gone_nothing_is_said_that_nobody_knows(plant):
    """The last of this file: the gateway does not come back."""
    row = plant.framegate("verdict", "list", "--limit", "1").stdout
    (short,) = re.findall(r"\b[0-9a-f]{12}\b", row)
    plant.stop("gateway-gw1")
    for argv in (
        ("verdict", "list"),
        ("verdict", "show", short),
        ("verdict", "show", "latest"),
        ("receipt", "show", short),
        ("verdict", "watch", "--seconds", "1"),
        ("part", "learn"),
    ):
        done = plant.framegate(*argv, check=False)
        assert done.returncode == 7, (argv, done.returncode, done.stdout, done.stderr)
    for kind, name in (("camera", "cam1"), ("gateway", "gw1")):
        why = plant.framegate(kind, "why", name, check=False)
        assert "nothing to do" not in why.stdout and "Next:" in why.stdout
    assert "unknown" in plant.framegate("part", "list").stderr
    screen = plant.ask("status")
    assert "all is well" not in screen["next"] and screen["gateways"][0]["up"] is False
