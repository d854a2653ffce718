"""A camera and a part that the fleet has never seen, by the commands of the guide: what each says,
and how many they are. The machine has a TPM of software, its camera is a folder of photographs.
"""

import json
import re
import subprocess
import time
from pathlib import Path

import cv2
import pytest

from framegate_agent.state import StateFile
from framegate_simulators.boards.boards import draw_board
from framegate_simulators.machine.boot import Firmware, profile_toml
from framegate_simulators.plant.plant import Plant
from framegate_simulators.plant.processes import wait_for
from support.paths import ROOT

pytestmark = [pytest.mark.swtpm, pytest.mark.slow, pytest.mark.plants]
MOST_COMMANDS = 15
"""From a clone to the first verdict on a part of one's own, with what opens terminals."""
MOST_S = 600.0
GUIDE = ROOT / "docs" / "guides" / "integrators" / "own-camera.md"


class Hand:
    """Types commands on the machine and at the operator's desk, in one folder, and counts them."""

    def __init__(self, plant: Plant, folder: Path) -> None:
        self.plant, self.folder, self.typed = plant, folder, list[str]()

    def type(self, program: str, *argv: object, code: int = 0) -> subprocess.CompletedProcess[str]:
        self.typed.append(" ".join([program, *(str(a) for a in argv[:2])]))
        done = self.plant.command(program, *argv, check=False)
        assert done.returncode == code, (argv, done.returncode, done.stdout, done.stderr)
        return done


@pytest.fixture
def plant(tmp_path):
    """A fleet with a gateway, and nothing known of the machine and the part to come."""
    with Plant(interval_s=4.0, logs=tmp_path / "logs") as running, running.explained():
        running.found_fleet()
        running.start_controller()
        running.framegate("trust", "add-tpm-ca", running.folder / "maker.pem")
        gateway = running.add_machine("gw1", "gateway")
        running.join(gateway, running.invite(gateway))
        running.write_golden([1])
        running.start_agent(gateway)
        running.start_gateway(gateway)
        wait_for("a gateway", lambda: running.ask("gateway", "list")[0]["operator_addresses"], 60)
        yield running


def photographs(folder: Path) -> Path:
    folder.mkdir()
    for seed in range(14):
        board = draw_board(seed, design=2, defects=0, clean_capture=True)
        cv2.imwrite(str(folder / f"shot-{seed:02}.png"), board.frame)
    return folder


def test_own_camera_in_seven_steps(plant, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    hand, began = Hand(plant, tmp_path), time.monotonic()
    site = plant.add_machine("cam7", firmware=Firmware("own-camera"))
    machine = site.machine
    state = ["--state", site.disk]
    own = [
        *("--tcti", machine.tcti),
        *("--boot-log", machine.boot_log_path),
        *("--ima", machine.ima_path),
    ]
    source = f"folder:{photographs(tmp_path / 'shots')}"

    # 1 the source
    seen = hand.type("framegate-agent", "check-source", source, "--part-type", "own-board")
    assert "640 x 640 pixels, part shot-00 of type own-board" in seen.stderr
    assert re.search(r"sharpness [\d.]+, light [\d.]+ of 255", seen.stderr)
    assert (tmp_path / "source.png").read_bytes().startswith(b"\x89PNG")
    # 2 the machine
    found = json.loads(
        hand.type("framegate-agent", "doctor", *state, *own, "-o", "json", code=1).stdout
    )
    assert [f["check"] for f in found if not f["good"]] == ["joined"]
    # 3 a ticket that no other machine can use
    ek = hand.type("framegate-agent", "ek", *own[:2]).stdout.strip()
    ticket = tmp_path / "cam7.ticket"
    hand.type(
        "framegate",
        "camera",
        "invite",
        "cam7",
        "--profile",
        "simulated-camera",
        "--ek-hash",
        ek,
        "--out",
        ticket,
    )
    # 4 join and run: the fleet has no profile of this model
    plant.start(
        "own",
        "framegate-agent",
        "run",
        *state,
        *own,
        *("--ticket", ticket, "--source", source, "--part-type", "own-board"),
        *("--rate", "4", "--repeat"),
    )
    hand.typed.append("framegate-agent run")
    wait_for("its word", lambda: "goes on asking" in plant.log_tail("own"), 60)
    joined = (plant.logs / "own.log").read_text()
    assert "camera.line-1.cam7 is suspect" in joined
    assert f"kept in {site.disk}/options.toml" in joined
    # 5 adopt
    key = tmp_path / "signer.pem"
    plant.command(  # once for all cameras
        *("framegate-controller", "profile", "signer", "ours", "--out", key),
        *("--state", plant.folder / "controller"),
    )
    monkeypatch.setenv("FRAMEGATE_PROFILE_KEY", str(key))
    adopted = hand.type("framegate", "camera", "adopt", "cam7", "--model", "own-camera", "--yes")
    told = " ".join((adopted.stdout + adopted.stderr).split())
    assert "nothing of its firmware matches simulated-camera: another machine model" in told
    assert "profile own-camera revision 1 is in force" in told
    assert "camera.line-1.cam7 has to satisfy own-camera, now stale" in told
    assert told.count("expected") < 10, "dozens of findings say less than one line"
    # 6 learn the only unknown type as soon as it is seen, and have it count
    learnt = hand.type("framegate", "part", "learn", "--source", "lot 12")
    assert "own-board.png from 12 frames" in learnt.stderr
    assert "part own-board is in force, version 1" in learnt.stderr
    assert (tmp_path / "own-board.png").read_bytes().startswith(b"\x89PNG")
    # 7 the first verdict
    wait_for("a verdict", lambda: site.status().get("outcomes", {}).get("PASS"), 60)
    watched = hand.type("framegate", "verdict", "watch", "--seconds", "2")
    assert "shot-" in watched.stdout
    hand.typed += ["git clone", "cd", "make try", ". build/try/own-camera", "SOURCE=", ". env"]

    took = time.monotonic() - began
    assert len(hand.typed) <= MOST_COMMANDS, hand.typed
    assert took < MOST_S
    again = plant.framegate("part", "learn", "own-board", "--source", "lot 13", check=False)
    assert again.returncode and "new to the fleet" in again.stderr, "rules would be lost"
    plant.stop("own")
    (row,) = [r for r in plant.ask("part", "list") if r["part_type"] == "own-board"]
    assert row["version"] == 1 and row["seen"] > 0 and not row["unknown"]

    # the machine goes on proving itself by the profile that was made of it, and no other does
    stated = StateFile(site.disk).load()
    assert stated.state == "trusted"
    refused = plant.framegate("camera", "adopt", "cam7", "--key", key, "--yes", check=False)
    assert refused.returncode and "is trusted" in refused.stderr
    again = plant.framegate("camera", "profile", "cam7", "own-camera", check=False)
    assert again.returncode and "conflict" in again.stderr
    wrong = plant.framegate("camera", "profile", "cam7", "simulated-gateway", check=False)
    assert wrong.returncode == 5 and "firmware-profile-kind" in wrong.stderr
    assert "simulated-gateway, which is for gateways" in wrong.stderr
    assert 'kind = "camera"' in (tmp_path / "own-camera.toml").read_text()
    other = plant.framegate("camera", "profile", "cam7", "simulated-camera")
    assert "now stale" in other.stderr
    guide = GUIDE.read_text()
    for command in (c for c in hand.typed if c.startswith("framegate")):
        program, *verbs = command.split()
        spoken = " ".join([program, *(v for v in verbs if re.fullmatch(r"[a-z][a-z-]*", v))][:3])
        assert spoken in guide, f"the guide does not say: {spoken}"


def test_a_source_that_ends_says_so(plant, tmp_path):
    site = plant.add_machine("cam8")
    plant.join(site, plant.invite(site))
    source = photographs(tmp_path / "few")
    plant.start_agent(site, "--source", f"folder:{source}", "--part-type", "own-board")
    wait_for(
        "the end", lambda: [s["ended"] for s in site.status().get("streams", [])] == [True], 60
    )
    wait_for("its word", lambda: "ended after 14 frames" in plant.log_tail("agent-cam8"), 20)
    shown = plant.command("framegate-agent", "status", "--state", site.disk, check=False)
    assert "ended after 14 frames" in shown.stdout


def test_n90_a_fleet_whose_policy_is_of_before_goes_on_and_gets_the_verb(plant, tmp_path):
    """The policy in force is one that was written before there was `device.profile`."""
    site = plant.add_machine("cam9")
    plant.join(site, plant.invite(site))
    folder = tmp_path / "policy"
    plant.framegate("policy", "pull", "--out", folder)
    schema, rules = folder / "schema.cedarschema", folder / "operators.cedar"
    lines = schema.read_text().splitlines()
    gone = [line for line in lines if not line.startswith('action "device.profile"')]
    assert len(gone) == len(lines) - 1
    schema.write_text("\n".join(gone) + "\n")
    rules.write_text(rules.read_text().replace('"device.profile", ', ""))
    applied = plant.framegate("policy", "apply", folder)
    assert "without device.profile" in applied.stderr

    status = plant.framegate("policy", "status", check=False)
    assert status.returncode == 1 and "device.profile" in status.stdout
    assert "framegate policy update" in status.stderr
    assert plant.framegate("camera", "list").stdout.count("cam9") == 1
    plant.framegate("camera", "quarantine", "cam9", "--reason", "others go on")
    denied = plant.framegate("camera", "profile", "cam9", "simulated-gateway", check=False)
    assert denied.returncode and "denied-by-policy" in denied.stderr
    assert "device.profile" in denied.stderr and "framegate policy status" in denied.stderr

    again = tmp_path / "again"
    plant.framegate("policy", "pull", "--out", again)
    updated = plant.framegate("policy", "update", again)
    assert "added: device.profile" in updated.stderr
    plant.framegate("policy", "apply", again, "--note", "verbs of this version")
    assert "none" in plant.framegate("policy", "status").stdout
    other = tmp_path / "other-camera.toml"
    other.write_text(profile_toml(Firmware("other-camera", ima=False), "other-camera"))
    state = plant.folder / "controller"
    plant.command("framegate-controller", "profile", "add", other, "--state", state)
    done = plant.framegate("camera", "profile", "cam9", "other-camera")
    assert "now quarantined" in done.stderr, "another profile releases nobody"
