"""make bench-scale SHARE=25 CONTROLLERS=2: what one controller answers, and what several do, on one
database, each with the same bounded share of a processor; the rest is the machines' and the
database's. Writes build/scale-speedup.json.

Machines press: each comes again as soon as it was answered. So it is controllers that are the limit
as long as they use their shares up and the host has some left, and both are printed.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any, Final

from rich.table import Table

from framegate_host.console import Terminal
from framegate_simulators.fleet.plan import Plan, Shares
from framegate_simulators.fleet.run import run_fleet, wrong
from framegate_simulators.plant.orderly_end import run_to_its_end

DEVICES: Final = 48
"""Machines for each run: enough that a controller always has somebody at it."""
INTERVAL_S: Final = 2.0
"""Two a second are within a machine's share then, and what it may ask for at once besides."""
SECONDS: Final = 40.0
AIM: Final = 1.6
"""Of two controllers to one."""
USED_UP: Final = 0.85
HELD: Final = 0.85
"""From which share of the time on it is the limit: what is always so has its pauses, too."""
_SHOWN: Final = (
    ("attestations a second", "attestations", "per_s"),
    ("controllers' processors", "attestations", "controller_cores"),
    ("of their periods used up", "attestations", "share_used_up"),
    ("controllers' CPU each, ms", "attestations", "controller_cpu_ms"),
    ("database's CPU each, ms", "attestations", "database_cpu_ms"),
    ("machines' CPU each, ms", "attestations", "machines_cpu_ms"),
    ("p50, ms", "attestations", "p50_ms"),
    ("p99, ms", "attestations", "p99_ms"),
    ("turn to write held", "turns", "held"),
    ("by who asked nothing then", "turns", "elsewhere"),
    ("by who waited for the disk", "turns", "at_disk"),
    ("waited for a turn, ms", "turns", "wait_ms"),
)


def plan_of(controllers: int, share: float, devices: int, seconds: float) -> Plan:
    """Of one of the runs."""
    return Plan(
        devices=devices,
        interval_s=INTERVAL_S,
        seconds=seconds,
        workers=min(2, devices),
        seed=controllers,
        keep=True,
        shares=Shares(0.0, 0.0, 0.0, 0.0),
        controllers=controllers,
        database=True,
        share=share,
        pressing=True,
    )


def compared(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Runs of one controller and of several, with what the last brought over the first: in
    attestations a second, and in those for what all of the run's processes used, machines apart.
    """
    rates = [run["attestations"]["per_s"] for run in runs]
    return {
        "cores": os.cpu_count(),
        "load": [round(x, 1) for x in os.getloadavg()],
        "runs": runs,
        "ratio": round(rates[-1] / rates[0], 2) if rates[0] else None,
        "host_cores": [host_cores(run) for run in runs],
        "wrong": [problem for run in runs for problem in wrong(run)],
    }


def host_cores(run: dict[str, Any]) -> float:
    """Processors that controllers, database and machines used together: what must be less than the
    host has, or it is the host that was measured.
    """
    done = run["attestations"]
    each = sum(float(done[f"{who}_cpu_ms"]) for who in ("controller", "database", "machines"))
    return round(float(done["per_s"]) * each / 1e3, 2)


def limit_of(run: dict[str, Any]) -> str:
    """What kept the controllers of a run from answering more."""
    if run["attestations"]["share_used_up"] >= USED_UP:
        return "their shares"
    return "turn to write" if run["turns"]["held"] >= HELD else "the host"


def show(result: dict[str, Any], console: Terminal) -> None:
    """As a table."""
    runs = result["runs"]
    table = Table("controllers", *(str(run["plan"]["controllers"]) for run in runs), box=None)
    for name, group, member in _SHOWN:
        table.add_row(name, *(str(run[group][member]) for run in runs))
    table.add_row("all processors in use", *(str(cores) for cores in result["host_cores"]))
    table.add_row("what was the limit", *map(limit_of, runs))
    console.print(table)
    console.print(
        f"{result['ratio']} times as many with {runs[-1]['plan']['controllers']} controllers"
        f" ({AIM} is wanted of two), each with {runs[-1]['plan']['share']:g} % of a processor,"
        f" of {result['cores']}; wrong: {'; '.join(result['wrong']) or 'nothing'}"
    )


def main() -> None:
    """Measure one controller and several."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, required=True, help="percent of a processor each")
    parser.add_argument("--store", choices=("postgres",), default="postgres")
    parser.add_argument("--controllers", type=int, choices=(2, 3, 4), default=2)
    parser.add_argument("--devices", type=int, default=DEVICES)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--build", type=Path, default=Path("build"))
    args = parser.parse_args()
    args.build.mkdir(parents=True, exist_ok=True)
    console, runs = Terminal(highlight=False), []
    for controllers in (1, args.controllers):
        plan = plan_of(controllers, args.share, args.devices, args.seconds)
        runs.append(run_fleet(plan, console.print))
    result = compared(runs)
    (args.build / "scale-speedup.json").write_text(json.dumps(result, indent=1) + "\n")
    show(result, console)
    raise SystemExit(1 if result["wrong"] else 0)


if __name__ == "__main__":
    run_to_its_end(main)
