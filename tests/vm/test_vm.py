"""A machine as it is in the field, from an empty disk to a changed kernel command line: the
acceptance test of the agent. Minutes, emulated; its own target, `make vm-test`.
"""

import json
import shutil
import time

import pytest

from framegate_simulators.plant.plant import Plant
from vm.machine import BUILD, CMDLINE, ROOT, VirtualMachine, lacking

pytestmark = pytest.mark.alone
HOST = "10.0.2.2"
"""What the machine calls the host that emulates it."""


@pytest.fixture(scope="module")
def machine():
    if reason := lacking():
        pytest.skip(reason)
    packages = [
        next((ROOT / "build/packages").glob(f"{name}_*.deb"))
        for name in ("framegate-agent", "framegate-agent-camera")
    ]
    one = VirtualMachine(BUILD / "cam1", packages)
    yield one
    one.cut()


@pytest.fixture(scope="module")
def plant():
    with Plant(interval_s=20.0) as outside:
        outside._controller_extra = ["--advertise", HOST]
        outside.found_fleet()
        outside.start_controller()
        yield outside


def state(plant):
    told = plant.framegate("camera", "show", "cam1", "-o", "json", check=False).stdout
    return json.loads(told)["state"]


def wait(what, done, seconds=240.0):
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, what
        time.sleep(1.0)


def test_a_machine_in_the_field(machine, plant):
    machine.on()
    found = {f["check"]: f for f in json.loads(doctor(machine))}
    for check in ("TPM device", "lockout", "endorsement key", "attestation key", "boot log"):
        assert found[check]["good"] or check == "endorsement key", found[check]
    ek = machine.sh("runuser -u framegate-agent -- framegate-agent ek").out.strip()
    ticket = plant.folder / "cam1.ticket"
    plant.framegate(
        "camera", "invite", "cam1", "--profile", "simulated-camera", "--ek-hash", ek, "--out",
        ticket,
    )  # fmt: skip
    joined = machine.sh(
        f"runuser -u framegate-agent -- framegate-agent join '{ticket.read_text().strip()}'",
        ok=False,
    )
    assert "camera.line-1.cam1 is suspect" in joined["err"], joined
    # what it booted is learnt from it, signed, and in force
    plant.command(
        "framegate-controller", "profile", "signer", "ours", "--out", plant.folder / "signer.pem",
        "--state", plant.folder / "controller",
    )  # fmt: skip
    plant.framegate(
        "camera", "adopt", "cam1", "--key", plant.folder / "signer.pem", "--model", "field", "--yes"
    )
    machine.sh("systemctl start framegate-agent")
    wait("it is trusted", lambda: state(plant) == "trusted")
    machine.off()
    # a reboot is no alarm
    machine.on()
    wait("it is trusted after a boot", lambda: state(plant) == "trusted")
    shutil.copytree(machine.folder, BUILD / "kept", dirs_exist_ok=True)
    # a changed file
    target = "/opt/framegate/agent/lib/python3.11/site-packages/framegate/glob.py"
    machine.sh(f"echo '# one more line' >> {target} && systemctl restart framegate-agent")
    machine.sh(f"runuser -u framegate-agent -- cat {target} > /dev/null")
    wait("a changed file is seen", lambda: state(plant) == "suspect")
    machine.off()
    machine.on(CMDLINE + " debug")
    wait("a changed command line is seen", lambda: state(plant) == "suspect")


def doctor(machine) -> str:
    return machine.sh("runuser -u framegate-agent -- framegate-agent doctor -o json", ok=False).out
