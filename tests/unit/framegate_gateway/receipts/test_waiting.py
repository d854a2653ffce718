"""A store whose disk hangs: what waits for it is bounded, and nothing that waits is lost."""

import asyncio
from contextlib import contextmanager

import pytest

from framegate.errors import Reason, Unavailable
from framegate.signed.dsse import parse_envelope
from framegate.signed.statement import Outcome, Verdict
from framegate_gateway.receipts import store as store_module
from framegate_gateway.receipts.rows import stored_leaves
from framegate_simulators.fixtures.gateway import CAMERA
from support.waiting import until

ROOM = 3


@contextmanager
def hanging(store):
    """Somebody else has the file's turn to write: no commit ends until this does."""
    with store.reading() as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.rollback()


async def waiting(receipts_desk, monkeypatch):
    """Frames that wait for their receipts, as many as there is room for."""
    monkeypatch.setattr(store_module, "MAX_WAITING", ROOM)
    monkeypatch.setattr(store_module, "MAX_GROUP", 1)  # its thread takes the first one alone
    store = receipts_desk.store
    frames = [asyncio.create_task(receipts_desk.frame(0, answer=False))]
    await until(lambda: store._owed and not store._queue.qsize())  # its thread took it, and hangs
    frames += [asyncio.create_task(receipts_desk.frame(1 + n, answer=False)) for n in range(ROOM)]
    await until(lambda: store._queue.qsize() == ROOM)
    return frames


async def test_n106_what_waits_for_a_disk_that_hangs_is_bounded_and_none_of_it_is_lost(
    receipts_desk, monkeypatch
):
    store = receipts_desk.store
    before = store.last
    with hanging(store):
        frames = await waiting(receipts_desk, monkeypatch)
        with pytest.raises(Unavailable) as caught:
            await receipts_desk.frame(9)
        assert caught.value.reason == Reason.RECEIPT and "hangs" in str(caught.value)
        assert not any(frame.done() for frame in frames), "no PASS without its receipt"
    envelopes = await asyncio.gather(*frames)
    outcomes = {Verdict.parse_payload(parse_envelope(e, Verdict.TYPE).payload) for e in envelopes}
    assert {verdict.outcome for verdict in outcomes} == {Outcome.PASS}
    await receipts_desk.frame(10)  # it goes on
    store.settle()
    with store.reading() as connection:
        leaves = list(stored_leaves(connection, "ORDER BY leaves.number", ()))
    numbers = [leaf.number for leaf in leaves]
    assert numbers == list(range(1, before + ROOM + 3)), "and none is left out"


async def test_n106_cameras_that_come_again_leave_no_more_behind(receipts_desk, monkeypatch):
    """Each conversation begins with its session and ends with its camera's head, which nobody waits
    for or somebody no longer does.
    """
    store = receipts_desk.store
    with hanging(store):
        frames = await waiting(receipts_desk, monkeypatch)
        asks = (
            lambda: store.opened(bytes(16), CAMERA, b"certificate", 1),
            lambda: store.recertified(bytes(16), b"certificate", 1),
            lambda: asyncio.run(store.take_head(bytes(16), CAMERA, b"head", b"signature", b"")),
        )
        for ask in asks:
            with pytest.raises(Unavailable) as caught:
                await asyncio.to_thread(ask)
            assert caught.value.reason == Reason.RECEIPT
        assert store._queue.qsize() == ROOM
    await asyncio.gather(*frames)


async def test_n106_a_frame_that_finds_no_room_is_uninspected_at_once(receipts_desk, monkeypatch):
    with hanging(receipts_desk.store):
        frames = await waiting(receipts_desk, monkeypatch)
        metadata = receipts_desk.admitted.metadata
        envelope = await receipts_desk.maker.uninspected(metadata, Reason.FRAME_IN_FLIGHT, 99)
        verdict = Verdict.parse_payload(parse_envelope(envelope, Verdict.TYPE).payload)
        assert (verdict.outcome, verdict.reason) == (Outcome.UNINSPECTED, Reason.RECEIPT.value)
    await asyncio.gather(*frames)
