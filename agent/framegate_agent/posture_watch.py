"""Looks at the machine beside its intervals: what must be told at once when it changes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from framegate_agent.posture import glance

log = logging.getLogger(__name__)
GLANCE_S: Final = 2.0
"""How soon a new listener, device or changed watched file is noticed. A look costs up to 7 ms where
the kernel's socket tables are large.
"""
GLANCE_HOLD_S: Final = 4.0


async def watch_posture(watched: Sequence[Path], attest: Callable[[], None]) -> None:
    """Attest at once when something must not wait for the next interval; not more often than
    `GLANCE_HOLD_S`, however much a machine flickers.
    """
    before = await asyncio.to_thread(glance, watched)
    while True:
        await asyncio.sleep(GLANCE_S)
        now = await asyncio.to_thread(glance, watched)
        if now != before:
            before = now
            log.info("listeners, devices or watched files changed: attesting")
            attest()
            await asyncio.sleep(GLANCE_HOLD_S)
