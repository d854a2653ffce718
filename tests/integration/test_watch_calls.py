"""What a machine hears of its controller while it watches, and for how long."""

import asyncio

import grpc
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import FramegateError
from framegate.identity.names import Kind
from framegate.identity.pem import private_pem
from framegate.machines.lifecycle import State
from framegate_controller.events.bus import Listening
from framegate_controller.events.notices import AttestNow, DeviceChanged
from framegate_controller.fleet.lifecycle_changes import quarantine, retire
from framegate_controller.rpc.fleet import heartbeat_s
from framegate_controller.server import Controller
from framegate_controller.settings import ControllerSettings
from framegate_controller.timing import Timing
from framegate_proto.edge import answered
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc
from support.fleet_port import channel, invited, joined
from support.founded import found_controller

NAME = "camera.z.cam1"
BEAT, ATTEST_NOW, STATE = pb.WatchEvent.HEARTBEAT, pb.WatchEvent.ATTEST_NOW, pb.WatchEvent.STATE


@pytest.mark.parametrize(
    ("asked_ms", "watchers", "every_s"),
    [
        (0, 1, 1.0),
        (0, 100_000, 1.0),  # one of 0.1.0, which gives up after five
        (1, 1, 1.0),
        (1_000, 200, 1.0),
        (1_000, 400, 2.0),
        (2_500, 1, 2.5),
        (5_000, 1_000, 5.0),
        (5_000, 10_000, 50.0),
        (5_000, 100_000, 60.0),
        (60_000, 1, 60.0),
        (60_001, 1, 60.0),
        (2**32 - 1, 1, 60.0),
    ],
)
def test_a_heartbeat_is_as_often_as_was_asked_within_what_is_served(asked_ms, watchers, every_s):
    assert heartbeat_s(asked_ms, watchers) == every_s


@pytest.fixture
async def connected(tmp_path, maker, monkeypatch):
    """A controller that looks each second whether who watches still stands, and the connection of
    a camera, which is not stale before the test is over.
    """
    monkeypatch.setattr(Timing, "standing_s", 1.0)
    fleet = found_controller(tmp_path)
    running = Controller(ControllerSettings(state=tmp_path, join_port=0, fleet_port=0))
    await running.start()
    forge = await asyncio.to_thread(invited, running, maker, Kind.CAMERA, "cam1", "z")
    answer = await asyncio.to_thread(joined, running, forge, b"c" * 16)
    chain = answer.certificate.public_bytes(Encoding.PEM) + fleet.issuing["device-ca"].pem
    async with channel(running, fleet, (private_pem(forge.tls.private), chain)) as opened:
        yield running, opened
    await running.stop(0)


@pytest.fixture
async def watched(connected):
    """The same, and the camera's watch after its first event."""
    running, opened = connected
    watch = rpc.FleetStub(opened).Watch(pb.WatchRequest())
    first = await answered(watch.read(), "")
    assert (first.kind, first.state) == (STATE, State.TRUSTED)
    yield running, watch
    watch.cancel()


async def test_each_event_says_how_soon_the_next_one_comes(connected, monkeypatch):
    """However many watch by then: who waits for it knows for how long."""
    running, opened = connected
    counts = iter((1, 1_000, 2_000))
    monkeypatch.setattr(
        type(running.bus), "listening", property(lambda _bus: Listening(next(counts, 2_000), 0))
    )
    watch = rpc.FleetStub(opened).Watch(pb.WatchRequest(beat_ms=1_000))
    told = [(await answered(watch.read(), "")).beat_ms for _ in range(2)]
    await running.bus.publish((AttestNow(NAME),))
    told.append((await answered(watch.read(), "")).beat_ms)
    assert told == [1_000, 5_000, 10_000]
    watch.cancel()


async def heard(watch):
    """The next that is no heartbeat."""
    while (event := await answered(watch.read(), "")) is not grpc.aio.EOF:
        if event.kind != BEAT:
            return event
    raise EOFError


def changed(running, change):
    """`change` of the camera, committed and told to nobody."""
    with running.store.writing() as tx:
        change(tx, tx.devices.get(NAME))


async def test_a_machine_that_is_as_it_was_is_not_told_so_again(watched):
    running, watch = watched
    for _ in range(3):
        await running.bus.publish((DeviceChanged(NAME),))
    await running.bus.publish((AttestNow(NAME),))
    assert (await heard(watch)).kind == ATTEST_NOW


async def test_its_heartbeats_come_however_often_it_is_renewed(watched):
    """It gives the connection up without them, and each renewal is nothing that it is told."""
    running, watch = watched

    async def renewed():
        while True:
            await running.bus.publish((DeviceChanged(NAME),))
            await asyncio.sleep(0.05)

    renewing = asyncio.create_task(renewed())
    async with asyncio.timeout(30):
        for _ in range(2):
            assert (await answered(watch.read(), "")).kind == BEAT
    renewing.cancel()


async def test_every_other_state_is_told_and_the_way_back_from_it(watched):
    running, watch = watched
    await asyncio.to_thread(changed, running, lambda tx, d: quarantine(tx, d, "a test"))
    for _ in range(2):  # not trusted is told as often as it is said: the machine attests by it
        await running.bus.publish((DeviceChanged(NAME),))
        event = await heard(watch)
        assert (event.kind, event.state) == (STATE, State.QUARANTINED)


async def test_whoever_lost_its_standing_is_cut_off_though_nobody_told_of_it(watched):
    running, watch = watched
    await asyncio.to_thread(changed, running, lambda tx, d: retire(tx, d, "a test"))
    with pytest.raises(FramegateError):
        await heard(watch)
