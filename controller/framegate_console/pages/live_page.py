"""A page that follows what it shows: whole at first, then its inside anew whenever it changed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from starlette.responses import Response, StreamingResponse

from framegate.errors import FramegateError, Reason, Refused
from framegate_console.event_stream import (
    GONE,
    GZIP_HEAD,
    NOTHING,
    RETRY,
    STILL_HERE,
    WELL,
    Event,
    event,
)
from framegate_console.live import Live, Picture
from framegate_console.told_alike import Look
from framegate_console.visit import Visit

Loaded = Mapping[str, Any]
Load = Callable[[Live, str], Awaitable[Loaded]]
ALIKE: Final = "alike"
"""The member of what was loaded that is an `Alike`, where there is one."""
LOOK_AGAIN_S: Final = 2.0
"""Where nothing is heard of, a page looks again after so long: who sees one zone alone hears little
of people.
"""
MAX_PICTURES: Final = 32
"""Of one session: a person has some windows open."""
MAX_STREAMS: Final = 48
"""Of one session at once: a person has some windows open."""
MAX_WALL: Final = 64
"""Of the wall board, which whoever comes may look at: the screens of a hall, and not all of the
connections that people need.
"""
LEAST_S: Final = 0.25
"""Between two pictures of a page: a line of many parts a second is not read faster."""
BEAT_S: Final = 5.0
"""A stream that says nothing for longer is taken for dead, by proxies and by the page."""


@dataclass(frozen=True, slots=True)
class Alike:
    """All of what a template shows: the machines at one moment, and whatever is shown beside them.
    Who is shown the same, as they were told the same, shares one picture of it.
    """

    look: Look
    beside: Hashable = ()


@dataclass(frozen=True, slots=True)
class LivePage:
    """What a page shows of `key`, a machine's id or nothing. `head` and `forms` are templates above
    and below it that changes do not touch; `least_s` is how long it rests between two pictures.
    """

    name: str
    template: str
    load: Load
    head: str = ""
    forms: str = ""
    scripts: tuple[str, ...] = ()
    least_s: float = LEAST_S

    async def page(self, visit: Visit, key: str = "", **members: Any) -> Response:
        """The page as it is now."""
        loaded = await self.load(visit.live, key)
        return visit.show(
            self.template,
            title=f"{self.name}.title",
            live=f"/live/{self.name}?key={quote(key, safe='')}",
            head=self.head,
            forms=self.forms,
            scripts=self.scripts,
            **{**loaded, **members},
        )

    def stream(self, visit: Visit, live: Live, key: str) -> Response:
        """Its inside as server-sent events. Raises Refused (TOO_MANY_TRIES) where the session has
        as many already as it may: each holds a connection for as long as it likes.
        """
        most = MAX_WALL if live is visit.console.wall else MAX_STREAMS
        if live.open_pages >= most:
            raise Refused.of(
                Reason.TOO_MANY_TRIES, f"at most {most} pages", live.open_pages, "close some"
            )
        headers = {
            "Cache-Control": "no-store",
            "X-Accel-Buffering": "no",
            "Vary": "Accept-Encoding",
        }
        if visit.packs:
            headers["Content-Encoding"] = "gzip"
        told = self._events(visit, live, key)
        return StreamingResponse(
            _sent(told, packed=visit.packs), media_type="text/event-stream", headers=headers
        )

    async def _events(self, visit: Visit, live: Live, key: str) -> AsyncIterator[Event]:
        before, beat, problem = NOTHING, time.monotonic(), ""
        yield RETRY
        async for _ in live.changes(LOOK_AGAIN_S):
            try:
                shown = await self._picture(visit, live, key)
                problem = live.problem
            except FramegateError as error:
                shown, problem = before, str(error.reason)
            if live.session.over:
                break
            yield event("problem", problem) if problem else WELL
            if shown != before:
                before = shown
                yield shown
            elif time.monotonic() - beat > BEAT_S:
                beat = time.monotonic()
                yield STILL_HERE
            await asyncio.sleep(self.least_s)
        yield GONE

    async def _picture(self, visit: Visit, live: Live, key: str) -> Event:
        """The event of its inside as it is now, made once for all windows of a session that show
        the same.
        """
        what = (self.name, key, visit.words.language)
        last = live.pictures.get(what)
        now = time.monotonic()
        if last is None or last.version != live.version or now - last.begun >= self.least_s:
            made = asyncio.ensure_future(self._rendered(visit, live, key))
            last = Picture(live.version, now, made)
            if len(live.pictures) >= MAX_PICTURES:
                live.pictures.clear()
            live.pictures[what] = last
        return await asyncio.shield(last.made)

    async def _rendered(self, visit: Visit, live: Live, key: str) -> Event:
        loaded = await self.load(live, key)

        def render() -> Event:
            return event("", visit.rendered(self.template, **loaded))

        if ALIKE not in loaded:
            return render()
        alike: Alike = loaded[ALIKE]
        return alike.look.picture((self.template, visit.words.language, alike.beside), render)


async def _sent(events: AsyncIterator[Event], *, packed: bool) -> AsyncIterator[bytes]:
    if packed:
        yield GZIP_HEAD
    async for each in events:
        yield each.packed if packed else each.plain
