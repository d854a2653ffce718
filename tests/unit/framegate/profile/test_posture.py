"""What a posture may be and how its changes read."""

import dataclasses
import json

import pytest

from framegate.errors import Malformed, Reason
from framegate.profile.posture import MAX_LIST, VOLATILE, parse_posture, posture_text
from framegate.profile.posture_limits import posture_changes
from framegate.wire import MAX_POSTURE_BYTES
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


def test_its_bytes_are_as_kept_digests_have_them():
    """What is kept of a machine is told from what it said last by these very bytes."""
    body = dataclasses.asdict(SOUND)
    tight = json.dumps(body, sort_keys=True, separators=(",", ":"))
    assert SOUND.marshal() == tight.encode() and parse_posture(SOUND.marshal()) == SOUND
    lasting = {name: value for name, value in body.items() if name not in VOLATILE}
    assert SOUND.lasting() == json.dumps(lasting, sort_keys=True).encode()
    for name in body:
        changed = dataclasses.replace(SOUND, **{name: "another"})
        assert (changed.lasting() == SOUND.lasting()) == (name in VOLATILE), name


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


def test_a_posture_that_is_too_large():
    with pytest.raises(
        Malformed, match=f"a posture of at most {MAX_POSTURE_BYTES} bytes"
    ) as caught:
        parse_posture(b" " * (MAX_POSTURE_BYTES + 1))
    assert caught.value.reason == Reason.TOO_LARGE


def test_a_text_is_kept_of_what_is_a_posture_and_of_nothing_else():
    sound = json.dumps(dataclasses.asdict(SOUND))
    assert posture_text(sound.encode()) == sound
    for none in (b"", b"\x00", b"\xff", b"[]", sound.encode()[:-1], b"x" * (MAX_POSTURE_BYTES + 1)):
        assert posture_text(none) == ""
