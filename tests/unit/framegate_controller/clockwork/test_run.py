"""The clockwork itself: chores, their failures, and its end."""

import asyncio
import threading

import pytest

from framegate.errors import Reason, Unavailable
from framegate_controller.clockwork import run
from framegate_controller.clockwork.run import Chore, Clockwork
from framegate_controller.events.notices import DeviceChanged
from support.clockwork import staleness_of
from support.waiting import until

CAMERA = "camera.line-1.cam1"


class Panic(BaseException):
    """What a library of Rust raises that panics: pyo3's is no Exception either."""


async def test_a_chore_that_fails_is_done_again_and_its_notices_are_published(bench, caplog):
    told, times = [], iter(range(100))

    def work():
        if next(times) == 0:
            raise OSError("database is locked")
        return (DeviceChanged(CAMERA),)

    staleness, bus = staleness_of(bench)

    async def publish(notices):
        told.append(notices)

    bus.publish = publish
    clockwork = Clockwork(bus, staleness, [Chore("a chore", 0.01, work)])
    await clockwork.start()
    await until(lambda: told)
    await clockwork.stop()
    assert told[0] == (DeviceChanged(CAMERA),) and "a chore" in caplog.text


@pytest.mark.parametrize(("pause_s", "all_of_them"), [(1e9, False), (0.0, True)])
async def test_chores_with_nothing_to_tell_look_at_the_revision_together(
    bench, monkeypatch, pause_s, all_of_them
):
    """Each look is a turn of the bus, and a controller has a dozen chores."""
    monkeypatch.setattr(run, "REVISION_S", pause_s)
    told, done = [], []
    staleness, bus = staleness_of(bench)

    async def publish(notices):
        told.append(notices)

    def nothing():
        done.append(None)
        return ()

    bus.publish = publish
    clockwork = Clockwork(bus, staleness, [Chore("a", 0.001, nothing), Chore("b", 0.001, nothing)])
    await clockwork.start()
    await until(lambda: len(done) > 10)
    await clockwork.stop()
    assert len(told) == (len(done) if all_of_them else 1)
    assert set(told) == {()}


async def test_no_pause_keeps_back_what_a_chore_has_to_tell(bench, monkeypatch):
    monkeypatch.setattr(run, "REVISION_S", 1e9)
    told = []
    staleness, bus = staleness_of(bench)

    async def publish(notices):
        told.append(notices)

    bus.publish = publish
    work = [Chore("a", 0.001, lambda: ()), Chore("b", 0.001, lambda: (DeviceChanged(CAMERA),))]
    clockwork = Clockwork(bus, staleness, work)
    await clockwork.start()
    await until(lambda: told.count((DeviceChanged(CAMERA),)) > 10)
    await clockwork.stop()


async def test_no_chore_is_under_way_once_the_clockwork_has_stopped(bench):
    begun, go_on, done = threading.Event(), threading.Event(), []

    def work():
        begun.set()
        go_on.wait(5)
        done.append(1)
        return ()

    staleness, bus = staleness_of(bench)
    clockwork = Clockwork(bus, staleness, [Chore("slow", 0.001, work)])
    await clockwork.start()
    await asyncio.to_thread(begun.wait, 5)
    stopping = asyncio.create_task(clockwork.stop())
    await asyncio.sleep(0.05)
    assert not stopping.done()
    go_on.set()
    await stopping
    assert done == [1]


async def test_a_chore_promises_when_it_is_done_next(bench):
    begun, go_on = threading.Event(), threading.Event()

    def work():
        begun.set()
        go_on.wait(30)
        return ()

    staleness, bus = staleness_of(bench)
    clockwork = Clockwork(bus, staleness, [Chore("slow", 0.001, work)])
    assert clockwork.promises == ()
    await clockwork.start()
    await asyncio.to_thread(begun.wait, 30)
    (promise,) = clockwork.promises
    late, promise.clock = promise.late_s, lambda: float("inf")
    assert late == 0 and promise.late_s > 0  # one that never ends is late some day
    go_on.set()
    await clockwork.stop()
    assert clockwork.promises == ()


@pytest.mark.parametrize(
    ("error", "traceback"),
    [
        (FileNotFoundError(2, "No such file or directory", "/keys/root"), False),
        (Unavailable.of(Reason.UNAVAILABLE, "a key", "no file /keys/root"), False),
        (OSError(28, "No space left on device"), False),
        (KeyError("/keys/root"), True),
        (Panic("over what another site answered"), True),
    ],
)
async def test_a_chore_that_goes_on_failing_is_told_once(bench, caplog, error, traceback):
    turns = []

    def work():
        turns.append(1)
        raise error

    staleness, bus = staleness_of(bench)
    clockwork = Clockwork(bus, staleness, [Chore("a chore", 0.001, work)])
    await clockwork.start()
    await until(lambda: len(turns) > 20)
    await clockwork.stop()
    assert caplog.text.count("left for the next time") == 1, "at each turn the same"
    assert ("Traceback" in caplog.text) == traceback
    assert str(error).splitlines()[0] in caplog.text
