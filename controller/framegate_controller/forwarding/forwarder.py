"""Keeps every sink of the record served: a task and a process each, so that one that is down, slow
or broken holds up no other, and nothing of the controller's.
"""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path
from typing import Final

from framegate.errors import FramegateError
from framegate.registry.sink import Sink
from framegate_controller.files_that_end import SINKS
from framegate_controller.forwarding.cursor import NextBatch, move, next_batch, settled
from framegate_controller.forwarding.sink_process import SinkProcess
from framegate_controller.record.tail import RecordTail
from framegate_controller.sinks.messages import BATCH_ENTRIES, Answer, SinkSetup
from framegate_controller.store.ports import Store
from framegate_controller.store.shared.duties import Duty, NoPeers, Peers
from framegate_host.private_files import private_folder

log = logging.getLogger(__name__)
LOOK_S: Final = 0.2
"""How often it is seen whether the record grew: one indexed read, whatever the number of sinks."""
LINGER_S: Final = 0.1
"""After a batch that was not full: entries come in crowds, and each batch costs a write."""
FIRST_PAUSE_S: Final = 0.5
LAST_PAUSE_S: Final = 60.0
"""Pauses after failures double from the first up to the last: what a dead sink costs is an attempt
and a row a minute.
"""
TRIED: Final = 2
"""Entries with which a sink is tried that was away: reading a whole batch each time would cost what
a dead sink must not. Two, because one that a sink refuses by itself becomes a dead letter.
"""
RENEW_S: Final = 300.0
"""After so long a process whose sink fails is started anew: in its cage it looks no name up again,
and the sink may have moved. Rarely enough that a dead sink costs next to nothing.
"""
END_S: Final = 5.0
DUTY: Final = "sinks"


class Forwarder:
    """Sends the record to the sinks that the registry has, as they come and go, while that is this
    controller's duty.
    """

    def __init__(
        self,
        store: Store,
        fleet: str,
        state: Path,
        peers: Peers | None = None,
        tail: RecordTail | None = None,
        *,
        unconfined: bool = False,
    ) -> None:
        """`unconfined`: sinks are served although the kernel cannot confine their processes."""
        self._unconfined = unconfined
        self._tail = tail or RecordTail(store)
        self._fleet, self._folder = fleet, state / SINKS
        self._duty = Duty(store, peers or NoPeers(), DUTY, lambda theirs: theirs)
        self._store: Store = store
        self._tasks: dict[tuple[str, int], asyncio.Task[None]] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self.sinks: dict[str, SinkTask] = {}
        self._size = 0
        self._watch: asyncio.Task[None] | None = None
        self._ending = asyncio.Event()

    async def start(self) -> None:
        """Begin with every sink."""
        self._watch = asyncio.create_task(self._look(), name="sinks of the record")

    async def stop(self) -> None:
        """Begin no batch more; returns once none is under way, or after a while."""
        self._ending.set()
        for sink in self.sinks.values():
            sink.end()
        every = (self._watch, *self._tasks.values(), *self._leaving)
        tasks = [t for t in every if t is not None]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=END_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self) -> None:
        while not self._ending.is_set():
            try:
                self._serve(await asyncio.to_thread(self._seen))
            except Exception:  # a store that is busy for once must not end it
                log.exception("sinks of the record: left for the next time")
            await ends_within(self._ending, LOOK_S)

    def _seen(self) -> list[Sink]:
        store = self._duty.worker()
        if store is None:
            return []
        self._store = store
        with store.reading() as tx:
            self._size = tx.log.size()
            return tx.sinks.all()

    def _serve(self, sinks: list[Sink]) -> None:
        """Begin with sinks that are new, end those that are gone, tell the others what there is."""
        there = {(s.name, s.added_ms): s for s in sinks}
        for key in [k for k in self._tasks if k not in there]:
            self.sinks.pop(key[0]).end(at_once=True)
            task = self._tasks.pop(key)
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)
        for key, sink in there.items():
            if key not in self._tasks:
                setup = setup_of(sink, self._fleet, self._folder, unconfined=self._unconfined)
                served = SinkTask(self._store, setup, sink, self._tail)
                self.sinks[sink.name] = served
                self._tasks[key] = asyncio.create_task(served.run(), name=f"sink {sink.name}")
            self.sinks[sink.name].grew(self._size)


class SinkTask:
    """Serves one sink: batch after batch, each from the record, each confirmed before the next."""

    def __init__(self, store: Store, setup: SinkSetup, sink: Sink, tail: RecordTail) -> None:
        self._store, self._setup, self._sink, self._tail = store, setup, sink, tail
        self.process: SinkProcess | None = None
        self._renew_s, self._away = 0.0, False
        self._grown, self._ending = asyncio.Event(), asyncio.Event()

    def grew(self, size: int) -> None:
        """The record has `size` entries."""
        if size > self._sink.confirmed:
            self._grown.set()

    def end(self, *, at_once: bool = False) -> None:
        """Begin nothing more; `at_once` waits for no answer either."""
        self._ending.set()
        self._grown.set()
        if at_once:
            self._end_process()

    async def run(self) -> None:
        """Until it is ended, or the sink removed."""
        try:
            while await self._turn():
                pass
        finally:
            self._end_process()

    @property
    def _most(self) -> int:
        return TRIED if self._away else BATCH_ENTRIES

    async def _turn(self) -> bool:
        """One batch and the pause after it; whether to go on."""
        await self._grown.wait()
        self._grown.clear()
        if self._ending.is_set():
            return False
        try:
            batch = await asyncio.to_thread(
                next_batch, self._store, self._sink.confirmed, self._tail, self._most
            )
            if batch is None:
                return True
            if self._ending.is_set():
                return False
            answer = settled(self._sink, batch, await self._delivered(batch))
            self._away = bool(answer.failed) and not answer.wholly
            if answer.failed and self._ending.is_set():
                return False  # it was not the sink that ended it
            sink = await asyncio.to_thread(move, self._store, self._sink, batch, answer)
        except Exception:  # the registry is busy, or full: the cursor stands where it stood
            log.exception("sink %s: left for the next time", self._setup.name)
            return not await ends_within(self._ending, FIRST_PAUSE_S)
        if sink is None:
            return False
        self._sink = sink
        self._grown.set()  # there may be more
        return not await ends_within(self._ending, self._pause_s(batch, answer))

    async def _delivered(self, batch: NextBatch) -> Answer:
        """The sink's answer; one that says what failed where its process did."""
        try:
            if self.process is None:
                await asyncio.to_thread(private_folder, Path(self._setup.folder))
                self.process = await SinkProcess.spawn(self._setup)
                self._renew_s = time.monotonic() + RENEW_S
                if self._ending.is_set():  # meanwhile: who was removed gets nothing more
                    self._end_process()
                    return Answer(confirmed=batch.first, failed="ended")
            answer = await self.process.deliver(batch)
        except (OSError, EOFError, TimeoutError, FramegateError) as error:
            self._end_process()
            if not self._ending.is_set():
                log.warning("sink %s: its process is gone: %s", self._setup.name, error)
            why = f"its process: {type(error).__name__}"
            return Answer(confirmed=batch.first, failed=why)
        if answer.failed and time.monotonic() > self._renew_s:
            self._end_process()
        return answer

    def _pause_s(self, batch: NextBatch, answer: Answer) -> float:
        if answer.failed:
            doubled = FIRST_PAUSE_S * float(1 << min(self._sink.failures - 1, 10))
            return max(min(doubled, LAST_PAUSE_S), answer.retry_s)
        return 0.0 if len(batch.entries) >= BATCH_ENTRIES else LINGER_S

    def _end_process(self) -> None:
        process, self.process = self.process, None
        if process is not None:
            process.end()


def setup_of(sink: Sink, fleet: str, folder: Path, *, unconfined: bool) -> SinkSetup:
    """What the process of `sink` is told; `folder` has one for each sink."""
    return SinkSetup(
        name=sink.name,
        kind=sink.kind,
        address=sink.address,
        channel=sink.channel,
        version=sink.version,
        fleet=fleet,
        folder=str(folder / sink.name),
        unconfined=unconfined,
    )


async def ends_within(ending: asyncio.Event, seconds: float) -> bool:
    """Whether `ending` is set within so long."""
    try:
        await asyncio.wait_for(ending.wait(), seconds)
    except TimeoutError:
        return False
    return True
