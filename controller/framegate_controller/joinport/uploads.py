"""Evidence in parts: an offer that is judged first, then what was promised and no more."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import grpc

from framegate.errors import Malformed, Reason, Unavailable
from framegate.evidence.activation import EvidencePromise
from framegate.evidence.challenge import unknown_session
from framegate.wire import MAX_EVIDENCE_BYTES, sha256
from framegate_controller.joinport.limits import (
    FIRST_S,
    MAX_OFFERS,
    MAX_UNOFFERED,
    MAX_UNOFFERED_PREFIX,
    UPLOAD_S,
    UPLOAD_WAIT_S,
    UPLOADS_BYTES,
)
from framegate_proto.v1 import framegate_pb2 as pb


def promise_of(offer: pb.EvidenceOffer) -> EvidencePromise:
    """What an offer promises. Raises Malformed where no evidence can be so."""
    if not 0 < offer.size <= MAX_EVIDENCE_BYTES:
        raise Malformed.of(
            Reason.TOO_LARGE, f"evidence of 1 to {MAX_EVIDENCE_BYTES} bytes", offer.size
        )
    if len(offer.sha256) != 32:
        raise Malformed.of(Reason.MALFORMED, "a SHA-256 of the evidence", len(offer.sha256))
    return EvidencePromise(offer.size, offer.sha256)


async def read_offer(context: Any, with_offer: int = 0) -> pb.EvidenceOffer:
    """The first part of a call, of which at most `with_offer` bytes may be the evidence itself.
    Raises Malformed, Unavailable.
    """
    part = await _part(context, FIRST_S)
    if part is None or part.WhichOneof("part") != "offer":
        raise Malformed.of(Reason.MALFORMED, "an offer of evidence first", "another part")
    if len(part.offer.evidence) > with_offer:
        wanted = f"an offer of evidence with at most {with_offer} bytes of it"
        raise Malformed.of(Reason.TOO_LARGE, wanted, len(part.offer.evidence))
    return part.offer


async def read_evidence(context: Any, promise: EvidencePromise) -> bytes:
    """The evidence, byte for byte what was promised; not a byte more is taken in.

    Raises Malformed, Unavailable.
    """
    evidence = bytearray()
    deadline = asyncio.get_running_loop().time() + UPLOAD_S
    while (part := await _part(context, deadline - asyncio.get_running_loop().time())) is not None:
        if part.WhichOneof("part") != "chunk" or not part.chunk:
            raise Malformed.of(Reason.MALFORMED, "a chunk of evidence", "another part")
        if len(evidence) + len(part.chunk) > promise.size:
            raise Malformed.of(Reason.TOO_LARGE, f"the {promise.size} bytes promised", "more")
        evidence += part.chunk
    return as_promised(bytes(evidence), promise)


def as_promised(evidence: bytes, promise: EvidencePromise) -> bytes:
    """`evidence`, byte for byte what was promised. Raises Malformed."""
    if len(evidence) != promise.size or sha256(evidence) != promise.sha256:
        raise Malformed.of(
            Reason.MALFORMED, "the evidence that was promised", "another", "send it again"
        )
    return evidence


async def _part(context: Any, within_s: float) -> pb.EvidencePart | None:
    """The next part, None after the last. Raises Unavailable where none comes in time."""
    try:
        async with asyncio.timeout(max(0.0, within_s)):
            part = await context.read()
    except TimeoutError as error:
        raise Unavailable.of(
            Reason.UNAVAILABLE, "evidence without a pause", "none in time", "begin again"
        ) from error
    return None if part is grpc.aio.EOF else part


class UploadRoom:
    """Memory for evidence on its way in, in the order in which it was asked for."""

    def __init__(self, most: int = UPLOADS_BYTES) -> None:
        self._most, self._taken = most, 0
        self._freed = asyncio.Condition()

    @asynccontextmanager
    async def room(self, size: int) -> AsyncIterator[None]:
        """Room for `size` bytes. Raises Unavailable where none becomes free in time."""
        try:
            async with asyncio.timeout(UPLOAD_WAIT_S), self._freed:
                await self._freed.wait_for(lambda: self._taken + size <= self._most)
                self._taken += size
        except TimeoutError as error:
            raise Unavailable.of(
                Reason.TOO_MANY_TRIES, "room for evidence", "others are sending", "try again"
            ) from error
        try:
            yield
        finally:
            async with self._freed:
                self._taken -= size
                self._freed.notify_all()


class Unoffered:
    """Calls in which an offer is waited for, counted by prefix."""

    def __init__(self, most: int = MAX_UNOFFERED, most_prefix: int = MAX_UNOFFERED_PREFIX) -> None:
        self._most, self._most_prefix = most, most_prefix
        self._by_prefix: Counter[str] = Counter()

    @contextmanager
    def waiting(self, prefix: str) -> Iterator[None]:
        """One more. Raises Unavailable where there are too many."""
        many = self._by_prefix[prefix] >= self._most_prefix
        if many or self._by_prefix.total() >= self._most:
            raise Unavailable.of(
                Reason.TOO_MANY_TRIES, "an offer of evidence at once", "too many wait for theirs"
            )
        self._by_prefix[prefix] += 1
        try:
            yield
        finally:
            self._by_prefix[prefix] -= 1
            if not self._by_prefix[prefix]:
                del self._by_prefix[prefix]


class OfferedOnce:
    """Challenges to which an answer was offered here: each counts once."""

    def __init__(self) -> None:
        self._until: OrderedDict[bytes, int] = OrderedDict()

    def take(self, state: bytes, expires_ms: int, now_ms: int) -> None:
        """The first offer. Raises Refused (SESSION_UNKNOWN) at the second."""
        while self._until and (
            next(iter(self._until.values())) < now_ms or len(self._until) >= MAX_OFFERS
        ):
            self._until.popitem(last=False)
        digest = sha256(state)
        if digest in self._until:
            raise unknown_session()
        self._until[digest] = expires_ms
