"""How a line's adapter ends: no part comes in any more, and each that is in gets its decision."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final

from framegate_line.adapter import Adapter

log = logging.getLogger(__name__)
LOOK_S: Final = 0.02
"""Parts come some dozen a second; the end waits that much longer than it has to."""
BEYOND_S: Final = 5.0
"""Past the last deadline: for decisions on their way to outputs."""


async def drained(adapter: Adapter) -> None:
    """Return once no part is under way: each was decided by its verdicts, or by its deadline. The
    heart beats on meanwhile, so that a PLC does not take the line for dead; what the broker
    announces stays there for the next adapter.
    """
    adapter.take_no_more()
    until_s = time.monotonic() + adapter.rules.deadline_ms / 1000 + BEYOND_S
    while adapter.under_way:
        if time.monotonic() > until_s:
            log.error("%d parts are left to the next start", adapter.under_way)
            return
        await asyncio.sleep(LOOK_S)
