"""N193: another program answers in the kernel's place, or makes events up, on an enforcer's netlink
socket.
"""

import struct
from collections import deque

import pytest

from framegate.errors import Refused, Unavailable
from framegate_segment.netlink.channel import KERNEL, Channel
from framegate_segment.netlink.codec import ERROR, HEADER
from framegate_segment.netlink.ruleset_events import RulesetEvents

FORGER = 4711


def answer(sequence: int, code: int = 0) -> bytes:
    body = struct.pack("=i", -code)
    return HEADER.pack(HEADER.size + len(body), ERROR, 0, sequence, 0) + body


class FakeSocket:
    """What came, and from whom."""

    def __init__(self, *came: tuple[bytes, int]) -> None:
        self.came = deque(came)

    def sendto(self, data, _address):
        return len(data)

    def recvfrom(self, _size):
        if not self.came:
            raise BlockingIOError
        data, sender = self.came.popleft()
        return data, (sender, 0)

    def settimeout(self, _seconds): ...


def channel(*came) -> Channel:
    made = Channel.__new__(Channel)
    made.socket = FakeSocket(*came)
    return made


def test_n193_an_acknowledgement_of_another_program_acknowledges_nothing():
    """The kernel refused a rule, and a program said before that it was taken."""
    asked = channel((answer(7), FORGER), (answer(7, code=1), KERNEL))
    with pytest.raises(Refused, match="EPERM"):
        asked.commit(b"a batch", 7)
    with pytest.raises(Unavailable):
        channel((answer(7), FORGER)).commit(b"a batch", 7)
    channel((answer(7, code=1), FORGER), (answer(7), KERNEL)).commit(b"a batch", 7)


def test_n193_a_dump_has_in_it_what_the_kernel_said():
    forged, true = (HEADER.pack(20, 5, 0, 3, 0) + bytes([f, 0, 0, 0]) for f in (2, 10))
    done = HEADER.pack(16, 3, 0, 3, 0)
    listed = channel((forged + done, FORGER), (true + done, KERNEL)).dump(b"", 3)
    assert [message.family for message in listed] == [10]


def test_n193_events_that_a_program_makes_up_are_none():
    events = RulesetEvents(frozenset({"framegate"}), lambda port: False, channel((b"", FORGER)))
    assert events.read() == []
    flood = channel(*[(answer(1), FORGER)] * 100, (answer(2), KERNEL))
    assert [message.sequence for message in flood.events()] == [2]
