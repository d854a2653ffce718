"""What controllers tell each other of changes, and what each makes of it."""

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.errors import Malformed
from framegate.machines.lifecycle import Event as Edge
from framegate_controller.events.bus import InMemoryBus
from framegate_controller.events.notices import (
    AccessChanged,
    AttestNow,
    DeviceChanged,
    EverybodyAttests,
    GrantsChanged,
    HeadSigned,
    PartChanged,
)
from framegate_controller.events.shared_bus import SharedBus
from framegate_controller.events.told import read_text, texts_of
from framegate_controller.store.shared.duties import MAX_TOLD, NoPeers
from support.waiting import until

CAMERA = "camera.line-1.cam1"
NOTICES = st.one_of(
    st.builds(DeviceChanged, st.text(max_size=200)),
    st.builds(AttestNow, st.text(max_size=200)),
    st.just(EverybodyAttests()),
    st.builds(GrantsChanged, st.text(max_size=200)),
    st.builds(AccessChanged, st.booleans()),
    st.builds(PartChanged, st.binary(max_size=3_000)),
)


class Wire(NoPeers):
    """What one controller tells comes to the ears of all, as the database brings it."""

    alone = False

    def __init__(self) -> None:
        self.ears, self.lost = [], False

    def tell(self, text: str) -> None:
        if not self.lost:
            for ears in self.ears:
                ears.heard(text)


@pytest.fixture
async def buses(bench):
    """Two controllers' buses over one registry."""
    bench.enrol()
    wire = Wire()
    made = [
        SharedBus(InMemoryBus(bench.store, bench.fleet), wire, f"controller-{n}") for n in (1, 2)
    ]
    wire.ears = [bus.start() for bus in made]
    yield (*made, wire)
    for bus in made:
        await bus.stop()


@given(st.lists(NOTICES, max_size=30))
def test_notices_come_out_as_they_went_in_in_texts_that_fit(notices):
    texts = list(texts_of(notices, "controller-1:0123456789abcdef"))
    assert all(len(text.encode()) <= MAX_TOLD for text in texts)
    read = [n for text in texts for n in read_text(text, "controller-2")]
    assert read == notices
    assert all(read_text(text, "controller-1:0123456789abcdef") == () for text in texts)


def test_of_what_is_too_long_everybody_begins_again_and_heads_each_signs_itself():
    long = PartChanged(b"x" * MAX_TOLD)
    (text,) = texts_of([DeviceChanged(CAMERA), long], "one")
    assert read_text(text, "two") is None
    assert list(texts_of([HeadSigned(b"head")], "one")) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "[]",
        "{}",
        '{"by": "one"}',
        '{"by": "one", "notices": 3}',
        '{"by": "one", "notices": [["Nothing", {}]]}',
        '{"by": "one", "notices": [["DeviceChanged", {}]]}',
        '{"by": "one", "notices": [["DeviceChanged", {"device": 7}]]}',
        '{"by": "one", "notices": [["AccessChanged", {"grants": "yes"}]]}',
        '{"by": "one", "notices": [["PartChanged", {"envelope": "§"}]]}',
        '{"by": "one", "notices": [["HeadSigned", {"head": ""}]]}',
        "[" * 10_000,
    ],
)
def test_what_is_no_text_of_a_controller_is_refused(text):
    with pytest.raises(Malformed):
        read_text(text, "two")


async def test_a_change_at_one_controller_is_told_by_the_other(bench, buses):
    one, other, _ = buses
    with other.feed("line-1") as feed, other.watch(CAMERA) as events, one.feed("line-1") as own:
        bench.move(Edge.QUARANTINE)
        await one.publish((DeviceChanged(CAMERA),))
        update = await feed.next(30)
        assert [(d.device, d.state) for d in update.devices] == [(CAMERA, "quarantined")]
        assert (await events.next(30)).state == "quarantined"
        assert [d.state for d in (await own.next(30)).devices] == ["quarantined"]
        assert await own.next(0.05) is None  # its own word does not come back to it


async def test_timers_of_the_other_hear_of_it_too(bench, buses):
    one, other, _ = buses
    heard = []
    other.follow(heard.append, lambda: None)
    await one.publish((DeviceChanged(CAMERA),))
    await until(lambda: heard)
    assert [t.device for t in heard] == [CAMERA]


async def test_where_something_may_be_missed_everybody_begins_again(bench, buses):
    one, other, wire = buses
    missed = []
    other.follow(lambda _: None, lambda: missed.append(1))
    with other.feed("line-1") as feed, one.feed("line-1") as own:
        wire.ears[1].missed()
        await until(lambda: not feed.open)
        assert own.open
        assert missed == [1]
    with other.feed("line-1") as feed:
        wire.ears[1].heard("not a text of a controller")
        await until(lambda: not feed.open)
    with other.feed("line-1") as feed:
        await one.publish((PartChanged(b"x" * MAX_TOLD),))
        await until(lambda: not feed.open)


async def test_what_waits_too_long_to_be_read_is_not_kept_for_ever(bench, buses, monkeypatch):
    _, other, _ = buses
    monkeypatch.setattr(other, "_heard", asyncio.Queue(3))
    for number in range(9):
        text = json.dumps({"by": "one", "notices": [["AttestNow", {"device": f"d{number}"}]]})
        other._take(text)
    assert other._heard.qsize() <= 3
    assert None in list(other._heard._queue)


async def test_a_change_that_the_others_were_not_told_of_is_a_change_all_the_same(bench, buses):
    from framegate.errors import Reason, Unavailable

    one, _, wire = buses

    def away(_text: str) -> None:
        raise Unavailable.of(Reason.UNAVAILABLE, "the database", "away")

    wire.tell = away
    with one.feed("line-1") as own:
        await one.publish((DeviceChanged(CAMERA),))
        assert await own.next(30) is not None
