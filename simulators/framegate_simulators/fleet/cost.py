"""make bench-scale: what a machine and an attestation cost one controller, at a hundred, a
thousand, and where asked ten thousand machines; with `--store postgres` two of them, on a database,
too. Writes build/scale-fleet.json, or build/scale-fleet-postgres-N.json.

The machines share the host with the controller; their CPU is measured apart, and the controller's
cost is its own. The rate is the fleet's, so it says whether anybody was late, not how fast a
controller can be: that is one over its CPU an attestation.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.table import Table

from framegate_controller.joinport.limits import SILENCE_S
from framegate_host.console import Terminal
from framegate_simulators.fleet.plan import Plan, Shares
from framegate_simulators.fleet.run import MOST_KEPT, run_fleet, wrong
from framegate_simulators.plant.orderly_end import run_to_its_end

SIZES: Final = (100, 1_000)
SECONDS: Final = 60.0
RATE: Final = 25.0
"""Attestations a second at every size, so that what differs is the size alone: the interval is
devices over this, and 60 s at most, as fleets have it.
"""
LEAST_INTERVAL_S: Final = 4.0
SETTLING: Final = 2
"""Intervals before what is counted: who waited while others joined came in a wave, and again."""
FLAT: Final = 1.05
"""The exponent of cost over devices at which the cost of one is called flat."""


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """By which power of the size the total cost grows: the slope of a line through the logarithms
    (least squares). 1 is flat per device.
    """
    xs, ys = [math.log(x) for x in sizes], [math.log(max(y, 1e-9)) for y in costs]
    middle_x, middle_y = sum(xs) / len(xs), sum(ys) / len(ys)
    over = sum((x - middle_x) * (y - middle_y) for x, y in zip(xs, ys, strict=True))
    return over / sum((x - middle_x) ** 2 for x in xs)


@dataclass(frozen=True, slots=True)
class Served:
    """By how many controllers, with a file or on a database; for how long, at how many attestations
    a second.
    """

    controllers: int
    database: bool
    seconds: float
    rate: float


def curve(sizes: Sequence[int], served: Served, console: Terminal) -> dict[str, Any]:
    """A run a size, and how cost grows over them. Machines of all sizes keep their connections, or
    none do: to open one costs more than the rest of an attestation.
    """
    runs = []
    intervals = [min(60.0, max(LEAST_INTERVAL_S, n / served.rate)) for n in sizes]
    keep = max(sizes) <= MOST_KEPT and max(intervals) < SILENCE_S
    for devices, interval_s in zip(sizes, intervals, strict=True):
        plan = Plan(
            devices=devices,
            interval_s=interval_s,
            seconds=max(served.seconds, 1.5 * interval_s),
            workers=1,
            seed=devices,
            keep=keep,
            shares=Shares(),
            controllers=served.controllers,
            database=served.database,
            alone=True,
            settling=SETTLING * interval_s,
        )
        console.print(f"{devices} machines, every {interval_s:g} s")
        runs.append(run_fleet(plan, console.print))
    cpu = [r["attestations"]["controller_cpu_ms"] * r["plan"]["devices"] for r in runs]
    registry = [r["controller"]["registry_kib_a_device"] * r["plan"]["devices"] for r in runs]
    return {
        "cores": os.cpu_count(),
        "load": [round(x, 1) for x in os.getloadavg()],
        "runs": runs,
        "cpu_exponent": _exponent(sizes, cpu),
        "registry_exponent": _exponent(sizes, registry),
        "wrong": [problem for run in runs for problem in wrong(run)],
    }


def _exponent(sizes: Sequence[float], costs: Sequence[float]) -> float | None:
    """None where there is one size alone."""
    return round(exponent(sizes, costs), 3) if len(set(sizes)) > 1 else None


_SHOWN: Final = (
    ("interval, s", "plan", "interval_s"),
    ("attestations a second", "attestations", "per_s"),
    ("controller's CPU each, ms", "attestations", "controller_cpu_ms"),
    ("database's CPU each, ms", "attestations", "database_cpu_ms"),
    ("machines' CPU each, ms", "attestations", "machines_cpu_ms"),
    ("p50, ms", "attestations", "p50_ms"),
    ("p99, ms", "attestations", "p99_ms"),
    ("enrolments a second", "enrolments", "per_s"),
    ("controller's CPU an enrolment, ms", "enrolments", "controller_cpu_ms"),
    ("turns of who had joined", "enrolments", "turns_meanwhile"),
    ("memory a device, KiB", "controller", "kib_a_device"),
    ("registry a device, KiB", "controller", "registry_kib_a_device"),
)


def show(result: dict[str, Any], console: Terminal) -> None:
    """As a table."""
    table = Table("", *(str(r["plan"]["devices"]) for r in result["runs"]), box=None)
    for name, group, member in _SHOWN:
        table.add_row(name, *(str(run[group][member]) for run in result["runs"]))
    table.add_row("late", *(str(run["late_devices"]) for run in result["runs"]))
    console.print(table)
    console.print(
        f"exponents: CPU {result['cpu_exponent']}, registry {result['registry_exponent']}; "
        f"wrong: {'; '.join(result['wrong']) or 'nothing'}"
    )


def main() -> None:
    """make bench-scale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--rate", type=float, default=RATE)
    parser.add_argument("--controllers", type=int, default=1)
    parser.add_argument("--store", choices=("file", "postgres"), default="file")
    parser.add_argument("--build", type=Path, default=Path("build"))
    args = parser.parse_args()
    args.build.mkdir(parents=True, exist_ok=True)
    console = Terminal(highlight=False)
    served = Served(args.controllers, args.store == "postgres", args.seconds, args.rate)
    result = curve(args.devices, served, console)
    name = f"-postgres-{served.controllers}" if served.database else ""
    (args.build / f"scale-fleet{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    show(result, console)
    raise SystemExit(1 if result["wrong"] else 0)


if __name__ == "__main__":
    run_to_its_end(main)
