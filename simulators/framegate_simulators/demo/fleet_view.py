"""The cameras of a demonstration as they are seen, and as they are shown on a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any, Final

from rich.live import Live
from rich.table import Table

from framegate_host.console import Terminal
from framegate_simulators.plant.plant import Plant
from framegate_simulators.plant.processes import wait_for
from framegate_simulators.plant.site import Site

STYLE: Final = {
    "trusted": "green",
    "suspect": "red",
    "quarantined": "red",
    "stale": "yellow",
    "invited": "cyan",
}


class FleetView:
    """What is seen of the cameras: by the controller, and by their agents' own counts."""

    def __init__(self, plant: Plant, console: Terminal, live: bool) -> None:
        self.plant, self.console, self.live = plant, console, live
        self.cameras: list[Site] = []

    def states(self) -> dict[str, str]:
        """State by machine, from the controller."""
        rows = [*self.plant.ask("camera", "list"), *self.plant.ask("gateway", "list")]
        return {r["name"]: r["state"] for r in rows}

    def outcomes(self, site: Site) -> Counter[str]:
        """Outcomes by the camera's own count."""
        return Counter(site.status().get("outcomes", {}))

    def inspected(self, site: Site) -> int:
        """Frames that were really inspected."""
        return self.outcomes(site)["PASS"] + self.outcomes(site)["DEFECT"]

    def total(self) -> Counter[str]:
        """Outcomes of all cameras."""
        return sum((self.outcomes(c) for c in self.cameras), Counter())

    def table(self) -> Table:
        """Cameras with state and outcomes, from the agents' own status."""
        table = Table("camera", "state", "PASS", "DEFECT", "UNINSPECTED", "gateway", box=None)
        for c in self.cameras:
            s, o = c.status(), self.outcomes(c)
            state = s.get("state", "starting")
            gateway = next((x["gateway"] for x in s.get("streams", []) if x["gateway"]), "none")
            table.add_row(
                c.name,
                f"[{STYLE.get(state, 'white')}]{state}[/]",
                str(o["PASS"]),
                str(o["DEFECT"]),
                str(o["UNINSPECTED"]),
                gateway,
            )
        return table

    def watching(self, what: str, look: Callable[[], Any], timeout_s: float) -> None:
        """`wait_for` with the table of cameras refreshed on a terminal."""
        with (
            Live(console=self.console, refresh_per_second=4) if self.live else nullcontext()
        ) as live:

            def tick() -> Any:
                if live is not None:
                    live.update(self.table())
                return look()

            wait_for(what, tick, timeout_s, 0.2)
        if not self.live:
            self.console.print(self.table())

    def show_machines(self) -> None:
        """framegate camera list and gateway list."""
        for kind in ("camera", "gateway"):
            self.console.print(
                self.plant.framegate(kind, "list").stdout.rstrip(), markup=False, soft_wrap=True
            )


def told(outcomes: Mapping[str, int]) -> str:
    """How many there were of each, most first: 94 DEFECT, 66 PASS."""
    return ", ".join(f"{n} {what}" for what, n in Counter(outcomes).most_common()) or "none"
