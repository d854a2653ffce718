"""The servers' images, built by `scripts/images.sh build`, run as a small plant: `make image`.

Nobody's registry is asked. podman does what `packaging/images/compose.yaml` says, on a network of
the test's own.
"""

import json
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from images.composed import PODMAN, ROOT, lacking, run
from images.small_plant import SmallPlant, wait

pytestmark = pytest.mark.alone
USERS = {
    "controller": 6472,
    "database": 6478,
    "broker": 6479,
    "gateway": 6471,
    "line": 6473,
    "agent": 6470,
    "console": 6475,
}
WRITES = {
    "controller": "/var/lib/framegate-controller",
    "database": "/var/lib/postgresql/fleet",
    "gateway": "/var/lib/framegate-gateway",
    "line": "/var/lib/framegate-line",
    "agent": "/var/lib/framegate-agent",
}

STRANGER = """
$SIG{PIPE} = "IGNORE";  # who is hung up on before a word was said has its answer, too
socket(S, AF_UNIX, SOCK_STREAM, 0);
connect(S, pack_sockaddr_un("/run/framegate/agent.sock")) or die;
syswrite(S, pack("N", 4) . "abcd");
print sysread(S, my $answer, 9) // -1;
"""


@pytest.fixture(scope="module")
def plant():
    if reason := lacking():
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="fgi-"))  # short: Unix sockets have 107 bytes
    folder.chmod(0o755)  # users of containers reach what is handed to them
    try:
        with SmallPlant(folder) as running:
            yield running
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("name", USERS)
def test_a_container_is_nobodys_root_and_can_write_its_state_alone(plant, name):
    composed, uid = plant.composed, USERS[name]
    of = composed.of(name)
    status = Path(f"/proc/{of['State']['Pid']}/status").read_text()
    lines = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert lines["Uid"].split() == [str(uid)] * 4
    for capabilities in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(lines[capabilities], 16) == 0, capabilities
    assert lines["NoNewPrivs"].strip() == "1" and lines["Seccomp"].strip() == "2"
    assert of["HostConfig"]["ReadonlyRootfs"] is True and of["HostConfig"]["Privileged"] is False
    for folder in ("/", "/usr/bin", "/etc", "/opt"):
        denied = composed.inside(name, "/bin/sh", "-c", f": > {folder}/here", check=False)
        assert denied.returncode, folder
    if name in WRITES:
        composed.inside(name, "/bin/sh", "-c", f": > {WRITES[name]}/here && rm {WRITES[name]}/here")


@pytest.mark.parametrize("name", USERS)
def test_a_health_check_is_content_with_what_runs(plant, name):
    assert plant.composed.healthy(name)


def test_a_health_check_sees_what_stands_still(plant):
    pid = plant.composed.of("controller")["State"]["Pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        assert not plant.composed.healthy("controller")
    finally:
        os.kill(pid, signal.SIGCONT)
    wait("it is well again", lambda: plant.composed.healthy("controller"))


def test_the_registry_is_in_the_database_which_has_no_network(plant):
    composed = plant.composed
    told = composed.inside("controller", "framegate-controller", "store", "check", "-o", "json")
    assert told.returncode == 0
    pid = composed.of("database")["State"]["Pid"]
    assert Path(f"/proc/{pid}/net/tcp").read_text().count("\n") == 1, "a heading and no socket"
    stranger = ("psql", "--host=/run/postgresql", "--username=framegate", "--dbname=framegate")
    refused = composed.inside(
        "database", "env", "PGPASSWORD=another", *stranger, "-c", "SELECT 1", check=False
    )
    assert "password authentication failed" in refused.stderr


def test_a_containers_gateway_is_warranted_for_by_the_hosts_agent(plant):
    log = plant.composed.log("gateway")
    assert "warranted by gateway.line-1.gw1" in log
    (cage,) = [x for x in log.splitlines() if "inference child:" in x]
    for layer in ("no files (Landlock", "system calls", "no new privileges"):
        assert layer in cage
    assert "lacks" not in cage
    shown = json.loads(plant.hub("framegate", "gateway", "list", "-o", "json").stdout)
    assert [g["state"] for g in shown] == ["trusted"]


def test_n126_another_program_in_that_container_is_not_heard(plant):
    """Of the gateway's uid, and at the very socket."""
    told = plant.composed.inside("gateway", "perl", "-MSocket", "-e", STRANGER, check=False)
    assert told.stdout.strip() in {"0", "-1"}, told.stderr
    log = (plant.folder / "gw1-agent.log").read_text()
    assert "/usr/bin/perl" in log


def test_machines_and_lines_of_images_are_part_of_the_fleet(plant):
    cameras = json.loads(plant.hub("framegate", "camera", "list", "-o", "json").stdout)
    assert [c["device"] for c in cameras] == ["camera.line-1.cam1"]
    wait(
        "a trusted camera",
        lambda: "trusted" in plant.hub("framegate", "camera", "list", "-o", "json").stdout,
    )
    assert plant.composed.inside("line", "framegate-line", "status", "--line", "press-7")


def test_the_console_answers_to_its_name_alone(plant):
    asked = plant.page("/signin", "console.plant.example:8443")
    assert asked["status"] == 200 and "default-src 'none'" in asked["policy"]
    assert plant.page("/signin", "another.plant.example:8443")["status"] >= 400
    assert "the console of fleet plant is at https://" in plant.composed.log("console")


def test_what_it_took_is_told(plant):
    """For docs/reference/footprint.md: sizes of the images, seconds of each step."""
    sizes = {}
    for name in USERS:
        image = f"localhost/framegate-{name}"
        told = run(*PODMAN, "image", "inspect", "--format", "{{.Size}}", image).stdout
        sizes[name] = int(told)
    out = ROOT / "build/images/seen.json"
    out.write_text(json.dumps({"bytes": sizes, "seconds": plant.seconds}, indent=1) + "\n")
    assert all(sizes.values())


@pytest.mark.parametrize(
    "name", ["console", "gateway", "line", "agent", "controller", "broker", "database"]
)
def test_a_container_ends_when_it_is_told_to(plant, name):
    """The last of all: within what the compose file gives it, and by itself."""
    full = plant.composed.of(name)["Name"]
    done = subprocess.run([*PODMAN, "stop", "-t", "45", full], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert plant.composed.of(name)["State"]["ExitCode"] == 0
