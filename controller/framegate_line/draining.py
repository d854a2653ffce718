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
BEYOND_S: Final = 2.0
"""Past the last deadline: for decisions on their way to outputs."""
MOST_S: Final = 4.5
"""All together, whatever the deadline is: whoever restarts a line counts on five seconds. What is
under way then the next start finds undecided in the ledger, and diverts.
"""


async def drained(adapter: Adapter) -> None:
    """Return once no part is under way: each was decided by its verdicts, or by its deadline. The
    heart beats on meanwhile, so that a PLC does not take the line for dead; what the broker
    announces stays there for the next adapter.
    """
    adapter.take_no_more()
    wait_s = min(MOST_S, adapter.rules.deadline_ms / 1000 + BEYOND_S)
    until_s = time.monotonic() + wait_s
    while adapter.under_way:
        if time.monotonic() > until_s:
            log.error("%d parts are left to the next start", adapter.under_way)
            return
        await asyncio.sleep(LOOK_S)
