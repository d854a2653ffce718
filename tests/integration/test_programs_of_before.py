"""Version 0.1.0's programs, real ones, in a plant whose controller is this version's: an agent that
attests, a gateway on the trust feed, an operator's commands.
"""

import json
import re
import shutil
from pathlib import Path

import pytest

from framegate_simulators.plant.plant import Plant
from framegate_simulators.plant.processes import BIN, wait_for
from support.before import programs_of
from support.paths import ROOT

pytestmark = [
    pytest.mark.swtpm,
    pytest.mark.slow,
    pytest.mark.plants,
    pytest.mark.skipif(shutil.which("swtpm") is None, reason="swtpm is not installed"),
]
PATIENCE_S = 90.0
OLD_GATEWAY, NEW_GATEWAY, OLD_CAMERA, NEW_CAMERA = "gw-old", "gw-new", "cam-old", "cam-new"


class MixedPlant(Plant):
    """Programs of machines whose name says so, and what is done `by_old`, are of before."""

    def __init__(self, old: Path, **more: object) -> None:
        super().__init__(**more)
        self.old, self.by_old = old, False

    def start(self, name, program, *argv):
        return super().start(name, self._of(program, "old" in name), *argv)

    def command(self, program, *argv, **more):
        of_old = self.by_old or any("-old" in str(a) for a in argv[:2])
        return super().command(self._of(program, of_old), *argv, **more)

    def _of(self, program, of_old):
        path = self.old / program
        return str(path) if of_old and path.exists() else program

    def old_ask(self, *argv):
        """A command of before with -o json; its exit code may be 6."""
        self.by_old = True
        try:
            return self.ask(*argv)
        finally:
            self.by_old = False

    def old_framegate(self, *argv, check=True):
        self.by_old = True
        try:
            return self.framegate(*argv, check=check)
        finally:
            self.by_old = False

    def start_host(self, name):
        """The agent and the gateway on a gateway's machine."""
        site = self.sites[name]
        self.start_agent(site)
        wait_for("the agent's socket", self.agent_socket(site).exists, PATIENCE_S)
        self.start_gateway(site)

    def stop_host(self, name):
        self.stop(f"gateway-{name}")
        self.stop_agent(self.sites[name])

    def inspected(self, camera):
        outcomes = self.sites[camera].status().get("outcomes", {})
        return int(outcomes.get("PASS", 0)) + int(outcomes.get("DEFECT", 0))

    def more(self, *cameras):
        """Wait until more frames of each were inspected."""
        before = {camera: self.inspected(camera) for camera in cameras}
        for camera, count in before.items():
            wait_for(
                f"inspected frames of {camera}",
                lambda c=camera, n=count: self.inspected(c) > n + 2,
                PATIENCE_S,
            )


@pytest.fixture(scope="module")
def plant(tmp_path_factory):
    old = programs_of("v0.1.0", tmp_path_factory.mktemp("before"))
    logs = tmp_path_factory.mktemp("logs")
    with MixedPlant(old, interval_s=3.0, logs=logs) as running, running.explained():
        running.found_fleet()
        running.start_controller()
        running.start_broker()
        running.framegate("trust", "add-tpm-ca", running.folder / "maker.pem", check=False)
        for name in (OLD_GATEWAY, NEW_GATEWAY):
            running.add_machine(name, "gateway")
        for name in (OLD_CAMERA, NEW_CAMERA):
            running.add_machine(name)
        for site in running.sites.values():
            # tickets of either version's command line
            running.by_old = site.name in {NEW_GATEWAY, OLD_CAMERA}
            ticket = running.invite(site)
            running.by_old = "old" in site.name
            running.join(site, ticket)
            running.by_old = False
        running.write_golden([1])
        running.start_host(OLD_GATEWAY)
        for name in (OLD_CAMERA, NEW_CAMERA):
            folder = old if name == OLD_CAMERA else BIN
            source = f"exec:{folder}/framegate-sim camera --design 1 --rate 2"
            running.start_agent(running.sites[name], "--source", source)
        yield running


def test_n106_the_programs_are_those_of_before(plant):
    """Their processes import 0.1.0's rooms, whatever is installed beside them."""
    for name in (f"gateway-{OLD_GATEWAY}", f"agent-{OLD_GATEWAY}", f"agent-{OLD_CAMERA}"):
        command = Path(f"/proc/{plant.process(name).pid}/cmdline").read_bytes().decode()
        assert str(plant.old) in command
    asked = "import framegate_gateway, framegate; print(framegate_gateway.__file__)"
    shown = plant.command(str(plant.old / "python"), "-I", "-c", asked).stdout
    assert Path(shown.strip()).is_relative_to(plant.old.parent.parent)
    assert not Path(shown.strip()).is_relative_to(ROOT)
    assert "decisions" not in plant.old_framegate("--help").stdout


def test_n106_machines_of_before_attest_and_are_told_their_state(plant):
    for name in (OLD_GATEWAY, OLD_CAMERA):
        site = plant.sites[name]
        wait_for(f"trust of {name}", lambda s=site: plant.state_of(s) == "trusted", PATIENCE_S)
        plant.framegate(site.kind, "attest-now", name)
        wait_for(f"trust of {name}", lambda s=site: plant.state_of(s) == "trusted", PATIENCE_S)
    told = plant.ask("audit", "list", "--limit", "300")
    assert told


def test_n106_a_gateway_of_before_serves_cameras_of_both(plant):
    plant.more(OLD_CAMERA, NEW_CAMERA)
    rows = plant.ask("verdict", "list", "--limit", "100")
    inspected = [r for r in rows if r["outcome"] != "UNINSPECTED"]
    assert {row["gateway"] for row in inspected} == {f"gateway.line-1.{OLD_GATEWAY}"}


def test_n106_a_gateway_of_before_closes_for_who_is_quarantined(plant):
    """The feed of this version's controller, and commands of before."""
    plant.more(OLD_CAMERA, NEW_CAMERA)
    for camera in (OLD_CAMERA, NEW_CAMERA):
        plant.old_framegate("camera", "quarantine", camera, "--reason", "tried")
        site = plant.sites[camera]
        wait_for(
            f"UNINSPECTED(quarantined) of {camera}",
            lambda s=site: s.status().get("uninspected", {}).get("quarantined"),
            PATIENCE_S,
        )
        plant.old_framegate("camera", "release", camera)
    plant.more(OLD_CAMERA, NEW_CAMERA)


READS = """
status
fleet
events
camera list
camera show cam-new
camera show cam-old
gateway list
gateway show gw-old
gateway status
zone list
profile list
model list
part list
verdict list
kpi
doctor
incident list
maintenance list
rollout list
operator list
access list
auth table
whoami
ca show
trust list
audit list
playbook list
siem list
result show cam-new
evidence keep cam-new
replay --device cam-new --profile firmware_profiles/simulators-camera-1.0.0.toml
goals facts
goals show
compliance list
assess
pilot show
data status
"""
"""Commands of 0.1.0 that read, with what they need; and one that keeps evidence."""


@pytest.mark.parametrize("words", READS.split("\n")[1:-1])
def test_n106_a_command_of_before_is_answered(plant, words):
    """In JSON, and as people see it: the same exit code, and no fault of the program's own."""
    asked = words.split()
    shown = plant.old_framegate(*asked, check=False)
    again = plant.old_framegate(*asked, "-o", "json", check=False)
    found = {1} if asked == ["doctor"] else set()
    assert shown.returncode in {0, 6, 7} | found, shown.stderr
    assert again.returncode == shown.returncode, again.stderr
    assert "Traceback" not in shown.stderr + again.stderr
    assert json.loads(again.stdout) is not None


def test_n106_commands_of_before_change_what_this_version_keeps(plant, tmp_path):
    """A zone, masks, golden images, a person: written by 0.1.0, read by this version, and taken up
    by cameras and the gateway of both.
    """
    mask = tmp_path / "mask.toml"
    mask.write_text("[[region]]\npoints = [[0.0, 0.0], [0.1, 0.0], [0.1, 0.1]]\n")
    plant.old_framegate("zone", "set", "line-1", "--remark", "tried")
    assert [z["remark"] for z in plant.ask("zone", "list")] == ["tried"]
    for camera in (OLD_CAMERA, NEW_CAMERA):
        plant.old_framegate("mask", "set", camera, mask)
    golden = next(plant.golden.glob("*.png"))
    argv = ("--golden", golden, "--source", "board 1, lot 12")
    plant.old_framegate("part", "add", "drawn-9", *argv)
    assert "drawn-9" in json.dumps(plant.ask("part", "list"))
    plant.framegate("part", "add", "drawn-8", *argv)
    assert "drawn-8" in json.dumps(plant.old_ask("part", "list"))
    plant.by_old = True
    try:
        bert = plant.add_person("bert", "operator")
    finally:
        plant.by_old = False
    assert "bert" in plant.framegate("whoami", "-o", "json", who=bert).stdout
    plant.more(OLD_CAMERA, NEW_CAMERA)
    wait_for(
        "masks in a verdict",
        lambda: {OLD_CAMERA, NEW_CAMERA} <= masked(plant),
        PATIENCE_S,
    )


def masked(plant):
    """Names of the cameras whose latest frames were masked."""
    rows = plant.ask("verdict", "list", "--limit", "8")
    chains = [plant.ask("lineage", "show", row["verdict_id"]) for row in rows]
    return {
        row["device"].rpartition(".")[2]
        for row, chain in zip(rows, chains, strict=True)
        if chain["frame"]["mask_version"]
    }


def test_n106_receipts_of_either_verify_by_both(plant, tmp_path):
    for by_old in (True, False):
        file, root = tmp_path / f"{by_old}.jsonl", tmp_path / "root.pem"
        root.write_text(json.loads(plant.context.read_text())["root"])
        plant.by_old = by_old
        try:
            wait_for("receipts", lambda f=file: exported(plant, f), PATIENCE_S, every_s=1.0)
        finally:
            plant.by_old = False
        for verify in (plant.framegate, plant.old_framegate):
            done = verify("receipt", "verify", file, "--root", root, check=False)
            assert done.returncode in {0, 7}, done.stdout + done.stderr


def exported(plant, file):
    done = plant.framegate("receipt", "export", "--since", "60s", "--out", file, check=False)
    return done.returncode == 0 and file.stat().st_size


def test_n106_the_record_verifies_by_both(plant, tmp_path):
    for take in (plant.framegate, plant.old_framegate):
        log = tmp_path / "log.jsonl"
        take("audit", "export", "--out", log)
        for verify in (plant.framegate, plant.old_framegate):
            verify("audit", "verify", log, "--root", f"{log}.root.pem")


def test_n106_cameras_of_both_go_over_to_a_gateway_of_this_version(plant):
    plant.start_host(NEW_GATEWAY)
    plant.stop_host(OLD_GATEWAY)
    plant.more(OLD_CAMERA, NEW_CAMERA)
    rows = plant.old_ask("verdict", "list", "--limit", "6")
    assert {row["gateway"] for row in rows} <= {
        f"gateway.line-1.{name}" for name in (OLD_GATEWAY, NEW_GATEWAY)
    }
    assert rows[0]["gateway"] == f"gateway.line-1.{NEW_GATEWAY}"


def test_n106_a_gateway_of_before_comes_back_with_its_state(plant):
    plant.start_host(OLD_GATEWAY)
    plant.stop_host(NEW_GATEWAY)
    plant.more(OLD_CAMERA, NEW_CAMERA)


def test_n106_no_program_of_before_ended_or_met_a_fault(plant):
    """They still run, and in no log is a fault that is not a connection's, which broke as its other
    end was stopped (0.1.0 writes all of it down).
    """
    for name in (f"gateway-{OLD_GATEWAY}", f"agent-{OLD_GATEWAY}", f"agent-{OLD_CAMERA}"):
        assert plant.process(name).poll() is None, plant.log_tail(name)
    for log in plant.logs.glob("*.log"):
        for fault in re.findall(r"^Traceback.*?^\S*(?:Error|Exception)\b.*?$", _text(log), FLAGS):
            assert "old" in log.name and "RpcError" in fault, (log.name, fault)


FLAGS = re.MULTILINE | re.DOTALL


def _text(log):
    return log.read_text(errors="replace")
