"""make bench --only machines: fifty machines at once, each with a software TPM of its own and the
agent as it is installed, at one controller.

They are delivered, join by tickets, and live for some intervals; whoever was called stale, or is
not trusted at the end, is told. Forged machines (`framegate-sim fleet`) say what a controller
takes; these say that agents and TPMs take part in it.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from framegate_simulators.plant.plant import Plant
from framegate_simulators.plant.processes import wait_for
from framegate_simulators.plant.site import Site

MACHINES: Final = 50
INTERVAL_S: Final = 20.0
INTERVALS: Final = 6
JOINING: Final = 4
"""Commands at once: each is a program that starts."""
PATIENCE_S: Final = 600.0


def bench_machines(say: Callable[[str], None]) -> dict[str, Any]:
    """All of them, from delivery to the last interval."""
    with Plant(interval_s=INTERVAL_S) as plant, plant.explained():
        plant.found_fleet()
        plant.start_controller()
        plant.framegate("trust", "add-tpm-ca", plant.folder / "maker.pem", check=False)
        begun = time.monotonic()
        with ThreadPoolExecutor(JOINING) as pool:
            sites = list(pool.map(lambda n: _joined(plant, f"cam{n}"), range(MACHINES)))
        joined_s = time.monotonic() - begun
        say(f"{len(sites)} machines have joined in {joined_s:.0f} s")
        for site in sites:
            plant.start_agent(site)
        wait_for(
            "all to be trusted and their agents to say so",
            lambda: _trusted(plant) == MACHINES and all(map(Site.status, sites)),
            PATIENCE_S,
            1.0,
        )
        since = max(entry["index"] for entry in plant.ask("audit", "list"))
        say(f"all are trusted; {INTERVALS} intervals of {INTERVAL_S:g} s begin")
        time.sleep(INTERVALS * INTERVAL_S)
        entries = plant.ask("audit", "list", "--limit", "10000")
        lived = [entry for entry in entries if entry["index"] > since]
        states = Counter(str(row["state"]) for row in plant.ask("camera", "list"))
        ended = [site.name for site in sites if plant.process(f"agent-{site.name}").poll()]
        result = {
            "machines": MACHINES,
            "interval_s": INTERVAL_S,
            "joined_s": round(joined_s, 1),
            "states": dict(states),
            "events": dict(Counter(str(e.get("event", e["kind"])) for e in lived)),
            "agents_ended": ended,
            "load": [round(x, 1) for x in os.getloadavg()],
        }
        say(f"machines: {result}")
        return result


def _joined(plant: Plant, name: str) -> Site:
    site = plant.add_machine(name)
    plant.join(site, plant.invite(site))
    return site


def _trusted(plant: Plant) -> int:
    return sum(row["state"] == "trusted" for row in plant.ask("camera", "list"))
