"""A sound machine's posture."""

from framegate.profile.posture import Posture

SOUND = Posture(
    "0.1.0",
    "a" * 64,
    "debian",
    "12",
    "6.1.0-28",
    "x86_64",
    100,
    False,
    1,
    "integrity",
    1,
    12,
    1_000_000,
    True,
    ["tcp 0.0.0.0:22"],
    ["ext4"],
    ["1d6b:0002"],
    ["video0 Cam"],
    ["root"],
    [],
)
