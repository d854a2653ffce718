"""N149: receipts have room by camera; what goes takes nothing along that a kept one needs."""

import asyncio
from dataclasses import replace

import pytest

from framegate.errors import FramegateError, Reason
from framegate.receipt_verifier import missing_frames
from framegate.signed.receipt import TriggerGap
from framegate_gateway.receipts.read import find
from framegate_gateway.receipts.retention import NEARLY_FULL, ROOM, ReceiptRetention
from framegate_gateway.receipts.rows import packed_leaves
from framegate_simulators.fixtures.gateway import CAMERA
from support.receipts import proved

pytestmark = pytest.mark.slow

OTHER = "camera.line-1.cam2"
FRAMES = 600


def used(desk, device=CAMERA) -> int:
    desk.store.settle()
    kept = {k.device: k for k in ReceiptRetention(desk.store, 1).kept()}
    return kept[device].bytes


def room_for(desk, share: float) -> int:
    """A quota down to which that share of the camera's receipts may stay, with what their session
    shares.
    """
    with desk.store.reading() as connection:
        (shared,) = connection.execute(
            "SELECT sum(length(text)) FROM shared WHERE session = ?", (desk.link.opened,)
        ).fetchone()
    return int((shared + share * (used(desk) - shared)) / ROOM) + 1


async def other(desk, count=1) -> None:
    """Receipts of another camera in the same batches."""
    for number in range(count):
        await desk.maker.gap(TriggerGap(OTHER, "s", number, number, 1, ""))


def rows(desk, table="leaves") -> int:
    with desk.store.reading() as connection:
        return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


async def test_n149_the_oldest_of_that_camera_go_and_all_that_stay_still_hold(receipts_desk):
    await other(receipts_desk, 3)
    for number in range(5, 30):
        await receipts_desk.frame(number)
    await other(receipts_desk, 3)
    before = await proved(receipts_desk)
    theirs = used(receipts_desk, OTHER)
    retention = ReceiptRetention(receipts_desk.store, room_for(receipts_desk, 0.5))
    (taken,) = retention.run()
    assert (taken.device, taken.receipts > 10) == (CAMERA, True)
    assert used(receipts_desk) <= ROOM * retention.quota
    assert used(receipts_desk, OTHER) == theirs, "a camera pushes out its own alone"
    after = receipts_desk.receipts()
    assert len(after) == len(before) - taken.receipts
    assert after == before[: len(after)], "the newest stay, with every proof they had"
    for receipt in (*after, *receipts_desk.receipts(camera=OTHER)):
        assert receipts_desk.check(receipt)
    assert retention.run() == [] and {k.device: k.pruned for k in retention.kept()} == {
        CAMERA: taken.receipts,
        OTHER: 0,
    }


async def test_n149_what_is_gone_says_so(receipts_desk):
    await other(receipts_desk)  # in the second batch, whose leaves' hashes it needs
    receipts = await proved(receipts_desk)
    ids = [receipts_desk.check(r).claims["cti"] for r in receipts]
    ReceiptRetention(receipts_desk.store, room_for(receipts_desk, 0.3)).run()
    with pytest.raises(FramegateError) as caught:
        find(receipts_desk.store, ids[1])
    assert caught.value.reason == Reason.NOT_FOUND and "quota" in str(caught.value)
    assert find(receipts_desk.store, ids[0]).kind == "verdict"


async def test_n149_numbers_are_never_given_twice_when_whole_batches_went(receipts_desk):
    """Batches of which nothing is kept go whole, but the chain goes on where it was."""
    await proved(receipts_desk)
    last = receipts_desk.store.last
    ReceiptRetention(receipts_desk.store, 0).run()
    assert rows(receipts_desk) == 2 and rows(receipts_desk, "batches") == 1, "the last batch's"
    receipts_desk.store.close()
    receipts_desk.open()
    assert receipts_desk.store.last == last
    await receipts_desk.frame(40)
    receipts_desk.sign()
    with receipts_desk.store.reading() as connection:
        batches = connection.execute("SELECT number, first FROM batches ORDER BY number").fetchall()
    assert batches == [(2, 4), (3, 6)]


async def test_n149_what_is_proved_nowhere_else_stays(receipts_desk):
    """No batch yet, or none that the controller has: the leaf here is the only one."""
    retention = ReceiptRetention(receipts_desk.store, 0)
    assert retention.run() == []
    receipts_desk.sign()
    assert retention.run() == []
    receipts_desk.log()
    await receipts_desk.frame(20)
    (taken,) = retention.run()
    assert taken.receipts == 5 and rows(receipts_desk) == 3


async def test_n149_a_receipt_that_something_else_needs_stays(receipts_desk):
    receipts = [receipts_desk.check(r).claims["cti"] for r in await proved(receipts_desk)]
    needed = {receipts[-1], receipts[1]}
    retention = ReceiptRetention(receipts_desk.store, 0, lambda ids: needed & set(ids))
    (taken,) = retention.run()
    left = receipts_desk.receipts()
    assert taken.receipts == 3 and {receipts_desk.check(r).claims["cti"] for r in left} == needed
    assert retention.run() == []


async def test_n149_exports_and_erasures_stay(receipts_desk):
    await receipts_desk.maker.event("e" * 32, "frame-exported", "anna", {"device": CAMERA})
    await proved(receipts_desk)
    ReceiptRetention(receipts_desk.store, 0).run()
    assert find(receipts_desk.store, "e" * 32).kind == "event"


async def test_n149_a_session_stays_while_its_head_may_come_or_is_needed(receipts_desk):
    await proved(receipts_desk)
    retention = ReceiptRetention(receipts_desk.store, room_for(receipts_desk, 0.5))
    retention.run()
    kept = [receipts_desk.check(r) for r in receipts_desk.receipts()]
    assert kept and all(r.head_count == 5 for r in kept) and rows(receipts_desk, "sessions") == 1
    retention.quota = 0
    retention.run()
    assert rows(receipts_desk, "sessions") == 0, "signed, and nothing of it is kept"


async def test_n149_a_session_without_a_head_waits_for_it(receipts_desk):
    receipts_desk.sign()
    receipts_desk.log()
    ReceiptRetention(receipts_desk.store, 0).run()
    assert rows(receipts_desk, "sessions") == 1
    await receipts_desk.frame(30)
    (one,) = await proved(receipts_desk)
    assert receipts_desk.check(one).head_count == 6


async def test_n149_it_is_told_before_anything_goes(receipts_desk, caplog):
    await proved(receipts_desk)
    told = []
    retention = ReceiptRetention(
        receipts_desk.store,
        int(used(receipts_desk) / NEARLY_FULL),
        filling=lambda device, said: told.append((device, said)),
    )
    assert retention.run() == retention.run() == []
    assert [device for device, _ in told] == [CAMERA] and "receipts take 0.0 of" in told[0][1]
    assert [r.levelname for r in caplog.records] == ["WARNING"], "once, while it is so"
    assert "export them before" in caplog.text


async def test_n149_room_is_counted_over_restarts(receipts_desk):
    before = used(receipts_desk)
    receipts_desk.store.close()
    receipts_desk.open()
    assert used(receipts_desk) == before > 0
    receipts_desk.store.close()
    receipts_desk.open()
    assert used(receipts_desk) == before


async def test_n149_a_camera_whose_old_receipts_went_is_not_said_to_have_lost_frames(receipts_desk):
    """Of a session that is partly gone, `--whole` names what is not in the file: that is said."""
    await proved(receipts_desk)
    ReceiptRetention(receipts_desk.store, room_for(receipts_desk, 0.5)).run()
    kept = [receipts_desk.check(r) for r in receipts_desk.receipts()]
    gone = missing_frames(kept)
    assert set(sum(gone.values(), ())) == set(range(5)) - {r.counter for r in kept}


async def test_n149_receipts_are_made_while_others_go(receipts_desk):
    await proved(receipts_desk)
    retention = ReceiptRetention(receipts_desk.store, 0)
    taken, *_ = await asyncio.gather(
        asyncio.to_thread(retention.run), *(receipts_desk.frame(n) for n in range(50, 70))
    )
    assert taken[0].receipts == 5
    assert len(await proved(receipts_desk)) == 20


async def test_n149_of_a_batch_that_goes_its_root_stays(receipts_desk):
    receipts = await proved(receipts_desk)
    batches = {b["number"]: b for b in (receipts_desk.check(r).batch for r in receipts)}
    ReceiptRetention(receipts_desk.store, 0).run()
    with receipts_desk.store.reading() as connection:
        kept = connection.execute("SELECT number, first, count, root FROM roots").fetchall()
    gone = batches[1]
    assert kept == [(1, gone["first"], gone["count"], bytes.fromhex(gone["root"]))]


async def test_n149_roots_have_their_limit_too(receipts_desk, monkeypatch):
    monkeypatch.setattr("framegate_gateway.receipts.retention.MAX_ROOTS", 2)
    for number in range(5, 10):
        receipts_desk.sign()
        await receipts_desk.frame(number)
    await proved(receipts_desk)
    ReceiptRetention(receipts_desk.store, 0).run()
    with receipts_desk.store.reading() as connection:
        numbers = [r[0] for r in connection.execute("SELECT number FROM roots ORDER BY number")]
    assert len(numbers) == 2 and numbers[-1] == rows(receipts_desk, "batches") + numbers[0]


async def test_n149_what_a_session_shares_goes_with_its_last_receipt_and_not_before(receipts_desk):
    """A session that goes on after its shared text went writes that text anew."""
    receipts_desk.sign()
    receipts_desk.log()
    session = "SELECT count(*) FROM shared WHERE session = ?"

    def shared() -> int:
        with receipts_desk.store.reading() as connection:
            return connection.execute(session, (receipts_desk.link.opened,)).fetchone()[0]

    retention = ReceiptRetention(receipts_desk.store, room_for(receipts_desk, 0.5))
    (taken,) = retention.run()
    assert 0 < taken.receipts < 5 and shared() == 1
    retention.quota = 0
    retention.run()
    assert shared() == 0 and used(receipts_desk) == 0
    await receipts_desk.frame(50)
    assert shared() == 1
    (receipt,) = await proved(receipts_desk)
    assert receipts_desk.check(receipt).verdict["part"] == "p50"


async def test_n149_usage_is_what_the_file_takes(receipts_desk):
    """What the quota counts and what is on the disk differ by less than a fifth, at 30 frames a
    batch; a frame costs 1.2 KiB at most, where a batch and a session are shared by many.
    """
    store = receipts_desk.store

    def on_disk() -> int:
        with store.reading() as connection:
            pages, free, size = (
                connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("page_count", "freelist_count", "page_size")
            )
        return (pages - free) * size

    receipts_desk.sign()
    before, counted = on_disk(), used(receipts_desk)
    for number in range(100, 100 + FRAMES):
        await receipts_desk.frame(number)
        if number % 30 == 0:
            receipts_desk.sign()
    await proved(receipts_desk)
    a_frame = (on_disk() - before) / FRAMES
    assert a_frame <= 1.2 * 1024, a_frame
    assert 0.8 * a_frame <= (used(receipts_desk) - counted) / FRAMES <= 1.2 * a_frame


async def test_a_session_that_begins_with_a_refused_frame_costs_no_more(receipts_desk):
    """Its first row says too little for those that follow: another text is begun, once."""
    desk = receipts_desk
    other = desk.camera.session(desk.link.offer(), desk.keys.newest.publics)
    signed = other.opening(desk.camera)
    desk.link.open(signed.opening, signed.signature)
    desk.session = other
    metadata = replace(desk.admitted.metadata, session=desk.link.opened)
    await desk.maker.uninspected(metadata, Reason.NOT_TRUSTED)
    for number in range(200, 260):
        await desk.frame(number)
    desk.store.settle()
    with desk.store.reading() as connection:
        sizes = [row.packed for row in packed_leaves(connection, "ORDER BY leaves.number", ())]
        texts = connection.execute(
            "SELECT count(*) FROM shared WHERE session = ?", (desk.link.opened,)
        ).fetchone()[0]
    assert texts <= 2 and max(sizes[-40:]) < 700
