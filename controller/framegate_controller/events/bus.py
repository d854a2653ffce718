"""Who listens at this controller, and how they hear of what was committed.

Publishing takes turns, and each turn reads one snapshot of the store: so the revisions that a
gateway sees never fall. What is said while a turn is under way is told by the next one, together. A
slow listener is cut off; it comes back and starts from a snapshot.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, Generic, Protocol, TypeVar

from framegate_controller.context import Fleet
from framegate_controller.events.messages import (
    DeviceTrust,
    MachineEvent,
    Message,
    ToFollowers,
    ToGateways,
    ToMachines,
    TrustUpdate,
)
from framegate_controller.events.notices import Notice
from framegate_controller.events.snapshot import Teller
from framegate_controller.store.ports import Store

M = TypeVar("M")
QUEUE: Final = 1024
"""Messages a slow listener may lag behind before it is cut off and starts again from a snapshot."""
Follower = Callable[[DeviceTrust], None]
"""Told of a machine's state and standing: facts and masks are there for gateways alone."""


@dataclass(frozen=True, slots=True)
class Listening:
    """How many machines watch and how many gateways follow the feed, at this controller."""

    watchers: int
    feeds: int


class Subscription(Generic[M]):
    """One listener's bounded queue. Of the event loop alone."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[M] = asyncio.Queue(QUEUE)
        self.open = True

    def put(self, message: M) -> bool:
        """Queue a message; False where the queue is full, and the listener is cut off."""
        try:
            self._queue.put_nowait(message)
        except asyncio.QueueFull:
            self.open = False  # its stream notices, ends, and the peer comes back for a snapshot
        return self.open

    async def next(self, within_s: float) -> M | None:
        """The next message, None where none comes in time."""
        try:
            async with asyncio.timeout(within_s):  # no task of its own: thousands wait
                return await self._queue.get()
        except TimeoutError:
            return None


class Feed:
    """One gateway's subscription: it begins with a snapshot, and nothing goes back behind that."""

    def __init__(
        self, updates: Subscription[TrustUpdate], heartbeat: Callable[[], TrustUpdate]
    ) -> None:
        self._updates, self._heartbeat = updates, heartbeat
        self._told = 0

    @property
    def open(self) -> bool:
        """Whether it was not cut off."""
        return self._updates.open

    def begin(self, snapshot: TrustUpdate) -> TrustUpdate:
        """The snapshot, read after the subscription was made: whatever is older is in it."""
        self._told = snapshot.revision
        return snapshot

    async def next(self, within_s: float) -> TrustUpdate | None:
        """The next update, None where none comes in time."""
        while (update := await self._updates.next(within_s)) is not None:
            if update.revision >= self._told:
                self._told = update.revision
                return update
        return None

    def heartbeat(self) -> TrustUpdate:
        """The present revision and nothing else, out of memory."""
        beat = self._heartbeat()
        self._told = max(self._told, beat.revision)
        return replace(beat, revision=self._told)


class Bus(Protocol):
    """Brings what was committed to whoever listens, wherever it was committed."""

    async def publish(self, notices: tuple[Notice, ...]) -> None:
        """Tell of a committed change, until it is on its way. `()` only looks at the revision."""

    def watch(self, device: str) -> AbstractContextManager[Subscription[MachineEvent]]:
        """What this machine is told from now on."""

    def feed(self, zone: str) -> AbstractContextManager[Feed]:
        """What gateways of this zone are told from now on."""

    def follow(self, follower: Follower, missed: Callable[[], None]) -> None:
        """Call `follower`, on the event loop, with every machine that changed; `missed` where some
        may have been left out.
        """

    @property
    def listening(self) -> Listening:
        """Who listens now."""


class _Listeners(Generic[M]):
    """Subscriptions by name; of the event loop alone, but for `count`."""

    def __init__(self) -> None:
        self.count = 0
        self._by_name: dict[str, set[Subscription[M]]] = {}

    @contextmanager
    def joined(self, name: str) -> Iterator[Subscription[M]]:
        """A new one."""
        subscription: Subscription[M] = Subscription()
        self._by_name.setdefault(name, set()).add(subscription)
        self.count += 1
        try:
            yield subscription
        finally:
            self._leave(name, subscription)

    def names(self) -> tuple[str, ...]:
        """Under which somebody listens."""
        return tuple(self._by_name)

    def put(self, name: str, message: M) -> None:
        """Queue a message for all of this name."""
        for each in tuple(self._by_name.get(name, ())):
            if not each.put(message):
                self._leave(name, each)

    def cut_off(self) -> None:
        """Let everybody come back and start again."""
        for name in self.names():
            for each in tuple(self._by_name[name]):
                each.open = False
                self._leave(name, each)

    def _leave(self, name: str, one: Subscription[M]) -> None:
        group = self._by_name.get(name, set())
        if one in group:
            group.remove(one)
            self.count -= 1
            if not group:
                del self._by_name[name]


@dataclass(slots=True)
class _Turn:
    """What is told in one turn, and how that ended."""

    notices: list[Notice] = field(default_factory=list)
    over: bool = False
    error: Exception | None = None


class InMemoryBus:
    """The bus of one controller: what it was told of, for whoever listens at it."""

    def __init__(self, store: Store, fleet: Fleet) -> None:
        self._store, self._fleet = store, fleet
        self._watchers: _Listeners[MachineEvent] = _Listeners()
        self._feeds: _Listeners[TrustUpdate] = _Listeners()
        self._followers: list[Follower] = []
        self._missed: list[Callable[[], None]] = []
        self._turn, self._next = asyncio.Lock(), _Turn()
        # of its own: callers whose work is slow keep no change from gateways
        self._thread = ThreadPoolExecutor(1, "bus")
        self._revision = 0

    async def publish(self, notices: tuple[Notice, ...]) -> None:
        """See `Bus`. Whatever waits for a turn is told in one: it costs one look at the store.

        Where the store cannot be read everybody is cut off, and the next snapshot has it all.
        """
        mine = self._next
        mine.notices += notices
        async with self._turn:
            if mine.over:
                if mine.error is not None:
                    raise mine.error
                return
            self._next = _Turn()
            try:
                await self._tell(tuple(mine.notices))
            except Exception as error:
                mine.error = error
                self.cut_off()
                raise
            except BaseException:  # whoever had the turn was called off; the others' word is in it
                self.cut_off()
                raise
            finally:
                mine.over = True

    async def _tell(self, notices: tuple[Notice, ...]) -> None:
        read = partial(self._read, notices, self._feeds.names())
        loop = asyncio.get_running_loop()
        revision, messages = await loop.run_in_executor(self._thread, read)
        for message in messages:
            self._deliver(message)
        self._revision = revision

    def cut_off(self) -> None:
        """Somebody may not have been told of something: everybody begins again with a snapshot."""
        self._watchers.cut_off()
        self._feeds.cut_off()
        for missed in self._missed:
            missed()

    def heartbeat(self) -> TrustUpdate:
        """The last known revision and nothing else: no lock, no store."""
        return TrustUpdate(
            revision=self._revision, now_ms=self._fleet.clock(), controller=self._fleet.controller
        )

    @contextmanager
    def watch(self, device: str) -> Iterator[Subscription[MachineEvent]]:
        """See `Bus`."""
        with self._watchers.joined(device) as subscription:
            yield subscription

    @contextmanager
    def feed(self, zone: str) -> Iterator[Feed]:
        """See `Bus`."""
        with self._feeds.joined(zone) as subscription:
            yield Feed(subscription, self.heartbeat)

    def follow(self, follower: Follower, missed: Callable[[], None]) -> None:
        """See `Bus`."""
        self._followers.append(follower)
        self._missed.append(missed)

    def close(self) -> None:
        """End its thread, when what that reads is read. Nothing more is told. Blocks."""
        self._thread.shutdown()

    @property
    def listening(self) -> Listening:
        """See `Bus`. Asked from any thread."""
        return Listening(self._watchers.count, self._feeds.count)

    def _read(
        self, notices: tuple[Notice, ...], zones: Collection[str]
    ) -> tuple[int, list[Message]]:
        with self._store.reading() as tx:
            teller = Teller(tx, self._fleet)
            return teller.revision, list(teller.messages(notices, zones))

    def _deliver(self, message: Message) -> None:
        match message:
            case ToMachines(machines, event):
                for machine in self._watchers.names() if machines is None else machines:
                    self._watchers.put(machine, event)
            case ToGateways(zone, update):
                for each in self._feeds.names() if zone is None else (zone,):
                    self._feeds.put(each, update)
                for trust in update.devices:
                    self._followed(trust)
            case ToFollowers(trust):
                self._followed(trust)

    def _followed(self, trust: DeviceTrust) -> None:
        for follower in self._followers:
            follower(trust)
