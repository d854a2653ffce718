"""What a posture may be and how its changes read."""

import dataclasses
import json

import pytest

from framegate.errors import Malformed
from framegate.profile.posture import MAX_LIST, parse_posture
from framegate.profile.posture_limits import posture_changes
from support.posture import SOUND


@pytest.mark.parametrize(
    "change",
    [
        {"usb": ["x"] * (MAX_LIST + 1)},
        {"usb": ["x\n"]},
        {"usb": [1]},
        {"usb": "x"},
        {"kernel": "x" * 600},
        {"uptime_s": True},
        {"firewall": "3"},
    ],
)
def test_postures_that_are_none(change):

    body = dataclasses.asdict(SOUND) | change
    with pytest.raises(Malformed):
        parse_posture(json.dumps(body).encode())


def test_changes_in_words():
    later = dataclasses.replace(
        SOUND,
        uptime_s=900,
        clock_ms=5,
        listeners=["tcp 0.0.0.0:22", "tcp 0.0.0.0:1337"],
        usb=[],
        reboot_pending=True,
    )
    assert posture_changes(SOUND, later) == [
        "new listener tcp 0.0.0.0:1337",
        "USB device gone 1d6b:0002",
        "reboot pending False -> True",
    ]
    assert posture_changes(SOUND, dataclasses.replace(SOUND, uptime_s=7, clock_ms=9)) == []
