"""What the appraisal of verified evidence says of a boot."""

from dataclasses import replace

import pytest

from framegate.errors import Reason
from framegate.eventlog import parse_boot_log
from framegate.evidence import verify
from framegate.evidence.appraise import AttestationResult, appraise, event_failures
from framegate.profile.model import parse_profile
from framegate_simulators.machine.boot import Firmware, boot_log, measurements, profile_toml
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
    names = AttestationResult.__dataclass_fields__
    with pytest.raises(TypeError, match="appraise"):
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
