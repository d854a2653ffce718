"""The agent on a machine as it is in the field: UEFI, GRUB, Debian's kernel with real IMA, the TPM
behind its driver, the agent as a packaged service. `make vm-test` accepts the agent by it.
"""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from framegate_simulators.plant.plant import Plant
from vm.disk import BUILD
from vm.machine import FIRMWARE
from vm.story import INTERVAL_S, Story

pytestmark = pytest.mark.alone
PROGRAMS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "swtpm": "swtpm",
    "mmdebstrap": "mmdebstrap",
    "mcopy": "mtools",
    "mkfs.vfat": "dosfstools",
    "sfdisk": "fdisk",
}
"""And the packages of Debian's that bring them."""


def lacking() -> str:
    """Why no such machine can be made here, in words; empty where one can."""
    if os.geteuid():
        return "only root makes a system's disk"
    if not (FIRMWARE / "OVMF_CODE_4M.fd").exists():
        return "no UEFI firmware for virtual machines: apt-get install ovmf"
    missing = [package for program, package in PROGRAMS.items() if shutil.which(program) is None]
    return f"needs apt-get install {' '.join(missing)}" if missing else ""


@pytest.fixture(scope="module")
def seen():
    if reason := lacking():
        pytest.skip(reason)
    BUILD.mkdir(parents=True, exist_ok=True)
    # short, for Unix sockets, and on a disk
    folder = Path(tempfile.mkdtemp(prefix="fgvm-", dir=os.environ.get("VM_FOLDER")))
    with Plant(interval_s=INTERVAL_S, logs=BUILD / "logs") as plant:
        told = Story(folder, plant).tell()
    for kept in ("boot_log", "ima"):
        if (folder / kept).exists():
            shutil.copy(folder / kept, BUILD / kept)
    for console in folder.glob("console-*"):
        shutil.copy(console, BUILD / console.name)
    shutil.rmtree(folder)
    assert "fault" not in told, f"{told['fault']}\n{told.get('journal')}"
    return told


def test_doctor_finds_a_machine_that_measures_itself(seen):
    doctor = seen["first_boot"]["doctor"]
    # it has not joined yet; all else is as it should be
    assert "replays" in doctor and doctor.count(" bad") == 1


def test_a_machine_of_no_known_model_is_suspect(seen):
    assert seen["first_boot"]["state"] == "suspect"


def test_under_the_profile_learned_from_it_it_is_trusted(seen):
    assert seen["adopted"]["state"] == "trusted"


def test_its_frames_are_inspected(seen):
    assert set(seen["streams"]["outcomes"]) <= {"PASS", "DEFECT"} and seen["streams"]["outcomes"]
    assert seen["streams"]["state"] == "trusted"


def test_a_reboot_alarms_nobody(seen):
    assert seen["reboot"]["state"] == "trusted" and seen["reboot"]["alarms"] == 0


def test_an_upgrade_that_a_rollout_announced_alarms_nobody(seen):
    upgrade = seen["upgrade"]
    assert "+next" in upgrade["installed"]
    assert upgrade["state"] == "trusted" and upgrade["alarms"] == 0


def test_a_program_that_nobody_knows_makes_it_suspect(seen):
    assert seen["changed_file"]["state"] == "suspect"
    assert "/usr/local/bin/odd" in seen["changed_file"]["why"]
    assert seen["changed_file"]["mended"] == "trusted"


def test_another_command_line_makes_it_suspect(seen):
    changed = seen["changed_command_line"]
    assert changed["state"] == "suspect" and "sig_enforce" in changed["why"]


def test_a_controllers_service_signs_with_keys_in_the_tpm(seen):
    """It says ready once it has a certificate of its own, which its server CA signs in the TPM."""
    told = seen["controller_in_the_tpm"]
    assert "ActiveState=active" in told["with"] and "join port" in told["with"]


def test_without_its_packages_drop_in_the_service_sees_no_tpm(seen):
    told = seen["controller_in_the_tpm"]
    assert "ActiveState=active" not in told["without"]
    assert "/dev/tpmrm0" in told["journal"]
