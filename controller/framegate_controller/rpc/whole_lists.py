"""Evidence that comes after its offer: whole lists and boot logs, of which each takes a core for
some milliseconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Final, TypeVar

from framegate.registry.device import Device
from framegate_controller.fleet.attestation import Verifier
from framegate_controller.fleet.callers import standing_device
from framegate_controller.fleet.together import Answered
from framegate_controller.joinport.uploads import UploadRoom

R = TypeVar("R")
WORKERS: Final = 2
"""Threads that verify it: what they wait for is mostly a core."""


class WholeLists:
    """Verifies in threads of its own: nothing else waits for one machine's evidence."""

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier
        self._threads, self._room = ThreadPoolExecutor(WORKERS, "whole-lists"), UploadRoom()

    async def offered(self, key: bytes, state: bytes, size: int) -> Device:
        """The machine whose device key has SHA-256 `key`, as it stands when it offers `size` bytes
        of evidence. Raises what `standing_device` and `Verifier.offer_attest` do.
        """
        return await self._run(self._offered, key, state, size)

    def room(self, size: int) -> AbstractAsyncContextManager[None]:
        """See `UploadRoom.room`."""
        return self._room.room(size)

    async def completed(self, device: Device, state: bytes, evidence: bytes) -> Answered:
        """See `Verifier.complete_attest`."""
        answer = await self._run(self._verifier.complete_attest, state, evidence, device.id)
        return Answered(device, answer)

    def close(self) -> None:
        """End its threads, when what is under way in them has ended; what waits is called off.
        Blocks.
        """
        self._threads.shutdown(cancel_futures=True)

    def _offered(self, key: bytes, state: bytes, size: int) -> Device:
        with self._verifier.store.reading() as tx:
            device = standing_device(tx, key)
        self._verifier.offer_attest(state, size, device.id)
        return device

    async def _run(self, work: Callable[..., R], *arguments: object) -> R:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, partial(work, *arguments))
