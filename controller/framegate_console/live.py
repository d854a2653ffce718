"""What goes on in the fleet, followed for one session: the record's newest entries, the gateways'
verdicts, and what the machines' state is, asked for once however many pages show it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Final

from framegate.errors import FramegateError, Reason, Refused, Unavailable
from framegate.signed.statement import Verdict
from framegate_console.calls import Calls, Endpoint
from framegate_console.event_stream import Event
from framegate_console.record_reading import RecordReading
from framegate_console.sessions import Session
from framegate_console.told_alike import Look, Machines, ToldAlike
from framegate_operator.traffic import GatewayFacts, Traffic
from framegate_operator.verdict_names import verified_verdicts
from framegate_proto.v1 import framegate_pb2 as pb

KEPT_S: Final = 20.0
"""How old an answer of the controller may be while its record is followed: what changes without an
entry, such as when a machine last proved itself, is shown so late.
"""
KEPT_UNFOLLOWED_S: Final = 0.5
"""The same where nobody listens to the record: a page that was asked for is of now."""
MAX_KEPT: Final = 64
"""Answers of one session."""
STATUS_S: Final = 1.5
"""How old what gateways say of themselves may be."""
AWAY_S: Final = 1.0
"""Between two tries to reach a controller that is away."""
QUIET_S: Final = 5.0
"""How long a session is followed on after its last page went: pages follow one another."""
VERDICTS: Final = 200
"""The latest of all gateways, kept here: some minutes of a line."""
HISTORY: Final = 120
"""Points of the rate's curve."""
HISTORY_S: Final = 5.0
EVENTS: Final = 12


_EVERYBODY: Final = pb.ListRequest()
_MACHINES: Final = ("Machines", b"")


@dataclass(slots=True)
class Rates:
    """Frames a second of all cameras, a point every `HISTORY_S`; None where nobody could say."""

    points: deque[float | None] = field(default_factory=lambda: deque(maxlen=HISTORY))
    last: float = 0.0

    def add(self, traffic: Traffic, now: float) -> None:
        """Take a point, where it is time for one."""
        if now - self.last < HISTORY_S:
            return
        self.last = now
        known = not traffic.unanswered and traffic.gateways
        self.points.append(
            sum(c.frames_per_s for c in traffic.cameras.values() if c.streams) if known else None
        )


@dataclass(frozen=True, slots=True)
class Picture:
    """The inside of a page as it is made for every window that shows it: at which version of what
    is known it was begun, and when.
    """

    version: int
    begun: float
    made: asyncio.Future[Event]


@dataclass(frozen=True, slots=True)
class _Kept:
    """An answer of the controller, or the question that waits for it: at which growth of the record
    it was asked, and when.
    """

    grown: int
    at: float
    answer: asyncio.Future[Any]

    @property
    def failed(self) -> bool:
        """Whether it has to be asked again because nobody answered."""
        done = self.answer.done()
        return done and (
            self.answer.cancelled() or isinstance(self.answer.exception(), Unavailable)
        )


@dataclass(frozen=True, slots=True)
class _Seen:
    machines: Machines
    gateways: tuple[GatewayFacts, ...]
    look: Look


class Live:
    """Follows the fleet for `session` while a page of it is open. `alike` is what other sessions
    were told, too.
    """

    def __init__(self, session: Session, calls: Calls, alike: ToldAlike | None = None) -> None:
        self.session, self.calls = session, calls
        self.alike = alike or ToldAlike()
        self.version, self.problem = 0, ""
        self.events: tuple[pb.EventRow, ...] = ()
        self.verdicts: deque[Verdict] = deque(maxlen=VERDICTS)
        self.rates = Rates()
        self.readings: dict[int, RecordReading] = {}
        """What of the record pages read, by how many days back."""
        self.pictures: dict[tuple[str, str, str], Picture] = {}
        self._known: set[str] = set()
        self._grown = 0
        self._kept: dict[tuple[str, bytes], _Kept] = {}
        self._statuses: _Kept | None = None
        self._seen: _Seen | None = None
        self._watched: dict[Endpoint, asyncio.Task[None]] = {}
        self._pages, self._left = 0, 0.0
        self._following: asyncio.Task[None] | None = None
        self._changed = asyncio.Condition()
        session.at_end.append(self.stop)

    @property
    def open_pages(self) -> int:
        """How many follow it now."""
        return self._pages

    async def changes(self, most_s: float) -> AsyncIterator[int]:
        """A number whenever something changed, and every `most_s` at least, until the session
        ends.
        """
        self._pages += 1
        self._begin()
        seen = -1
        try:
            while not self.session.over:
                if self.version == seen:
                    await self._wait(most_s)
                seen = self.version
                yield seen
        finally:
            self._pages -= 1
            self._left = time.monotonic()

    async def asked(self, name: str, request: Any) -> Any:
        """The controller's answer to `Operator.NAME`, asked for anew once the record grew or the
        answer is old; one question for all who ask at once. Raises as calls do.
        """
        key = (name, request.SerializeToString(deterministic=True))
        return await self._answer(
            self._question(key, lambda: self.calls.operator(name, request)).answer
        )

    def _question(self, key: tuple[str, bytes], ask: Callable[[], Awaitable[Any]]) -> _Kept:
        kept = self._kept.get(key)
        if kept is None or self._old(kept):
            if len(self._kept) >= MAX_KEPT:
                self._kept.clear()
            asking = asyncio.ensure_future(ask())
            asking.add_done_callback(_retrieved)
            kept = self._kept[key] = _Kept(self._grown, time.monotonic(), asking)
        return kept

    async def _list(self) -> Machines:
        return self.alike.machines(await self.calls.operator_bytes("List", _EVERYBODY))

    async def look(self) -> Look:
        """The machines now, and what the gateways say of themselves. Raises as calls do."""
        machines = await self._answer(self._question(_MACHINES, self._list).answer)
        statuses = self._statuses
        if statuses is None or statuses.failed or time.monotonic() - statuses.at >= STATUS_S:
            asking = asyncio.ensure_future(self._ask(machines.gateways))
            asking.add_done_callback(_retrieved)
            statuses = self._statuses = _Kept(self._grown, time.monotonic(), asking)
        gateways = await self._answer(statuses.answer)
        seen = self._seen
        if seen is None or seen.machines is not machines or seen.gateways is not gateways:
            look = self.alike.look(machines, gateways)
            seen = self._seen = _Seen(machines, gateways, look)
        self.rates.add(seen.look.traffic, time.monotonic())
        return seen.look

    def expire(self) -> None:
        """Somebody did something: what was answered before is old."""
        self._grown += 1

    def stop(self) -> None:
        """Follow no more."""
        asking = [k.answer for k in (*self._kept.values(), *filter(None, [self._statuses]))]
        tasks = [*self._watched.values(), *filter(None, [self._following]), *asking]
        self._watched, self._following = {}, None
        self._kept, self._statuses, self._seen = {}, None, None
        self.readings = {}
        for task in tasks:
            if task is not asyncio.current_task():
                task.cancel()
        self.version += 1

    def _old(self, kept: _Kept) -> bool:
        followed = self._following is not None and not self._following.done() and not self.problem
        most = KEPT_S if followed else KEPT_UNFOLLOWED_S
        return kept.failed or kept.grown != self._grown or time.monotonic() - kept.at >= most

    async def _answer(self, asking: asyncio.Future[Any]) -> Any:
        try:
            return await asyncio.shield(asking)
        except asyncio.CancelledError:
            asker = asyncio.current_task()
            if not self.session.over or (asker is not None and asker.cancelling()):
                raise
            # the question was dropped with the session, not whoever waits for its answer
            wanted = "a session that still runs"
            raise Refused.of(Reason.SIGNED_OUT, wanted, "one that ended") from None

    async def _wait(self, most_s: float) -> None:
        # wait_for would swallow a cancellation that comes with the change (Python before 3.12)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(most_s), self._changed:
                await self._changed.wait()

    async def _tell(self) -> None:
        async with self._changed:
            self.version += 1
            self._changed.notify_all()

    def _begin(self) -> None:
        if self._following is None or self._following.done():
            self._following = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        """Until nobody looks for `QUIET_S`, or the session is over."""
        self._left = time.monotonic()
        request = pb.EventsRequest(limit=EVENTS)
        while not self.session.over and not self._quiet:
            try:
                async with aclosing(self.calls.operator_watched("WatchEvents", request)) as told:
                    async for reply in told:
                        await self._heard(reply.events)
                        if self._quiet:
                            break
            except FramegateError as error:
                await self._missed(error)
            if not self._quiet:
                await asyncio.sleep(AWAY_S)
        for task in self._watched.values():
            task.cancel()
        self._watched = {}
        await self._tell()

    @property
    def _quiet(self) -> bool:
        return not self._pages and time.monotonic() - self._left > QUIET_S

    async def _heard(self, rows: Sequence[pb.EventRow]) -> None:
        """What the record has now, as far as who asks may know."""
        newest = rows[0].index if rows else -1
        before = self.events[0].index if self.events else -1
        if newest != before or self.problem:
            new = [row for row in rows if row.index > before]
            told_all = before >= 0 and not self.problem and len(new) < EVENTS
            self.events, self.problem = tuple(rows), ""
            if not (told_all and self._moved(new)):
                self._grown += 1
            await self._tell()

    def _moved(self, new: Sequence[pb.EventRow]) -> bool:
        """Take from entries that machines are in other states; whether that is all they say, and
        of machines that are known. A list of thousands costs the controller more than all else.
        """
        kept = self._kept.get(_MACHINES)
        if kept is None or self._old(kept) or not kept.answer.done() or kept.answer.exception():
            return False
        moved = self.alike.moved(kept.answer.result(), new)
        if moved is None:
            return False
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        answer.set_result(moved)
        self._kept[_MACHINES] = _Kept(kept.grown, kept.at, answer)
        return True

    async def _missed(self, error: FramegateError) -> None:
        problem = str(error.failures[0].reason)
        if problem != self.problem or self.session.over:
            self.problem = problem
            await self._tell()

    async def _ask(self, hosts: Sequence[pb.DeviceSummary]) -> tuple[GatewayFacts, ...]:
        gateways = tuple(await asyncio.gather(*map(self._status, _processes(hosts))))
        self._watch([Endpoint(g.device, g.address) for g in gateways if g.status is not None])
        return gateways

    async def _status(self, at: Endpoint) -> GatewayFacts:
        if not at.address:
            return GatewayFacts(at.device, "", None, "no gateway process has shown itself")
        try:
            status = await self.calls.gateway(at, "Status", pb.ListRequest())
        except FramegateError as error:
            first = error.failures[0]
            return GatewayFacts(at.device, at.address, None, f"{first.reason}: {first.actual}")
        return GatewayFacts(at.device, at.address, status)

    def _watch(self, standing: Sequence[Endpoint]) -> None:
        """Hear verdicts of the gateways that stand, as long as pages are open."""
        if not self._pages or self.session.over:
            return
        for at in [a for a, task in self._watched.items() if task.done() or a not in standing]:
            self._watched.pop(at).cancel()
        for at in standing:
            if at not in self._watched:
                self._watched[at] = asyncio.create_task(self._hear(at))

    async def _hear(self, at: Endpoint) -> None:
        try:
            told = await self.calls.gateway(
                at, "ListVerdicts", pb.ListVerdictsRequest(limit=VERDICTS)
            )
            self._take(list(reversed(told.verdicts)))
            await self._tell()
            async for batch in self.calls.watched(at, pb.ListVerdictsRequest()):
                if batch.verdicts:
                    self._take(batch.verdicts)
                    await self._tell()
        except FramegateError as error:
            # one that is not reached is told by its status; a verdict that does not verify is not
            # shown, and why is
            if not isinstance(error, Unavailable):
                self.problem = str(error.reason)
                await self._tell()

    def _take(self, envelopes: Sequence[bytes]) -> None:
        for verdict in verified_verdicts(self.session, envelopes):
            if verdict.verdict_id not in self._known:
                self._known.add(verdict.verdict_id)
                self.verdicts.append(verdict)
        self._known = {v.verdict_id for v in self.verdicts}


def _retrieved(answer: asyncio.Future[Any]) -> None:
    """Whoever asked may be gone: that nobody heard of an error is none by itself."""
    if not answer.cancelled():
        answer.exception()


def _processes(gateways: Sequence[pb.DeviceSummary]) -> list[Endpoint]:
    return [
        Endpoint(d.device, address)
        for d in gateways
        for address in [a for a in d.operator_addresses if a] or [""]
        if address or d.state == "trusted"
    ]


def session_over(error: FramegateError) -> bool:
    """Whether this says that whoever asked is signed in no more."""
    return error.reason in {Reason.SIGNED_OUT, Reason.CERTIFICATE_EXPIRED, Reason.UNAUTHENTICATED}
