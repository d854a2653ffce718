"""Who feeds the watchdog, and when nobody does."""

import asyncio
import os
import socket

import pytest

from framegate_host.service_manager import NOBODY, ServiceManager
from framegate_host.watchdog import LOOK_S, Outstanding, Promise, Watchdog, watched_over


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_a_promise_that_is_kept_is_not_late(clock):
    promise = Promise("signing", clock)
    assert promise.late_s == 0  # nothing was promised so far
    promise.within(10)
    clock.now += 10
    assert promise.late_s == 0
    promise.within(10)
    clock.now += 13
    assert promise.late_s == 3
    promise.rest()
    assert promise.late_s == 0


def test_answers_are_as_late_as_the_oldest(clock):
    owed = Outstanding("inspection", 10, clock)
    with owed.one():
        clock.now += 8
        with owed.one():
            clock.now += 5
            assert owed.late_s == 3
    assert owed.late_s == 0


async def test_nobody_waits_for_answers_that_came(clock):
    owed = Outstanding("inspection", 10, clock)
    await asyncio.wait_for(owed.none(), 30)
    with pytest.raises(OSError, match="broke off"), owed.one():
        raise OSError("broke off")
    await asyncio.wait_for(owed.none(), 30)
    with owed.one():
        assert not owed._none.is_set()


def test_a_broken_promise_is_named_once_and_not_fed(clock, caplog, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        heard.setblocking(False)
        kept, broken = Promise("signing", clock), Promise("attestation", clock)
        dog = Watchdog(ServiceManager(str(tmp_path / "notify"), 30), lambda: (kept, broken))
        kept.within(1000)
        broken.within(10)
        assert dog.look() and heard.recv(100) == b"WATCHDOG=1"
        clock.now += 15
        assert not dog.look() and not dog.look()
        with pytest.raises(BlockingIOError):
            heard.recv(100)
        assert [r.message.split(";")[0] for r in caplog.records] == [
            "attestation stands still: 5 s over its time"
        ]
        broken.within(10)
        assert dog.look() and heard.recv(100) == b"WATCHDOG=1"
        assert caplog.records[-1].message == "attestation goes on"


def test_signs_of_life_come_well_within_the_managers_time():
    assert Watchdog(ServiceManager("/x", 30), tuple).every_s == 7.5
    assert Watchdog(NOBODY, tuple).every_s == LOOK_S


async def test_a_loop_that_stands_still_starves_the_watchdog(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        heard.setblocking(False)
        loop, promise = asyncio.get_running_loop(), Promise("work")
        manager = ServiceManager.of(
            {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "40000"}, os.getpid()
        )
        async with watched_over(manager, lambda: (promise,)):
            async with asyncio.timeout(30):
                assert await loop.sock_recv(heard, 100) == b"WATCHDOG=1"
                promise.within(-1)
                # what was sent before is read; then nothing more comes, however often it looks
                looks = 0
                while looks < 5:
                    await asyncio.sleep(0.01)
                    try:
                        heard.recv(100)
                        looks = 0
                    except BlockingIOError:
                        looks += 1
