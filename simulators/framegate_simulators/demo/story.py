"""A demonstration told act by act: what is expected, what was observed, and whether it ended as it
should.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from rich.table import Table

from framegate_host.console import Terminal
from framegate_simulators.plant.orderly_end import ends_in_order
from framegate_simulators.plant.plant import Plant
from framegate_simulators.plant.processes import PlantError

P = TypeVar("P", bound=Plant)


@dataclass
class Act:
    """One act and how it ended."""

    name: str
    expected: str
    observed: str = ""
    ok: bool = False


@dataclass(frozen=True, slots=True)
class Scene:
    """An act as it is planned. `work` returns what was observed, or raises PlantError."""

    name: str
    expected: str
    work: Callable[[], str]


class Story:
    """Tells acts on `console`; a failed one is noted, and the next begins. A demonstration is a
    subclass with a `plan`.
    """

    def __init__(self, plant: Plant, console: Terminal) -> None:
        self.plant, self.console = plant, console
        self.acts: list[Act] = []

    def act(self, scene: Scene) -> None:
        """Run one act and say how it ended."""
        act = Act(scene.name, scene.expected)
        self.acts.append(act)
        self.console.print(f"\n[bold]{len(self.acts)}. {act.name}[/] - expected: {act.expected}")
        begun = time.monotonic()
        try:
            with self.plant.explained():
                act.observed, act.ok = scene.work(), True
        except PlantError as error:
            act.observed = str(error)
        mark = "[green]as it should[/]" if act.ok else "[red]NOT AS IT SHOULD[/]"
        self.console.print(
            f"   {mark} ({time.monotonic() - begun:.1f} s): {act.observed}", soft_wrap=True
        )

    def plan(self) -> Sequence[Scene]:
        """The acts in order."""
        raise NotImplementedError

    def run(self) -> bool:
        """All acts; those after a failed one still run where they can. Whether each ended as it
        should.
        """
        for scene in self.plan():
            self.act(scene)
        return all(a.ok for a in self.acts)

    def table(self) -> Table:
        """How each act ended, and the first line of what was observed."""
        table = Table("act", "ended", "observed", box=None)
        for act in self.acts:
            table.add_row(
                act.name,
                "[green]ok[/]" if act.ok else "[red]failed[/]",
                act.observed.splitlines()[0][:110] if act.observed else "",
            )
        return table


def tell(
    kind: Callable[[P, Terminal], Story],
    plant: Callable[[], AbstractContextManager[P]],
    *,
    name: str,
    summary: str,
    simulated: str,
) -> None:
    """Tell a story from the command line, and leave `<name>.json` in the build folder. Ends the
    process: 1 where an act was not as it should.
    """
    parser = argparse.ArgumentParser(description=summary)
    parser.add_argument("--build", type=Path, default=Path("build"), help=f"folder for {name}.json")
    build = parser.parse_args().build
    console, begun = Terminal(highlight=False), time.monotonic()
    console.print(f"SIMULATED: {simulated}", soft_wrap=True)
    with ends_in_order(), plant() as running:
        story = kind(running, console)
        good = story.run()
    build.mkdir(exist_ok=True)
    seconds = time.monotonic() - begun
    (build / f"{name}.json").write_text(
        json.dumps(
            {"good": good, "seconds": round(seconds, 1), "acts": [asdict(a) for a in story.acts]},
            indent=1,
        )
    )
    console.print(
        f"\n{sum(a.ok for a in story.acts)} of {len(story.acts)} acts as they should,"
        f" {seconds:.0f} s"
    )
    sys.exit(0 if good else 1)
