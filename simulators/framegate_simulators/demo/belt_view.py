"""The belt of a line, from trigger to diverter, as it is drawn on a terminal."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Final

from rich.console import Group
from rich.live import Live
from rich.text import Text

from framegate_host.console import Terminal
from framegate_simulators.plant.diverter import Part
from framegate_simulators.plant.line_plant import LinePlant

BELT: Final = 60
"""Characters of the drawn conveyor."""


class BeltView:
    """The conveyor drawn while parts go by, on a terminal; nothing is drawn where there is none."""

    def __init__(self, line: LinePlant, console: Terminal, live: bool) -> None:
        self.line, self.console, self.live = line, console, live

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """The conveyor drawn while parts go by, on a terminal."""
        if not self.live:
            yield
            return
        with Live(
            console=self.console, refresh_per_second=12, get_renderable=self.drawn, transient=True
        ):
            yield

    def drawn(self) -> Group:
        """The belt, from trigger to diverter, and the counts."""
        cells = [" "] * BELT
        styles = ["dim"] * BELT
        now = time.monotonic()
        for part in self.line.conveyor.belt:
            at = int((now - part.entered_s) / (part.due_s - part.entered_s) * BELT)
            if 0 <= at < BELT:
                cells[at], styles[at] = "■", self.style(part)
        belt = Text("trigger ▸ ")
        for cell, style in zip(cells, styles, strict=True):
            belt.append(cell, style)
        belt.append(" ▸ diverter")
        counts = self.line.conveyor.counts()
        summary = (
            f"in {counts.parts_in}   through {counts.let_through}   diverted {counts.diverted}  "
            " [green]■[/] PASS said  [red]■[/] DEFECT  [yellow]■[/] nothing said yet"
        )
        return Group(belt, Text("━" * (BELT + 21), "dim"), Text.from_markup(summary))

    def style(self, part: Part) -> str:
        """Colour of a part by what was said of it so far."""
        said = self.line.diverter.decisions.get((part.part, part.sequence), "")
        return {"PASS": "green", "DEFECT": "red"}.get(said, "yellow")
