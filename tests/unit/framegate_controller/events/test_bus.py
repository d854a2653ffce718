"""Who is told of a change, and who is cut off."""

import asyncio
import contextlib
import threading
from contextlib import contextmanager

import pytest

from framegate.identity.names import Kind
from framegate.machines.lifecycle import Event as Edge
from framegate_controller.events.bus import QUEUE, InMemoryBus, Listening
from framegate_controller.events.messages import MachineEvent, Wake
from framegate_controller.events.notices import (
    AccessChanged,
    AttestNow,
    DeviceChanged,
    EverybodyAttests,
    GrantsChanged,
    PartChanged,
)
from framegate_controller.rpc.trust import to_trust_update
from framegate_proto.v1 import framegate_pb2 as pb
from support.bus import snapshot

CAMERA, GATEWAY = "camera.line-1.cam1", "gateway.line-1.gw1"


NOW = 0.05


def revision(bench) -> int:
    with bench.store.reading() as tx:
        return tx.revision()


class Broken:
    """A store whose disk is gone."""

    @contextmanager
    def reading(self):
        raise OSError("disk I/O error")
        yield

    writing = reading


async def test_a_change_is_told_to_its_zone_and_to_the_machine(bench, bus):
    with bus.feed("line-1") as mine, bus.feed("line-2") as others, bus.watch(CAMERA) as events:
        bench.move(Edge.QUARANTINE)
        await bus.publish((DeviceChanged(CAMERA),))
        update = await mine.next(NOW)
        assert [(d.device, d.state, d.remaining_ms) for d in update.devices] == [
            (CAMERA, "quarantined", 0)
        ]
        assert update.revision == revision(bench) and not update.snapshot and update.access is None
        assert await events.next(NOW) == MachineEvent(Wake.STATE, "quarantined")
        assert await others.next(NOW) is None


async def test_what_befalls_a_gateway_host_changes_the_grants_of_its_zone(bench, bus):
    bench.enrol("gw1", Kind.GATEWAY)
    with bus.watch(CAMERA) as events:
        await bus.publish((DeviceChanged(GATEWAY),))
        assert await events.next(NOW) == MachineEvent(Wake.GRANTS_CHANGED)
        bench.move(Edge.QUARANTINE, GATEWAY)
        await bus.publish((DeviceChanged(GATEWAY),))
        assert await events.next(NOW) == MachineEvent(Wake.GRANTS_CHANGED, revoked=(GATEWAY,))


async def test_a_notice_for_a_gone_device_tells_nobody(bench, bus):
    with bus.feed("line-1") as feed, bus.watch("camera.line-1.nobody") as events:
        await bus.publish((DeviceChanged("camera.line-1.nobody"),))
        assert await feed.next(NOW) is None and await events.next(NOW) is None


async def test_notices_to_machines_reach_those_they_name(bench, bus):
    with bus.watch(CAMERA) as mine, bus.watch("camera.line-1.cam2") as another:
        await bus.publish((AttestNow(CAMERA), GrantsChanged(CAMERA), EverybodyAttests()))
        assert [(await mine.next(NOW)).wake for _ in range(3)] == [
            Wake.ATTEST_NOW,
            Wake.GRANTS_CHANGED,
            Wake.ATTEST_NOW,
        ]
        assert (await another.next(NOW)).wake == Wake.ATTEST_NOW and await another.next(NOW) is None


async def test_access_and_parts_reach_every_zone_and_grants_only_trusted_cameras(bench, bus):
    with (
        bus.feed("line-1") as one,
        bus.feed("line-2") as two,
        bus.watch(CAMERA) as trusted,
        bus.watch("camera.line-1.new") as stranger,
    ):
        await bus.publish((AccessChanged(grants=True), PartChanged(b"an envelope")))
        for feed in (one, two):
            assert (await feed.next(NOW)).access.quorum == 1
            assert (await feed.next(NOW)).parts == (b"an envelope",)
        assert (
            await trusted.next(NOW) == MachineEvent(Wake.GRANTS_CHANGED)
            and await stranger.next(NOW) is None
        )
        await bus.publish((AccessChanged(),))
        assert (await one.next(NOW)).access is not None and await trusted.next(NOW) is None


async def test_a_slow_listener_is_cut_off_and_others_are_not(bench, bus):
    with bus.watch(CAMERA) as slow, bus.watch(CAMERA) as reading:
        for _ in range(QUEUE // 8 + 1):
            await bus.publish((AttestNow(CAMERA),) * 8)
            for _ in range(8):
                assert await reading.next(NOW) is not None
        assert not slow.open and reading.open
        assert bus.listening == Listening(watchers=1, feeds=0)


async def test_revisions_never_fall_however_many_publish_at_once(bench, bus):
    """A gateway takes a lower revision for another registry, and closes its gate."""
    with bus.feed("line-1") as feed:
        feed.begin(snapshot(bench))

        async def change() -> None:
            def raised() -> None:
                with bench.store.writing() as tx:
                    tx.raise_revision()

            await asyncio.to_thread(raised)
            await bus.publish((DeviceChanged(CAMERA),))

        await asyncio.gather(*(change() for _ in range(20)))
        seen = [(await feed.next(NOW)).revision for _ in range(20)]
        assert seen == sorted(seen) and seen[-1] == revision(bench)
        assert feed.heartbeat().revision == revision(bench)


@pytest.fixture
def held_turn(monkeypatch):
    """(set once a turn has read the store, to be set before it tells)."""
    read, go_on = threading.Event(), threading.Event()
    original = InMemoryBus._read

    def slowly(self, notices, zones):
        replayed = original(self, notices, zones)
        read.set()
        go_on.wait(5)
        return replayed

    monkeypatch.setattr(InMemoryBus, "_read", slowly)
    return read, go_on


async def test_what_is_older_than_a_feeds_snapshot_is_not_told_to_it(bench, bus, held_turn):
    """A change that was read before the snapshot and is delivered after it would give back
    trust that is gone.
    """
    read, go_on = held_turn
    with bus.feed("line-1") as earlier:
        publishing = asyncio.create_task(bus.publish((DeviceChanged(CAMERA),)))
        await asyncio.to_thread(read.wait, 5)
        bench.move(Edge.QUARANTINE)
        with bus.feed("line-1") as feed:
            feed.begin(snapshot(bench))
            go_on.set()
            await publishing
            assert await feed.next(NOW) is None
            assert feed.heartbeat().revision == revision(bench)
        assert [d.state for d in (await earlier.next(NOW)).devices] == ["trusted"]


async def test_a_feed_that_begins_in_a_turn_is_told_nothing_that_was_read_for_no_gateway(
    bench, bus, held_turn
):
    """What was read while none listened there has neither facts nor masks; its snapshot has."""
    read, go_on = held_turn
    publishing = asyncio.create_task(bus.publish((DeviceChanged(CAMERA),)))
    await asyncio.to_thread(read.wait, 5)
    with bus.feed("line-1") as feed:
        begun = feed.begin(snapshot(bench))
        go_on.set()
        await publishing
        assert begun.devices[0].facts and await feed.next(NOW) is None


@pytest.mark.parametrize("zones", [(), ("line-2",), ("line-1",)])
async def test_who_follows_every_machine_hears_of_it_whoever_else_listens(bench, bus, zones):
    heard = []
    bus.follow(heard.append, lambda: None)
    with contextlib.ExitStack() as feeds:
        for zone in zones:
            feeds.enter_context(bus.feed(zone))
        await bus.publish((DeviceChanged(CAMERA),))
    (told,) = heard
    standing = bench.device(CAMERA).standing
    assert (told.device, told.state, told.standing) == (CAMERA, "trusted", standing)
    assert told.remaining_ms == standing.expires_ms - bench.clock() > 0
    assert bool(told.facts) == (zones == ("line-1",))


async def test_a_heartbeat_needs_no_database_and_knows_the_last_revision(bench, bus):
    with bus.feed("line-1") as feed:
        before = feed.begin(snapshot(bench)).revision
        bus._store = Broken()
        beat = feed.heartbeat()
        assert (
            beat.revision == before
            and beat.now_ms == bench.clock()
            and beat.controller == bench.fleet.controller
        )
        assert to_trust_update(beat) == pb.TrustUpdate(
            revision=before, now_ms=bench.clock(), controller=bench.fleet.controller
        )
        bus._store = bench.store
        with bench.store.writing() as tx:
            tx.raise_revision()
        await bus.publish(())  # nothing to tell: the bus only looks
        bus._store = Broken()
        assert feed.heartbeat().revision == before + 1


async def test_listeners_start_again_where_the_store_could_not_be_read(bench, bus):
    with bus.feed("line-1") as feed, bus.watch(CAMERA) as events:
        bus._store = Broken()
        with pytest.raises(OSError, match="disk"):
            await bus.publish((DeviceChanged(CAMERA),))
        assert not feed.open and not events.open


async def test_who_has_gone_is_counted_no_more(bench, bus):
    with bus.feed("line-1"), bus.watch(CAMERA), bus.watch(CAMERA):
        assert bus.listening == Listening(watchers=2, feeds=1)
    assert bus.listening == Listening(watchers=0, feeds=0)


async def test_what_is_said_while_a_turn_is_under_way_is_told_in_the_next_one_together(
    bench, bus, monkeypatch
):
    read, go_on, looks = threading.Event(), threading.Event(), []
    original = InMemoryBus._read

    def slowly(self, notices, zones):
        looks.append(notices)
        read.set()
        go_on.wait(5)
        return original(self, notices, zones)

    monkeypatch.setattr(InMemoryBus, "_read", slowly)
    with bus.watch(CAMERA) as machine:
        first = asyncio.create_task(bus.publish((AttestNow(CAMERA),)))
        await asyncio.to_thread(read.wait, 5)
        others = [asyncio.create_task(bus.publish((GrantsChanged(CAMERA),))) for _ in range(5)]
        await asyncio.sleep(0)
        others[0].cancel()  # who hangs up takes nobody's word with it
        go_on.set()
        await asyncio.gather(first, *others, return_exceptions=True)
        told = [(await machine.next(NOW)).wake for _ in range(6)]
        assert told == [Wake.ATTEST_NOW, *[Wake.GRANTS_CHANGED] * 5]
    assert [len(notices) for notices in looks] == [1, 5]


async def test_a_turn_that_fails_fails_for_all_who_are_in_it_and_the_next_one_is_another(
    bench, bus, monkeypatch
):
    read, go_on = threading.Event(), threading.Event()

    def broken(self, notices, zones):
        read.set()
        go_on.wait(5)
        raise OSError("the store is away")

    with bus.watch(CAMERA) as machine:
        with monkeypatch.context() as away:
            away.setattr(InMemoryBus, "_read", broken)
            calls = [asyncio.create_task(bus.publish((AttestNow(CAMERA),)))]
            await asyncio.to_thread(read.wait, 5)
            calls += [asyncio.create_task(bus.publish((AttestNow(CAMERA),))) for _ in range(3)]
            await asyncio.sleep(0)
            go_on.set()
            came = await asyncio.gather(*calls, return_exceptions=True)
            assert [type(error) for error in came] == [OSError] * 4
        assert not machine.open, "who may have missed something begins again"
    with bus.watch(CAMERA) as machine:
        await bus.publish((AttestNow(CAMERA),))
        assert (await machine.next(NOW)).wake == Wake.ATTEST_NOW
