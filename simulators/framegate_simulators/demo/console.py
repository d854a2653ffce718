"""make console-demo: a plant with things happening, and its web console to be looked at.

With CI=true a headless browser looks, keeps its pictures as files, and the demonstration ends.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Final

from framegate_host.console import Terminal, typed
from framegate_simulators.fixtures.access import PASSWORD
from framegate_simulators.plant.console_plant import ConsolePlant
from framegate_simulators.plant.orderly_end import run_to_its_end
from framegate_simulators.plant.plant import Plant
from framegate_simulators.plant.processes import PlantError

BROWSER: Final = "chromium"
INTERVAL_S: Final = 60.0
"""Between attestations: nothing is late where a machine is busy with browsers."""
HELD_S: Final = 25.0
"""Between two things that happen to the cameras beside the line."""


def main() -> None:
    """The demonstration."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=Path, default=Path("build"))
    args = parser.parse_args()
    console, looks = Terminal(highlight=False), os.environ.get("CI") == "true"
    if looks and shutil.which(BROWSER) is None:
        console.print(
            "skipped: no chromium here, which takes the pictures (apt-get install chromium)"
        )
        return
    console.print("raising a plant: a line, three cameras, two gateways, a broker, a console")
    with (
        Plant(interval_s=INTERVAL_S, logs=args.build / "console-logs") as plant,
        plant.explained(),
        ConsolePlant(plant) as shown,
    ):
        if looks:
            from framegate_simulators.demo.console_tour import Tour

            pictures = Tour(shown, args.build / "console").run()
            console.print(f"{pictures} pictures in {args.build}/console")
        else:
            _stay(shown, console)


def _stay(shown: ConsolePlant, console: Terminal) -> None:
    """Say where to look, and let things happen until somebody ends it."""
    over = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        over.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    folder = shown.plant.folder
    for name, uri in shown.plant.authenticators.items():
        (folder / f"{name}.authenticator").write_text(uri)
    console.print(
        f"""
[bold]The console is at {shown.address}[/], the wall board at {shown.address}/wall
Sign in as anna (everything), sara (security), olga (operator) or vito (viewer):
    password  {PASSWORD}
    code      .venv/bin/framegate-sim code {typed(folder)}/anna.authenticator
SIMULATED: the machines, their TPMs, the parts. Everything else is the product. Ctrl-C ends it.
""",
        soft_wrap=True,
    )
    request = shown.ask_for_masks()
    console.print(f"sara asked for masks of cam1: {shown.address}/approval/{request}")
    happenings = iter(_happenings(shown))
    while not over.wait(HELD_S):
        try:
            console.print(next(happenings, "the line runs"))
        except PlantError as error:
            console.print(f"[red]{error}[/]")


def _happenings(shown: ConsolePlant) -> Iterator[str]:
    """What happens to the cameras beside the line, one after the other."""
    first, second = shown.cameras
    shown.hold(first, "a fork lift hit the mount")
    yield "olga holds cam2: its frames are refused at once"
    shown.tamper(second)
    yield "somebody changed what cam3 boots: it is suspect, and says why"


if __name__ == "__main__":
    run_to_its_end(main)
