"""What is told behind its answer."""

import asyncio

from framegate_controller.events.behind import ToldBehind
from framegate_controller.events.notices import DeviceChanged

A, B, C = map(DeviceChanged, "abc")
NEVER_S = 3_600.0


class Listener:
    """A bus that remembers what it was told, each time together; `fails` the first time."""

    def __init__(self, *, fails: bool = False) -> None:
        self.told, self.fails, self.heard = [], fails, asyncio.Event()

    async def publish(self, notices):
        self.told.append(notices)
        self.heard.set()
        if self.fails:
            self.fails = False
            raise RuntimeError("no store")


async def heard(bus):
    await asyncio.wait_for(bus.heard.wait(), 30)
    bus.heard.clear()


async def test_what_comes_meanwhile_is_told_once_and_together():
    bus = Listener()
    behind = ToldBehind(bus, 0.0)
    for notice in (A, B, A):
        behind.tell(notice)
    assert not bus.told, "nobody waits for it"
    await heard(bus)
    assert bus.told == [(A, B)]
    behind.tell(A)
    await heard(bus)
    assert bus.told == [(A, B), (A,)]


async def test_who_could_not_be_told_keeps_nobody_else_from_it(caplog):
    bus = Listener(fails=True)
    behind = ToldBehind(bus, 0.0)
    behind.tell(A)
    await heard(bus)
    assert "were not told of" in caplog.text
    behind.tell(B)
    await heard(bus)
    assert bus.told == [(A,), (B,)]


async def test_what_waits_at_the_end_is_told_then_and_what_comes_later_at_once():
    bus = Listener()
    behind = ToldBehind(bus, NEVER_S)
    behind.tell(A)
    await behind.stop()
    await heard(bus)
    assert bus.told == [(A,)]
    behind.tell(B)
    await heard(bus)
    assert bus.told == [(A,), (B,)]
    await behind.stop()
    assert bus.told == [(A,), (B,)], "nothing waited"


async def test_what_comes_while_it_is_told_is_told_next():
    bus, gate = Listener(), asyncio.Event()
    told = bus.publish

    async def slow(notices):
        await told(notices)
        await gate.wait()

    bus.publish = slow
    behind = ToldBehind(bus, 0.0)
    behind.tell(A)
    await heard(bus)
    behind.tell(A)
    behind.tell(C)
    gate.set()
    await heard(bus)
    assert bus.told == [(A,), (A, C)]
