"""The start of a gateway's model: here at once, or on a server as soon as that stands."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from framegate.errors import Unavailable
from framegate_gateway.inference.models import Models
from framegate_host.logs import started

log = logging.getLogger(__name__)
RETRY_S: Final = 1.0
"""Between two tries to reach an attested model server."""


async def start_model(models: Models, goldens: int) -> None:
    """Start the first model, and say so, with how many golden images there are. Raises as
    `Models.start`.
    """
    await models.start()
    engine = models.engine
    started.info(
        "model %s, %d known answers given, inference child: %s, %d golden images",
        engine.bundle.digest.hex()[:16],
        engine.known_answers,
        engine.isolation,
        goldens,
    )


async def start_elsewhere(models: Models, goldens: int) -> None:
    """Start the first model on its attested server, as soon as that stands: until then no port is
    open, and lines divert.
    """
    told = ""
    while True:
        try:
            return await start_model(models, goldens)
        except Unavailable as error:
            if str(error) != told:
                log.warning("the model server is waited for: %s", error)
            told = str(error)
            await asyncio.sleep(RETRY_S)
