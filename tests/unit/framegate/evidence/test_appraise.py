"""What the appraisal of verified evidence says of a boot."""

import struct
from dataclasses import fields, replace

import pytest

from framegate.errors import Reason
from framegate.eventlog import parse_boot_log
from framegate.evidence import verify
from framegate.evidence.appraise import (
    AttestationResult,
    appraise,
    secure_boot_failures,
)
from framegate.evidence.boot_events import event_failures
from framegate.profile.model import parse_profile
from framegate_simulators.machine.boot import (
    Firmware,
    Measurement,
    boot_log,
    measurements,
    profile_toml,
)
from support.boot_logs import join_with_log, reasons_without_certificate
from support.evidence import captured_evidence

CAMERA = Firmware("simulated-camera")


def test_changed_boot_loader_is_suspect_and_says_which(bench):
    answer = join_with_log(bench, boot_log(measurements(CAMERA.tampered())))
    assert answer.state == "suspect" and reasons_without_certificate(answer) == {
        Reason.EVENT_UNCLAIMED,
        Reason.EVENT_ABSENT,
    }
    absent = next(f for f in answer.failures if f.reason == Reason.EVENT_ABSENT)
    assert "boot loader in PCR 4" in absent.expected


def test_all_policy_failures_are_collected(bench):
    answer = join_with_log(
        bench,
        boot_log(
            measurements(
                replace(CAMERA, bootloader="b", kernel="k", secure_boot=False, extra_event="e")
            )
        ),
    )
    assert len(answer.failures) >= 7


PROFILE = profile_toml(Firmware("m"), "m")


def test_an_event_in_a_pcr_that_nobody_quotes():
    start = PROFILE.index('[[event]]\nname = "initrd"')
    end = PROFILE.index("[[event]]", start + 5)
    text = (PROFILE[:start] + PROFILE[end:]).replace("8, 9, 10]", "8, 10]")
    log = parse_boot_log(boot_log(measurements(Firmware("m"))))
    failures = event_failures(log, parse_profile(text.encode()))
    assert [f.reason for f in failures] == [Reason.EVENT_UNCLAIMED]
    assert "PCR 9" in str(failures[0])


def test_results_are_made_by_appraising_alone():
    names = [f.name for f in fields(AttestationResult)]
    with pytest.raises(TypeError, match="made by appraise"):
        AttestationResult(**dict.fromkeys(names, ()), witness=None)


@pytest.mark.parametrize("pcrs", ["[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 14]"])
def test_a_profile_that_asks_for_other_pcrs_and_knows_other_tpms(bench, monkeypatch, pcrs):
    evidence = captured_evidence(bench, monkeypatch)
    text = PROFILE.replace("[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]", pcrs)
    text = text.replace('firmware = "any"', 'firmware = ["00000000000000aa"]')
    result = appraise(evidence, parse_profile(text.encode()), None)
    reasons = {f.reason for f in result.failures}
    assert {Reason.PCR_SELECTION, Reason.TPM_FIRMWARE, Reason.ALLOWLIST} <= reasons
    poor = replace(evidence, posture=b"junk", quirks=("systemd-phases",), witness=verify._WITNESS)
    reasons = {f.reason for f in appraise(poor, parse_profile(PROFILE.encode()), None).failures}
    assert {Reason.QUIRK} <= reasons and not result.affirming


@pytest.mark.parametrize(
    ("name", "reason"), [("variable dbx", Reason.DBX), ("SBAT level", Reason.SBAT)]
)
def test_minima_that_a_log_leaves_open(name, reason):
    """Absent, there twice, or such that it cannot be read: never taken for enough."""
    profile, whole = parse_profile(PROFILE.encode()), measurements(Firmware("m"))
    (one,) = [m for m in whole if m.name == name]
    assert secure_boot_failures(parse_boot_log(boot_log(whole)), profile) == []
    for events in ([m for m in whole if m is not one], [*whole, one]):
        failures = secure_boot_failures(parse_boot_log(boot_log(events)), profile)
        assert {f.reason for f in failures} == {reason}
    for value in (b"\xff" * 9, b"shim,many\n"):
        broken = variable_with(one, value)
        events = [broken if m is one else m for m in whole]
        failures = secure_boot_failures(parse_boot_log(boot_log(events)), profile)
        assert {f.reason for f in failures} == {Reason.BOOT_LOG_MALFORMED}


@pytest.mark.parametrize("values", [(b"\1", b"\0"), (b"\0", b"\1"), (b"\1", b"\1")])
def test_n45_secure_boot_that_is_said_twice_is_not_on(values):
    profile, whole = parse_profile(PROFILE.encode()), measurements(Firmware("m"))
    (one,) = [m for m in whole if m.name == "variable SecureBoot"]
    first, second = (variable_with(one, value) for value in values)
    events = [x for m in whole for x in ((first, second) if m is one else (m,))]
    failures = secure_boot_failures(parse_boot_log(boot_log(events)), profile)
    assert Reason.SECURE_BOOT in {f.reason for f in failures}


def variable_with(measured: Measurement, value: bytes) -> Measurement:
    """The same variable with another value, measured as it is shown."""
    letters, _ = struct.unpack_from("<QQ", measured.data, 16)
    name = measured.data[32 : 32 + 2 * letters]
    data = measured.data[:16] + struct.pack("<QQ", letters, len(value)) + name + value
    return replace(measured, content=data, data=data)


def test_a_profile_without_minima_holds_the_variables_to_their_digests():
    lines = [
        line
        for line in PROFILE.splitlines()
        if not line.startswith(("dbx_minimum", "sbat_minimum"))
    ]
    profile = parse_profile("\n".join(lines).encode())
    log = parse_boot_log(boot_log(measurements(Firmware("m"))))
    assert secure_boot_failures(log, profile) == []
    unclaimed = {f.reason for f in event_failures(log, profile)}
    assert unclaimed == {Reason.EVENT_UNCLAIMED}


def test_a_text_that_is_not_what_was_measured():
    events = [
        replace(m, data=b"kernel_cmdline: another\0") if m.name == "command line" else m
        for m in measurements(Firmware("m"))
    ]
    failures = event_failures(parse_boot_log(boot_log(events)), parse_profile(PROFILE.encode()))
    assert Reason.EVENT_UNCLAIMED in {f.reason for f in failures if "PCR 8" in str(f)}


def test_a_profile_that_asks_for_no_list(bench, monkeypatch):
    evidence = captured_evidence(bench, monkeypatch)
    plain = parse_profile(profile_toml(replace(CAMERA, ima=False), "simulated-camera").encode())
    reasons = {f.reason for f in appraise(evidence, plain, None).failures}
    assert reasons == {Reason.PCR_SELECTION}, "and nothing is said of files"
