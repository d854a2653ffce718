"""A controller of its own process for a benchmark of the console: it says where it is, and runs
until its standard input ends.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from framegate_controller.server import Controller
from framegate_controller.settings import ControllerSettings


def main() -> None:
    """Serve the state in the folder that a line on standard input names."""
    asyncio.run(_serve(Path(json.loads(sys.stdin.readline())["state"])))


async def _serve(state: Path) -> None:
    running = Controller(ControllerSettings(state=state, join_port=0, fleet_port=0))
    await running.start()
    at = {"join": running.join_address, "fleet": running.fleet_address}
    print(json.dumps(at), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await running.stop(0)


if __name__ == "__main__":
    main()
