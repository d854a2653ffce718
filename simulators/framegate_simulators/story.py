"""A demonstration told act by act: what is expected, what was observed, and whether it ended as it should."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console

from framegate_simulators.plant import Plant, PlantError


@dataclass
class Act:
    """One act and how it ended."""

    name: str
    expected: str
    observed: str = ""
    ok: bool = False


class Story:
    """Tells acts on `console`; a failed one is noted, and the next begins."""

    def __init__(self, plant: Plant, console: Console) -> None:
        self.plant, self.console = plant, console
        self.acts: list[Act] = []

    def act(self, name: str, expected: str, work: Callable[[], str]) -> None:
        """Run one act and say how it ended."""
        act = Act(name, expected)
        self.acts.append(act)
        self.console.print(f"\n[bold]{len(self.acts)}. {name}[/] - expected: {expected}")
        begun = time.monotonic()
        try:
            with self.plant.explained():
                act.observed, act.ok = work(), True
        except PlantError as error:
            act.observed = str(error)
        mark = "[green]as it should[/]" if act.ok else "[red]NOT AS IT SHOULD[/]"
        self.console.print(f"   {mark} ({time.monotonic() - begun:.1f} s): {act.observed}", soft_wrap=True)
