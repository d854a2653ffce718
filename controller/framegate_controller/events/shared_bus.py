"""The bus of a controller among several: what each commits is told at all of them.

What this one commits goes to its own listeners and to the others at once; what another tells is
read out of the store anew, as if it had been committed here. Where something may have been missed,
everybody who listens here begins again with a snapshot.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final

from framegate.errors import FramegateError
from framegate_controller.events.bus import (
    Feed,
    Follower,
    InMemoryBus,
    Listening,
    Subscription,
)
from framegate_controller.events.messages import MachineEvent
from framegate_controller.events.notices import Notice
from framegate_controller.events.told import read_text, texts_of
from framegate_controller.store.shared.duties import Ears, Peers

log = logging.getLogger(__name__)
MAX_HEARD: Final = 10_000
"""Texts that wait to be read; past it everybody begins again instead."""
AT_ONCE: Final = 500
"""Notices of one look at the store."""


class SharedBus:
    """See `Bus`. `by` is this controller's name among the others, another at every start."""

    def __init__(self, here: InMemoryBus, peers: Peers, by: str) -> None:
        self._here, self._peers, self._by = here, peers, by
        self._heard: asyncio.Queue[str | None] = asyncio.Queue(MAX_HEARD)
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> Ears:
        """Begin to read what others tell; who listens for it."""
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._read(), name="what other controllers tell")
        return Ears(self._from_thread, lambda: self._from_thread(None))

    async def stop(self) -> None:
        """Read nothing more, and tell nobody."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await asyncio.to_thread(self._here.close)

    async def publish(self, notices: tuple[Notice, ...]) -> None:
        """See `Bus`."""
        if self._peers.alone:
            await self._here.publish(notices)
            return
        texts = tuple(texts_of(notices, self._by))
        telling = asyncio.to_thread(self._tell, texts) if texts else asyncio.sleep(0)
        here, _ = await asyncio.gather(self._here.publish(notices), telling, return_exceptions=True)
        if here is not None:
            raise here

    def watch(self, device: str) -> AbstractContextManager[Subscription[MachineEvent]]:
        """See `Bus`."""
        return self._here.watch(device)

    def feed(self, zone: str) -> AbstractContextManager[Feed]:
        """See `Bus`."""
        return self._here.feed(zone)

    def follow(self, follower: Follower, missed: Callable[[], None]) -> None:
        """See `Bus`."""
        self._here.follow(follower, missed)

    @property
    def listening(self) -> Listening:
        """See `Bus`: at this controller."""
        return self._here.listening

    def _tell(self, texts: tuple[str, ...]) -> None:
        """That the others cannot be told is not the caller's to mend: what it did is committed.
        They have lost the database as well, and begin again when it is back.
        """
        try:
            for text in texts:
                self._peers.tell(text)
        except FramegateError:
            log.exception("other controllers were not told of a change")

    def _from_thread(self, text: str | None) -> None:
        """`text` was told; None: something may have been missed."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._take, text)

    def _take(self, text: str | None) -> None:
        try:
            self._heard.put_nowait(text)
        except asyncio.QueueFull:
            while not self._heard.empty():
                self._heard.get_nowait()
            self._heard.put_nowait(None)

    async def _read(self) -> None:
        while True:
            notices = self._next(await self._heard.get())
            while notices is not None and len(notices) < AT_ONCE and not self._heard.empty():
                more = self._next(self._heard.get_nowait())
                notices = (*notices, *more) if more is not None else None
            if notices is None:
                self._here.cut_off()
            elif notices:
                try:
                    await self._here.publish(tuple(dict.fromkeys(notices)))
                except Exception:  # everybody was cut off, and comes back for a snapshot
                    log.exception("what another controller told was not read")

    def _next(self, text: str | None) -> tuple[Notice, ...] | None:
        try:
            return read_text(text, self._by) if text is not None else None
        except FramegateError:
            log.exception("what another controller told is not to be read")
            return None
