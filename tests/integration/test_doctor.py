"""What `framegate-agent doctor` says of a real TPM (swtpm)."""

import hashlib

import pytest
import tpm2_pytss as tss

from framegate_agent.doctor import Finding, examine
from framegate_agent.state import StateFile
from framegate_agent.tpm.templates import EK_TEMPLATES
from framegate_simulators.machine.boot import Firmware
from framegate_simulators.machine.ima import ImaMachine
from framegate_simulators.machine.machine import Machine

pytestmark = pytest.mark.swtpm


def test_doctor_on_a_sound_and_on_a_sick_machine(machine, socket_folder):
    findings = {
        f.check: f
        for f in examine(StateFile(socket_folder / "a"), machine.tcti, machine.boot_log_path)
    }
    assert all(
        findings[c].good
        for c in (
            "TPM device",
            "stale handles",
            "lockout",
            "endorsement key",
            "attestation key",
            "boot log",
            "clock",
        )
    )
    assert not findings["joined"].good and "framegate-agent join" in findings["joined"].fix
    (socket_folder / "log").write_bytes(machine.boot_log_path.read_bytes()[:-70])
    with tss.ESAPI(machine.tcti) as esys:
        template = tss.TPM2B_PUBLIC(
            publicArea=tss.TPMT_PUBLIC.unmarshal(EK_TEMPLATES[0x01C0000A][1])[0]
        )
        esys.create_primary(
            tss.TPM2B_SENSITIVE_CREATE(), template, tss.ESYS_TR.ENDORSEMENT
        )  # left in the TPM
    findings = {
        f.check: f
        for f in examine(StateFile(socket_folder / "a"), machine.tcti, socket_folder / "log")
    }
    assert not findings["stale handles"].good and "flushcontext" in findings["stale handles"].fix
    assert not findings["boot log"].good and findings["boot log"].fix
    findings = {
        f.check: f
        for f in examine(
            StateFile(socket_folder / "a"), "device:/dev/no-such-tpm", socket_folder / "none"
        )
    }
    assert not findings["TPM device"].good and not findings["TPM answers"].good


def test_doctor_tells_a_separator_of_user_space_from_a_wrong_log(machine, socket_folder):
    def said() -> Finding:
        findings = examine(StateFile(socket_folder / "a"), machine.tcti, machine.boot_log_path)
        return next(f for f in findings if f.check == "boot log")

    word = hashlib.sha256(b"os-separator").digest()
    with tss.ESAPI(machine.tcti) as esys:
        for pcr in range(8):
            if pcr == 7:
                assert not said().good, "in all of PCR 0 to 7, or somebody else did it"
            digest = tss.TPMT_HA(hashAlg=tss.TPM2_ALG.SHA256, digest=tss.TPMU_HA(sha256=word))
            esys.pcr_extend(
                getattr(tss.ESYS_TR, f"PCR{pcr}"), tss.TPML_DIGEST_VALUES(digests=[digest])
            )
    assert said().good and "systemd-os-separator" in said().seen


def test_doctor_tells_of_a_list_that_no_profile_judges(machine, socket_folder):
    ima = ImaMachine()
    ima.measure(b"/opt/framegate/x", b"x" * 32)
    ima.measure(b"/usr/bin/y", b"y" * 32, pcr=11)
    (socket_folder / "ima").write_bytes(ima.list_from())
    (finding,) = [
        f
        for f in examine(
            StateFile(socket_folder / "a"),
            machine.tcti,
            machine.boot_log_path,
            socket_folder / "ima",
        )
        if f.check == "IMA list"
    ]
    assert not finding.good and "pcr=11" in finding.fix


def test_doctor_sees_an_ek_that_is_not_the_certificates(socket_folder, maker):
    machine = Machine(socket_folder / "m", maker, Firmware("simulated-camera"))
    machine.power_on()
    with tss.ESAPI(machine.tcti) as esys:
        esys.change_eps(tss.ESYS_TR.PLATFORM)
    findings = {
        f.check: f
        for f in examine(StateFile(socket_folder / "a"), machine.tcti, machine.boot_log_path)
    }
    assert (
        not findings["endorsement key"].good and "pin the new EK" in findings["endorsement key"].fix
    )
    machine.power_cut()
