"""A live conversation with a gateway, as a stream keeps it in mind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from framegate_agent.camera.carrier import Carrier
from framegate_agent.camera.session import FrameSession, HeldGrant


@dataclass
class Link:
    """The conversation's present frame session; a renewal under way, from the grant for it
    (`renewing`) over the TPM's signature (`opening`) to the session that waits to be accepted
    (`opened`); sessions whose heads are due.
    """

    carrier: Carrier
    session: FrameSession
    certificate: bytes
    renewing: HeldGrant | None = None
    opening: asyncio.Task[None] | None = None
    opened: FrameSession | None = None
    retry_at_s: float = 0.0
    masks: bytes = b""
    ending: dict[FrameSession, float] = field(default_factory=dict)
    signing: set[asyncio.Task[object]] = field(default_factory=set)
    begun_at_s: float = field(default_factory=time.monotonic)
    answered: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def opens(self) -> bool:
        """Whether an opening is being signed."""
        return self.opening is not None and not self.opening.done()

    def beside(self, signing: Coroutine[Any, Any, object]) -> None:
        """Have heads signed and sent while frames go on: a slow TPM takes seconds for each."""
        task = asyncio.create_task(signing)
        self.signing.add(task)
        task.add_done_callback(self.signing.discard)
