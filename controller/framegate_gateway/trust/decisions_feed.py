"""The log of decisions is asked for beside the feed, as long as the gateway runs."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from framegate.errors import FramegateError
from framegate_gateway.trust.feed import TrustView
from framegate_gateway.trust.keys import GatewayKeys

log = logging.getLogger(__name__)
ASK_S: Final = 1.0
"""How soon after a decision was cosigned it is in force here."""


async def follow_decisions(view: TrustView, keys: GatewayKeys) -> None:
    """Ask again and again, forever, and have `view` take in what is proved. Returns at once where
    nothing is demanded.
    """
    decided, told = view.decided, ""
    while decided is not None:
        try:
            if await decided.ask(keys, view.now_ms()):
                view.proved()
            told = ""
        except FramegateError as error:
            decided.log.failed(error)
            if str(error.reason) != told:  # once for each reason in a row, and not every second
                log.error("the log of decisions: %s", error)
            told = str(error.reason)
        await asyncio.sleep(ASK_S)
