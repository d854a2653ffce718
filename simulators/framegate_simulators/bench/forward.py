"""A forwarder and nothing else of a controller, to be killed:
`python -m framegate_simulators.bench.forward STATE`.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from framegate_controller.forwarding.forwarder import Forwarder
from framegate_controller.store.database import open_registry


async def forward(state: Path) -> None:
    """Send the record in `state` to its sinks until killed."""
    forwarder = Forwarder(open_registry(state / "registry.db"), "plant", state)
    await forwarder.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(forward(Path(sys.argv[1])))
