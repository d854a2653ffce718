"""How long a machine waits for its turn at a controller, simulated from what one attestation costs:
what a plan for a larger fleet rests on, held against what was measured.

Machines attest every interval, each at its own time. An attestation takes a processor for its
`cpu_ms`, in order of coming, and, of that, the store's one turn to write for its `write_ms`.
Waiting at the processors and at the turn is all that is simulated: no network, no disk that is busy
with something else.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.table import Table

from framegate_host.console import Terminal
from framegate_simulators.plant.orderly_end import run_to_its_end

JITTER: Final = 0.05
"""Of an interval, as simulated machines have it (`worker.py`)."""
WRITE_MS: Final = 2.5
"""The store's turn, where it was not measured: figures, store_ms of one attestation."""
INTERVALS: Final = 5
"""So many are simulated; the first is warm-up."""
PLANS: Final = (1_000, 10_000, 100_000, 1_000_000)
SITE: Final = 2_000
"""Machines of one fleet in the plan for a million: that keep their connections at one fleet port
(2,048), and ask for half of what one controller's Python can do.
"""


@dataclass(frozen=True, slots=True)
class Load:
    """Machines at one controller, and what each attestation takes."""

    devices: int
    interval_s: float
    cpu_ms: float
    write_ms: float = WRITE_MS
    cores: int = 2

    @property
    def busy(self) -> float:
        """The share of the processors' time that is asked for; past 1 the queue grows for good."""
        return self.devices / self.interval_s * self.cpu_ms / 1e3 / self.cores

    @property
    def writing(self) -> float:
        """The same of the store's one turn."""
        return self.devices / self.interval_s * self.write_ms / 1e3


@dataclass(frozen=True, slots=True)
class Waited:
    """From the moment that a machine's turn had come to its answer, ms; how many were later than
    the interval that makes a machine stale.
    """

    p50_ms: float
    p99_ms: float
    late: int


def arrivals(load: Load, chance: random.Random) -> Iterator[float]:
    """When machines come, in order, s."""
    due = [(load.interval_s * chance.random(), n) for n in range(load.devices)]
    heapq.heapify(due)
    end_s = INTERVALS * load.interval_s
    while due and due[0][0] < end_s:
        at_s, number = due[0]
        yield at_s
        wait_s = load.interval_s * chance.uniform(1 - JITTER, 1 + JITTER)
        heapq.heapreplace(due, (at_s + wait_s, number))


def simulate(load: Load, seed: int = 1) -> Waited:
    """What waiting comes to. Raises ValueError where the queue grows for good."""
    if load.busy >= 1 or load.writing >= 1:
        raise ValueError(f"{max(load.busy, load.writing):.2f} times what there is: nobody keeps up")
    free = [0.0] * load.cores
    turn_s, took = 0.0, []
    before_s, write_s = (load.cpu_ms - load.write_ms) / 1e3, load.write_ms / 1e3
    for at_s in arrivals(load, random.Random(seed)):
        begun_s = max(at_s, free[0])
        turn_s = max(begun_s + before_s, turn_s) + write_s
        heapq.heapreplace(free, turn_s)
        if at_s > load.interval_s:
            took.append(turn_s - at_s)
    took.sort()
    late = sum(one > load.interval_s for one in took)
    return Waited(1e3 * took[len(took) // 2], 1e3 * took[int(0.99 * len(took))], late)


def of_run(run: dict[str, Any], cores: int, write_ms: float) -> Load:
    """The load of a run of `framegate-sim fleet`, by what it measured."""
    done, plan = run["attestations"], run["plan"]
    rate = float(done["per_s"])
    return Load(
        devices=plan["devices"],
        interval_s=plan["devices"] / rate,
        cpu_ms=done["controller_cpu_ms"],
        write_ms=min(write_ms, done["controller_cpu_ms"]),
        cores=cores,
    )


def main() -> None:
    """Print what was measured beside what is simulated, and the plan to a million."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measured", type=Path, default=Path("build/scale-fleet.json"))
    parser.add_argument("--cpu-ms", type=float, default=15.0, help="without a measured run")
    parser.add_argument("--write-ms", type=float, default=WRITE_MS)
    parser.add_argument("--cores", type=int, default=1, help="that the controller had")
    args = parser.parse_args()
    console, cpu_ms = Terminal(highlight=False), args.cpu_ms
    if args.measured.exists():
        table = Table("machines", "busy", "p50, ms", "simulated", "p99, ms", "simulated", box=None)
        for run in json.loads(args.measured.read_text())["runs"]:
            load = of_run(run, args.cores, args.write_ms)
            cpu_ms, done = load.cpu_ms, run["attestations"]
            seen = simulate(load) if load.busy < 1 else None
            table.add_row(
                str(load.devices),
                f"{load.busy:.2f}",
                str(done["p50_ms"]),
                f"{seen.p50_ms:.1f}" if seen else "grows",
                str(done["p99_ms"]),
                f"{seen.p99_ms:.1f}" if seen else "grows",
            )
        console.print(table)
    table = Table("machines", "fleets", "each", "busy", "p50, ms", "p99, ms", "late", box=None)
    for devices in PLANS:
        fleets = -(-devices // SITE)
        load = Load(-(-devices // fleets), 60.0, cpu_ms, args.write_ms, args.cores)
        if load.busy >= 1 or load.writing >= 1:
            table.add_row(str(devices), str(fleets), str(load.devices), f"{load.busy:.2f}", "grows")
            continue
        seen = simulate(load)
        table.add_row(
            *(str(devices), str(fleets), str(load.devices), f"{load.busy:.2f}"),
            *(f"{seen.p50_ms:.1f}", f"{seen.p99_ms:.1f}", str(seen.late)),
        )
    console.print(table)


if __name__ == "__main__":
    run_to_its_end(main)
