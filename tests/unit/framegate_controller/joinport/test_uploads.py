"""N130: evidence is offered first, and not a byte more is taken than was promised."""

import asyncio

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.errors import FramegateError, Malformed, Reason, Refused, Unavailable
from framegate.evidence.activation import EvidencePromise
from framegate.wire import MAX_EVIDENCE_BYTES
from framegate_controller.joinport import uploads
from framegate_controller.joinport.uploads import (
    OfferedOnce,
    Unoffered,
    UploadRoom,
    promise_of,
    read_evidence,
    read_offer,
)
from framegate_proto.edge import evidence_parts
from framegate_proto.v1 import framegate_pb2 as pb


class Call:
    """A call whose messages are these; after them it ends, or says nothing more."""

    def __init__(self, parts, *, ends: bool = True) -> None:
        self.parts, self.ends, self.taken = iter(parts), ends, 0

    async def read(self):
        for part in self.parts:
            self.taken += 1
            return part
        if not self.ends:
            await asyncio.Event().wait()
        return grpc.aio.EOF


async def test_evidence_comes_as_it_was_promised():
    evidence = bytes(range(256)) * 1000
    call = Call(evidence_parts(b"state", b"mac", evidence))
    offer = await read_offer(call)
    assert (offer.state, offer.mac, offer.size) == (b"state", b"mac", len(evidence))
    assert await read_evidence(call, promise_of(offer)) == evidence


@given(st.binary(max_size=100_000), st.integers(0, 2**32 - 1))
def test_evidence_comes_in_its_offer_where_it_may_and_is_not_too_much(evidence, most):
    first, *chunks = evidence_parts(b"state", b"", evidence, most)
    whole = len(evidence) <= most
    assert first.offer.evidence == (evidence if whole else b"")
    assert b"".join(part.chunk for part in chunks) == (b"" if whole else evidence)
    assert all(part.chunk for part in chunks)


@pytest.mark.parametrize(("most", "size"), [(0, 1), (4, 5), (4, 100_000)])
async def test_n130_no_more_of_it_comes_with_an_offer_than_may(most, size):
    call = Call([pb.EvidencePart(offer=pb.EvidenceOffer(evidence=bytes(size)))])
    with pytest.raises(Malformed) as caught:
        await read_offer(call, most)
    assert caught.value.reason == Reason.TOO_LARGE
    call = Call([pb.EvidencePart(offer=pb.EvidenceOffer(evidence=bytes(most)))])
    assert (await read_offer(call, most)).evidence == bytes(most)


@pytest.mark.parametrize(
    "offer",
    [
        pb.EvidenceOffer(size=0, sha256=bytes(32)),
        pb.EvidenceOffer(size=MAX_EVIDENCE_BYTES + 1, sha256=bytes(32)),
        pb.EvidenceOffer(size=2**32 - 1, sha256=bytes(32)),
        pb.EvidenceOffer(size=1, sha256=bytes(31)),
        pb.EvidenceOffer(size=1),
    ],
)
def test_n130_offers_that_no_evidence_can_keep(offer):
    with pytest.raises(Malformed):
        promise_of(offer)


@pytest.mark.parametrize(
    "parts",
    [[], [pb.EvidencePart()], [pb.EvidencePart(chunk=b"x")]],
    ids=["none", "empty", "chunk"],
)
async def test_n130_no_evidence_without_an_offer(parts):
    with pytest.raises(Malformed):
        await read_offer(Call(parts))


CHUNK = pb.EvidencePart(chunk=b"abcd")


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ([], Reason.MALFORMED),
        ([CHUNK], Reason.MALFORMED),
        ([CHUNK, CHUNK, CHUNK], Reason.TOO_LARGE),
        ([CHUNK, pb.EvidencePart(chunk=b"efgi")], Reason.MALFORMED),
        ([CHUNK, pb.EvidencePart()], Reason.MALFORMED),
        ([CHUNK, pb.EvidencePart(chunk=b"")], Reason.MALFORMED),
        ([CHUNK, pb.EvidencePart(offer=pb.EvidenceOffer(size=8))], Reason.MALFORMED),
    ],
)
async def test_n130_other_evidence_than_was_promised(parts, reason):
    with pytest.raises(Malformed) as caught:
        await read_evidence(Call(parts), EvidencePromise.of(b"abcdefgh"))
    assert caught.value.reason == reason


async def test_n130_more_than_was_promised_is_not_read_on():
    call = Call([CHUNK] * 1000)
    with pytest.raises(Malformed):
        await read_evidence(call, EvidencePromise.of(b"abcdefgh"))
    assert call.taken == 3


async def test_n130_a_sender_that_pauses_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(uploads, "UPLOAD_S", 0.05)
    monkeypatch.setattr(uploads, "FIRST_S", 0.05)
    with pytest.raises(Unavailable):
        await read_offer(Call([], ends=False))
    with pytest.raises(Unavailable):
        await read_evidence(Call([CHUNK], ends=False), EvidencePromise.of(b"abcdefgh"))


async def test_n130_memory_for_evidence_is_shared_out_in_turn(monkeypatch):
    room, order, gate = UploadRoom(10), [], asyncio.Event()

    async def upload(name: str, size: int) -> None:
        async with room.room(size):
            order.append(name)
            await gate.wait()

    tasks = [asyncio.create_task(upload(n, s)) for n, s in (("a", 6), ("b", 4), ("c", 1))]
    for _ in range(5):
        await asyncio.sleep(0)
    assert order == ["a", "b"]
    gate.set()
    await asyncio.gather(*tasks)
    assert order == ["a", "b", "c"]
    monkeypatch.setattr(uploads, "UPLOAD_WAIT_S", 0.05)
    async with room.room(10):
        with pytest.raises(Unavailable) as caught:
            async with room.room(1):
                pass
        assert caught.value.reason == Reason.TOO_MANY_TRIES
    async with room.room(10):
        pass


def test_n130_who_says_nothing_is_counted_by_network():
    unoffered = Unoffered(most=4, most_prefix=2)
    with unoffered.waiting("a"), unoffered.waiting("a"):
        with pytest.raises(Unavailable), unoffered.waiting("a"):
            pass
        with unoffered.waiting("b"), unoffered.waiting("c"):
            with pytest.raises(Unavailable) as caught, unoffered.waiting("d"):
                pass
            assert caught.value.reason == Reason.TOO_MANY_TRIES
    with unoffered.waiting("a"):
        assert unoffered._by_prefix["a"] == 1
    assert unoffered._by_prefix.total() == 0


def test_n130_a_challenge_is_offered_evidence_once():
    offered = OfferedOnce()
    offered.take(b"a", 1_000, 0)
    with pytest.raises(Refused) as caught:
        offered.take(b"a", 1_000, 999)
    assert caught.value.reason == Reason.SESSION_UNKNOWN
    offered.take(b"b", 1_000, 999)


@given(st.lists(st.binary(min_size=1, max_size=8), max_size=8), st.integers(1, 40), st.binary())
def test_n130_whatever_comes_is_what_was_promised_or_refused(chunks, size, content):
    promise = EvidencePromise(size, EvidencePromise.of(content).sha256)
    parts = [pb.EvidencePart(chunk=c) for c in chunks]
    try:
        evidence = asyncio.run(read_evidence(Call(parts), promise))
    except FramegateError:
        return
    assert evidence == content and len(evidence) == size
