"""Whether a machine is a profile's model with something changed, or another model."""

from dataclasses import replace

import pytest

from framegate.eventlog import parse_boot_log
from framegate.profile.likeness import likeness
from framegate.profile.model import parse_profile
from framegate.tpm.attest import PcrSelection
from framegate.tpm.constants import Alg
from framegate_simulators.machine.boot import Firmware, boot_log, measurements, profile_toml

OURS = Firmware("m")
PROFILE = parse_profile(profile_toml(OURS, "m").encode())


def alike(firmware: Firmware):
    return likeness(parse_boot_log(boot_log(measurements(firmware))), PROFILE)


def test_a_machine_of_the_model_is_known_whole():
    mine = alike(OURS)
    assert mine.known == mine.events > 10 and mine.platform_known == mine.platform > 3
    assert not mine.other_model


@pytest.mark.parametrize(
    "changed",
    [
        OURS.tampered(),
        replace(OURS, version="2.0.0"),
        replace(OURS, kernel="other"),
        replace(OURS, extra_event="implant"),
        replace(OURS, secure_boot=False),
    ],
    ids=["boot loader", "firmware update", "kernel", "one event more", "Secure Boot off"],
)
def test_a_changed_machine_is_no_other_model(changed):
    mine = alike(changed)
    assert mine.known < mine.events or changed.secure_boot != OURS.secure_boot
    assert not mine.other_model


def test_another_model_is_told_from_its_firmware_though_it_shares_a_boot_loader():
    other = alike(Firmware("x"))
    assert other.other_model and other.known > 0
    assert other.platform_known == 0


def test_a_log_without_the_profiles_bank_is_like_nothing():
    pcrs = PROFILE.selection.pcrs
    other = replace(PROFILE, selection=PcrSelection(Alg.SHA384, pcrs))
    log = parse_boot_log(boot_log(measurements(OURS)))
    assert likeness(log, other).known == 0 and likeness(log, other).other_model


def test_a_rule_that_claims_whatever_comes_makes_no_likeness():
    rules = tuple(replace(r, digests=None) for r in PROFILE.rules)
    log = parse_boot_log(boot_log(measurements(OURS)))
    assert likeness(log, replace(PROFILE, rules=rules)).known == 0
