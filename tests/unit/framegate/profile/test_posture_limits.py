"""Limits on a machine's posture."""

import dataclasses

import pytest

from framegate.errors import Malformed, Reason
from framegate.profile.posture_limits import parse_limits, posture_failures
from support.posture import SOUND

LIMITS = {
    "os_ids": ["debian"],
    "kernels": ["6.1.*"],
    "agents": ["a" * 64],
    "listeners": ["tcp 0.0.0.0:22"],
    "usb": ["1d6b:0002"],
    "video": ["video0 *"],
    "shells": ["root"],
    "modules_denied": ["usb_storage"],
    "lockdown": "integrity",
    "encrypted_root": True,
    "firewall": True,
    "max_clock_skew_s": 60,
}


def test_a_machine_within_its_limits():
    assert posture_failures(SOUND, parse_limits(LIMITS), 1_000_000) == []


@pytest.mark.parametrize(
    "change",
    [
        {"os_id": "arch"},
        {"kernel": "6.2.0"},
        {"agent_sha256": "b" * 64},
        {"listeners": ["tcp 0.0.0.0:1337"]},
        {"usb": ["dead:beef"]},
        {"video": ["video1 Fake"]},
        {"shells": ["root", "eve"]},
        {"modules": ["ext4", "usb_storage"]},
        {"lockdown": "none"},
        {"lockdown": ""},
        {"lockdown": "more"},
        {"encrypted_root": 0},
        {"encrypted_root": -1},
        {"firewall": 0},
        {"firewall": -1},
        {"clock_ms": 1_061_000},
        {"clock_ms": 0},
    ],
)
def test_a_machine_beyond_one_limit_says_which_and_that_it_is_self_reported(change):
    failures = posture_failures(
        dataclasses.replace(SOUND, **change), parse_limits(LIMITS), 1_000_000
    )
    assert (
        len(failures) == 1
        and failures[0].reason == Reason.POSTURE
        and "self-reported" in failures[0].hint
    )


@pytest.mark.parametrize(
    "table",
    [
        {},
        {"os_ids": []},
        {"os_ids": ["x"], "usb": "all"},
        {"os_ids": ["x"], "lockdown": "strict"},
        {"os_ids": ["x"], "firewall": 1},
        {"os_ids": ["x"], "max_clock_skew_s": 0},
        {"os_ids": ["x"], "frobnicate": True},
    ],
)
def test_limits_that_are_none(table):
    with pytest.raises(Malformed) as caught:
        parse_limits(table)
    assert caught.value.reason == Reason.PROFILE_INVALID
