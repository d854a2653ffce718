"""The port's line to its controller: calls go out numbered, answers come back in any order."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import grpc

from framegate.errors import FramegateError, Reason, Unavailable
from framegate_controller.joinport.limits import (
    EVIDENCE_FLYING,
    KNOWN_FLYING,
    LARGE_FLYING,
    SIGN_INS_FLYING,
    STRANGERS_FLYING,
)
from framegate_controller.joinport.messages import (
    MAX_TO_PORT,
    Known,
    NextPair,
    PortAnswer,
    PortCall,
    PortSetup,
)
from framegate_proto.edge import FAILURES_KEY, read_record, write_record

WAIT_S: Final = 10.0
"""For a turn among calls of one kind."""


class Elsewhere(Exception):
    """The controller refused a call: its status, details and failures, which go on as they are."""

    def __init__(self, answer: PortAnswer) -> None:
        super().__init__(answer.details)
        self.status = grpc.StatusCode[answer.status]
        self.details, self.failures = answer.details, answer.failures

    @property
    def metadata(self) -> tuple[tuple[str, bytes], ...]:
        """Trailing metadata of the call."""
        return ((FAILURES_KEY, self.failures),)


class Lane:
    """Calls of one kind at the controller, at most so many at once; the rest wait in turn."""

    def __init__(self, most: int) -> None:
        self._turns = asyncio.Semaphore(most)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """A turn. Raises Unavailable where none comes in time."""
        try:
            async with asyncio.timeout(WAIT_S):
                await self._turns.acquire()
        except TimeoutError as error:
            raise Unavailable.of(
                Reason.TOO_MANY_TRIES, f"a turn within {WAIT_S:g} s", "too many others", "try again"
            ) from error
        try:
            yield
        finally:
            self._turns.release()


class ControllerLine:
    """Calls at the controller. `run` reads its answers, until it is gone."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[PortAnswer]] = {}
        self.strangers, self.known = Lane(STRANGERS_FLYING), Lane(KNOWN_FLYING)
        self.evidence, self.large = Lane(EVIDENCE_FLYING), Lane(LARGE_FLYING)
        self.sign_ins = Lane(SIGN_INS_FLYING)
        self.passed = 0
        self.pair = NextPair(key=b"", chain=b"")
        """What the port is to show now; empty before `setup`."""
        self.eks: frozenset[bytes] = frozenset()
        self.tickets: frozenset[bytes] = frozenset()

    async def setup(self) -> PortSetup:
        """The first thing that it says."""
        setup = PortSetup.parse(await read_record(self._reader, MAX_TO_PORT, "setup"))
        self.pair = NextPair(key=setup.key, chain=setup.chain)
        return setup

    async def run(self) -> None:
        """Read until the controller is gone."""
        while True:
            raw = await read_record(self._reader, MAX_TO_PORT, "an answer")
            try:
                answer = PortAnswer.parse(raw)
            except FramegateError:
                self._learn(raw)
                continue
            waiting = self._waiting.pop(answer.number, None)
            if waiting is not None and not waiting.done():
                waiting.set_result(answer)

    def _learn(self, raw: bytes) -> None:
        """What the controller tells by itself. Raises Malformed."""
        with suppress(FramegateError):
            self.pair = NextPair.parse(raw)
            return
        known = Known.parse(raw)
        self.eks, self.tickets = _digests(known.eks), _digests(known.tickets)

    async def tell(self, method: str, message: bytes = b"", peer: str = "") -> int:
        """Say something to which nobody waits for an answer; its number."""
        number = next(self._numbers) % 2**32
        call = PortCall(number=number, method=method, peer=peer, message=message)
        write_record(self._writer, call.marshal())
        await self._writer.drain()
        return number

    async def ask(self, lane: Lane, method: str, peer: str, message: bytes) -> bytes:
        """What the controller answers. Raises Elsewhere, Unavailable.

        The turn is given back when the answer is there, though the caller may have hung up: the
        controller works on, and no more than so much at once.
        """
        task = asyncio.create_task(self._asked(lane, method, peer, message))
        answer = await asyncio.shield(task)
        if answer.status:
            raise Elsewhere(answer)
        return answer.message

    async def _asked(self, lane: Lane, method: str, peer: str, message: bytes) -> PortAnswer:
        async with lane.turn():
            future: asyncio.Future[PortAnswer] = asyncio.get_running_loop().create_future()
            number = await self.tell(method, message, peer)
            self._waiting[number] = future
            self.passed += 1
            return await future


def _digests(joined: bytes) -> frozenset[bytes]:
    return frozenset(joined[i : i + 32] for i in range(0, len(joined), 32))
