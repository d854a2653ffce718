"""The controller's side of its join port: starts the process, answers what it passes on, and starts
another when it dies.

All of it is done on an event loop and in threads of its own. The fleet port shares no executor with
it; what is published goes over to the loop whose gateways listen.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from framegate.errors import FramegateError, Reason, Unavailable
from framegate_controller.events.bus import Bus
from framegate_controller.events.notices import Notice
from framegate_controller.joinport.child import PortProcess
from framegate_controller.joinport.limits import BEAT_S, MISSED_BEATS
from framegate_controller.joinport.messages import (
    BEAT,
    READY,
    REFUSALS,
    Known,
    NextPair,
    PortBeat,
    PortCall,
    PortSetup,
)
from framegate_controller.rpc.passed_calls import Asked, PassedCall, answered, asked_of, refused

log = logging.getLogger(__name__)
WORKERS: Final = 2
"""Threads for joining: two cores' worth of verifying, and never the fleet port's."""
MAX_FLYING: Final = 128
"""Calls at once from the port, which has its own limits below this: it is not believed that it
keeps them.
"""
MAX_FLYING_BYTES: Final = 32 * 1024 * 1024
"""Of their messages, likewise: what the port lets through at once are two pieces of evidence, one
with large logs, and 84 small messages, some 13 MiB.
"""
MAX_REPORT_BYTES: Final = 16 * 1024
"""A report of refusals: some 100 bytes for each of the 17 kinds that a port tells apart."""
KNOWN_EVERY_S: Final = 1.0
"""How soon a port knows a new ticket; until then its holder is served among strangers."""
AGAIN_S: Final = 1.0
"""Before another process is started."""
STOOD_STILL: Final = "it did not answer and was ended"
ENDED: Final = "it ended"
START_S: Final = 60.0
LATE_S: Final = 3 * BEAT_S
"""Of silence, after which it is told; one that stands still is ended some beats later."""
END_S: Final = 10.0


class BusElsewhere:
    """Publishes on the event loop at which gateways listen, from another."""

    def __init__(self, bus: Bus, loop: asyncio.AbstractEventLoop) -> None:
        self._bus, self._loop = bus, loop

    async def publish(self, notices: tuple[Notice, ...]) -> None:
        """See `Bus`."""
        told = asyncio.run_coroutine_threadsafe(self._bus.publish(notices), self._loop)
        await asyncio.wrap_future(told)


@dataclass(frozen=True, slots=True)
class Behind:
    """What a join port stands before: its calls, who is known, where its refusals go, and who is
    told that another process took its place, and why.
    """

    calls: Mapping[str, PassedCall]
    known: Callable[[], Known]
    refused: Callable[[bytes], None]
    restarted: Callable[[str], None]


class JoinPort:
    """The join port of a running controller. `start` and `stop` from any event loop. `setup` is
    asked in threads: what it shows is another in time.
    """

    def __init__(
        self,
        listener: socket.socket,
        setup: Callable[[], PortSetup],
        behind: Behind,
        *,
        unconfined: bool = False,
    ) -> None:
        """`unconfined`: serve it though the kernel cannot confine the process."""
        self._unconfined = unconfined
        self._listener, self._setup, self._behind = listener, setup, behind
        self._thread = threading.Thread(target=self._run, name="join port", daemon=True)
        self._ready: Future[None] = Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending = asyncio.Event()
        self._process: PortProcess | None = None
        self._flying: set[asyncio.Task[None]] = set()
        self._flying_bytes, self._reports = 0, 0
        self._silent_beats, self._most_silent = 0, MISSED_BEATS
        self._serves = False
        self.last: PortBeat | None = None
        """What the present process said of itself last; it is believed in that alone."""

    @property
    def trouble(self) -> str:
        """Why nobody can join now; empty where its process serves and its loop turns."""
        if not self.pid:
            return "its process does not run"
        if not self._serves:
            return "its process has not begun to serve"
        silent_s = self._silent_beats * BEAT_S
        return f"its process has said nothing for {silent_s:g} s" if silent_s > LATE_S else ""

    @property
    def pid(self) -> int:
        """The process at the port, 0 while there is none."""
        process = self._process
        return process.pid if process is not None else 0

    async def start(self) -> None:
        """Returns once the port is served. Raises Unavailable where it is not."""
        self._thread.start()
        try:
            await asyncio.wait_for(asyncio.wrap_future(self._ready), START_S)
        except (TimeoutError, EOFError, OSError, FramegateError) as error:
            await self.stop()
            hint = "its message stands above"
            raise Unavailable.of(
                Reason.UNAVAILABLE, "a process that serves the join port", error, hint
            ) from error

    async def stop(self) -> None:
        """End process and threads."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it ended by itself
                self._loop.call_soon_threadsafe(self._ending.set)
        await asyncio.to_thread(self._thread.join, END_S)
        self._listener.close()

    def _run(self) -> None:
        with ThreadPoolExecutor(WORKERS, "join") as workers:
            asyncio.run(self._serve(workers))

    async def _serve(self, workers: ThreadPoolExecutor) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_default_executor(workers)
        ending = asyncio.create_task(self._ending.wait())
        while not self._ending.is_set():
            serving = asyncio.create_task(self._serve_once())
            await asyncio.wait({serving, ending}, return_when=asyncio.FIRST_COMPLETED)
            if not serving.done():
                serving.cancel()
            error = (await asyncio.gather(serving, return_exceptions=True))[0]
            if self._ending.is_set():
                break
            if not self._ready.done():
                self._ready.set_exception(
                    error if isinstance(error, Exception) else EOFError("it ended")
                )
                break
            why = STOOD_STILL if self._stood_still else ENDED
            log.error("the process at the join port is gone: %s, %s; another starts", why, error)
            self._begin(self._tell_restarted(why))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), AGAIN_S)
        ending.cancel()

    async def _serve_once(self) -> None:
        """One process, from its start to its end. Raises EOFError, OSError, Malformed.

        It is over too once it was ended for its silence, though its line may not be: somebody else
        may hold the other end (N236).
        """
        setup = await asyncio.to_thread(self._setup)
        process = self._process = await PortProcess.spawn(
            self._listener, setup, unconfined=self._unconfined
        )
        self._silent_beats, self._most_silent = 0, int(START_S / BEAT_S)
        watching = asyncio.create_task(self._watch(process))
        reading = asyncio.create_task(self._read(process, setup))
        try:
            await asyncio.wait({reading, watching}, return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                raise EOFError(STOOD_STILL)
            await reading
        finally:
            self._process, self.last, self._serves = None, None, False
            watching.cancel()
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            await asyncio.to_thread(process.end)

    async def _read(self, process: PortProcess, setup: PortSetup) -> None:
        """What it says, until its line ends. Raises EOFError, OSError, Malformed."""
        telling: asyncio.Task[None] | None = None
        try:
            while True:
                call = await process.next()
                self._silent_beats = 0
                if call.method == BEAT:
                    self.last = PortBeat.parse(call.message)
                    continue
                if call.method == READY:
                    self._most_silent, self._serves = MISSED_BEATS, True
                    telling = telling or asyncio.create_task(self._tell(process, setup))
                    if not self._ready.done():
                        self._ready.set_result(None)
                elif call.method == REFUSALS:
                    self._take_report(call.message)
                else:
                    await self._take(process, call)
                del call
        finally:
            if telling is not None:
                telling.cancel()

    @property
    def _stood_still(self) -> bool:
        return self._silent_beats > self._most_silent

    async def _watch(self, process: PortProcess) -> None:
        """End a process that is alive and says nothing. Its silence is counted by our own turns,
        not by a clock: a controller, or a host, that stood still itself missed none of its beats.
        """
        while not self._stood_still:
            await asyncio.sleep(BEAT_S)
            self._silent_beats += 1
        process.kill()

    async def _tell_restarted(self, why: str) -> None:
        try:
            await asyncio.to_thread(self._behind.restarted, why)
        except Exception:  # as with refusals
            log.exception("that the process at the join port was replaced is not recorded")

    async def _take(self, process: PortProcess, call: PortCall) -> None:
        """Begin with a call, or refuse it at once. Raises OSError."""
        try:
            if len(self._flying) >= MAX_FLYING:
                wanted = f"at most {MAX_FLYING} calls at once"
                raise Unavailable.of(Reason.TOO_MANY_TRIES, wanted, "more")
            if self._flying_bytes + len(call.message) > MAX_FLYING_BYTES:
                wanted = f"at most {MAX_FLYING_BYTES} bytes of calls at once"
                raise Unavailable.of(Reason.TOO_MANY_TRIES, wanted, "more")
            self._begin(
                self._answer(process, asked_of(call, self._behind.calls)), len(call.message)
            )
        except FramegateError as error:
            await process.send(refused(call.number, error).marshal())

    def _take_report(self, report: bytes) -> None:
        """Begin to write a report down. A port sends one a minute: what comes while the last one is
        written, or is larger than one can be, is left out (N236).
        """
        if self._reports or len(report) > MAX_REPORT_BYTES:
            return
        self._reports += 1
        self._begin(self._record(report))

    def _begin(self, work: Any, size: int = 0) -> None:
        """`size`: bytes that it holds."""

        def ended(task: asyncio.Task[None]) -> None:
            self._flying.discard(task)
            self._flying_bytes -= size

        task = asyncio.create_task(work)
        self._flying.add(task)
        self._flying_bytes += size
        task.add_done_callback(ended)

    async def _answer(self, process: PortProcess, asked: Asked) -> None:
        with contextlib.suppress(OSError):  # it died meanwhile
            await process.send((await answered(asked)).marshal())

    async def _record(self, report: bytes) -> None:
        try:
            await asyncio.to_thread(self._behind.refused, report)
        except Exception:  # a store that is busy for once must not end the port
            log.exception("refusals at the join port were not recorded")
        finally:
            self._reports -= 1

    async def _tell(self, process: PortProcess, setup: PortSetup) -> None:
        """Whatever is another than it was told: who is known, and what the port shows."""
        told: Known | None = None
        shown = NextPair(key=setup.key, chain=setup.chain)
        while True:
            try:
                known = await asyncio.to_thread(self._behind.known)
                if known != told:
                    await process.send(known.marshal())
                    told = known
                setup = await asyncio.to_thread(self._setup)
                pair = NextPair(key=setup.key, chain=setup.chain)
                if pair != shown:
                    await process.send(pair.marshal())
                    shown = pair
            except OSError:
                return
            except Exception:  # likewise: until the next time
                log.exception("who is known was not told to the join port")
            await asyncio.sleep(KNOWN_EVERY_S)
