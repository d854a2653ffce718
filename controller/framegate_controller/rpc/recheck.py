"""Whether the peer of a stream still stands: asked again and again, beside the stream."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from framegate.registry.device import Device

ANSWER_S: Final = 0.1
"""How long a message waits for the registry to say that its peer still stands."""


class Recheck:
    """Asks every so often, and ends the stream once the answer is no.

    A registry that takes its time holds up no heartbeat: a gateway closes its gate where they stay
    away, and that must not come of a slow disk.
    """

    def __init__(self, question: Callable[[], Coroutine[Any, Any, object]], every_s: float) -> None:
        self._question, self._every_s = question, every_s
        self._due_s = asyncio.get_running_loop().time() + every_s
        self._asked: asyncio.Task[object] | None = None

    def begin(self) -> None:
        """Ask where it is time, and wait for nobody. Raises what the question raised, once that is
        known.
        """
        now_s = asyncio.get_running_loop().time()
        if self._asked is None and now_s >= self._due_s:
            self._due_s = now_s + self._every_s
            self._asked = asyncio.create_task(self._question())
        if self._asked is not None and self._asked.done():
            answered, self._asked = self._asked, None
            answered.result()

    async def ask(self) -> None:
        """The same, and where it is asked wait a moment for the answer, and no longer."""
        before = self._asked
        self.begin()
        if self._asked is not None and self._asked is not before:
            await asyncio.wait({self._asked}, timeout=ANSWER_S)
            self.begin()

    def close(self) -> None:
        """Ask no more."""
        if self._asked is not None:
            self._asked.cancel()


class WatchedMachine:
    """A machine's standing as the registry had it, by which its heartbeats go: what could end it
    comes with an event, or is its certificate's end, which is known; and every `known_s` it is
    asked for all the same. Before the first heartbeat, too: what was read before anybody listened
    may not hold any more.
    """

    def __init__(self, known_s: float) -> None:
        self._known_s = known_s
        self._expires_ms, self._due_s = 0, 0.0

    def read(self, device: Device) -> None:
        """The registry has it so now."""
        self._expires_ms = device.certificate_expires_ms
        self._due_s = asyncio.get_running_loop().time() + self._known_s

    def told(self) -> None:
        """Something happened to it: it is asked for before anything else is said."""
        self._due_s = 0.0

    def due(self, now_ms: int) -> bool:
        """Whether the registry has to be asked before the next heartbeat."""
        return self._expires_ms < now_ms or asyncio.get_running_loop().time() >= self._due_s
