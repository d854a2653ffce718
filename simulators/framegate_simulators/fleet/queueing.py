"""How long a machine waits for its turn at a controller, simulated from what one attestation takes
that nothing is beside (`alone`): what a plan for a larger fleet rests on, held against the run in
which that was measured.

Machines attest every interval, each at its own time, by one of three ways (`How`). An attestation
is work at three stations: at the machines' processor, which in a run of the simulator is one
process for all of them; at the controller's, to which its threads come again and again, as often as
was counted; at the store's one turn to write. What it takes besides, network, TLS and disk, passes
without a station. What controllers do by the clock comes between.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Self

from rich.table import Table

from framegate_host.console import Terminal
from framegate_simulators.fleet.stations import NOWHERE, Job, Stage, passed
from framegate_simulators.plant.orderly_end import run_to_its_end

JITTER: Final = 0.05
"""Of an interval, as simulated machines have it (`worker.py`)."""
WRITE_MS: Final = 2.5
"""The store's turn: figures, store_ms of one attestation."""
INTERVALS: Final = 5
"""So many are simulated; the first is warm-up."""
PLANS: Final = (1_000, 10_000, 100_000, 1_000_000)
SITE: Final = 1_000
"""Machines of one fleet in the plan for a million: with their watch open they ask for half of what
one controller's Python can do, and keep half of the connections that a fleet port takes.
"""
WATCH_MS: Final = 0.18
"""Of a controller's processor, for each second that a machine's watch is open."""
MACHINES, CONTROLLER, TURN = range(3)
"""The stations."""


@dataclass(frozen=True, slots=True)
class Way:
    """A share of all attestations, and what one takes, ms: the controller's processor, of which the
    share `begin` is for the challenge, the machine's, and all of it until the answer. The
    controller's threads come to its processor in `visits` for it: whoever is there is waited for
    each time. `took_ms` is how long each took of those that were measured, of which `alone_ms` is
    the middle: one that waited for a disk is as likely to come as it was then.
    """

    share: float
    controller_ms: float
    machine_ms: float
    alone_ms: float
    begin: float = 0.3
    visits: int = 2
    took_ms: tuple[float, ...] = ()

    def each(self) -> tuple[Way, ...]:
        """It as each of those that were measured took; itself where only the middle is known."""
        return tuple(replace(self, alone_ms=ms) for ms in self.took_ms) or (self,)

    def stages(self, write_ms: float, *, crowd: bool) -> tuple[Stage, ...]:
        """Until the answer, and the last after it; `crowd`: machines share one processor. What a
        controller's processor does beyond the time that all took, it did behind the answer.
        """
        before = min(self.controller_ms, max(0.0, self.alone_ms - self.machine_ms))
        rest = max(0.0, self.alone_ms - self.machine_ms - before)
        write = min(write_ms, rest)
        visits = max(1, self.visits)
        first = round(visits * self.begin)
        own = (MACHINES if crowd else NOWHERE, self.machine_ms / 3)
        one = ((NOWHERE, (rest - write) / visits), (CONTROLLER, before / visits))
        steps = (own, *one * first, own, *one * (visits - first), (TURN, write), own)
        behind = Stage(CONTROLLER, (self.controller_ms - before) / 1e3)
        # nobody queues where they have nothing to do
        return (*(Stage(station, ms / 1e3) for station, ms in steps if ms > 0), behind)


@dataclass(frozen=True, slots=True)
class Chores:
    """What a controller does by the clock: a share of its processor, in pieces of so many ms."""

    cores: float = 0.0
    piece_ms: float = 1.0


@dataclass(frozen=True, slots=True)
class Load:
    """Machines at one controller, and what their attestations take; `crowd`: machines are one
    process, as in a run of the simulator.
    """

    devices: int
    interval_s: float
    ways: tuple[Way, ...]
    chores: Chores = Chores()
    write_ms: float = WRITE_MS
    crowd: bool = False

    @property
    def rate(self) -> float:
        """Attestations a second that are asked for."""
        return self.devices / self.interval_s

    @property
    def busy(self) -> float:
        """The share of the busiest station's time that is asked for; past 1 the queue grows for
        good.
        """
        controller = sum(way.share * way.controller_ms for way in self.ways) / 1e3
        machines = sum(way.share * way.machine_ms for way in self.ways) / 1e3 if self.crowd else 0.0
        turn = self.write_ms / 1e3
        return max(
            self.rate * controller + self.chores.cores, self.rate * machines, self.rate * turn
        )

    @classmethod
    def of_run(cls, run: dict[str, Any], write_ms: float = WRITE_MS) -> Self:
        """The load of a run of the simulator in which attestations were measured alone, too.
        Raises ValueError where they were not.
        """
        alone, done, ways = run.get("alone"), run["attestations"], run["ways"]
        if not alone:
            raise ValueError("nothing was measured alone in this run: make bench-scale does")
        total = sum(way["done"] for way in ways.values())
        return cls(
            devices=run["plan"]["devices"],
            interval_s=run["plan"]["devices"] / done["per_s"],
            ways=tuple(
                _way(alone[how], ways[how]["done"] / total) for how in ways if ways[how]["done"]
            ),
            chores=Chores(**alone["idle"]),
            write_ms=write_ms,
            crowd=True,
        )

    def in_earnest(self, devices: int, interval_s: float, watch_ms: float) -> Load:
        """The same of `devices` machines each with a processor of its own, which keep their
        connections, as agents do: only who has to join opens one. Each has its watch open, which
        takes `watch_ms` a second.
        """
        kept = [way for way in self.ways if way.alone_ms == min(w.alone_ms for w in self.ways)]
        joins = max(self.ways, key=lambda way: way.alone_ms)
        share = joins.share if joins is not kept[0] else 0.0
        ways = (replace(kept[0], share=1 - share), replace(joins, share=share))
        chores = replace(self.chores, cores=self.chores.cores + devices * watch_ms / 1e3)
        return Load(devices, interval_s, ways, chores, self.write_ms)


def _way(alone: dict[str, Any], share: float) -> Way:
    took = alone["p50_ms"] or 1.0
    return Way(
        share=share,
        controller_ms=alone["controller_ms"],
        machine_ms=alone["machine_ms"],
        alone_ms=took,
        begin=min(1.0, alone["begin_ms"] / took),
        visits=int(alone["visits"]),
        took_ms=tuple(alone.get("took_ms", ())),
    )


MEASURED: Final = Load(
    devices=1_000,
    interval_s=60.0,
    ways=(Way(0.985, 8.8, 2.6, 14.4, 0.24, 120), Way(0.015, 12.0, 5.9, 25.1, 0.36, 43)),
    chores=Chores(0.058, 0.15),
)
"""Without a run to read: what `docs/scaling.md` has."""


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


def attestations(load: Load, chance: random.Random) -> Iterator[Job]:
    """What machines ask, in order."""
    ways = [
        [one.stages(load.write_ms, crowd=load.crowd) for one in way.each()] for way in load.ways
    ]
    shares = [way.share for way in load.ways]
    for at_s in arrivals(load, chance):
        (measured,) = chance.choices(ways, shares)
        stages = chance.choice(measured)
        yield Job(at_s, stages, len(stages) - 1)


def chores(load: Load, chance: random.Random) -> Iterator[Job]:
    """What the controller does by the clock, at no time in particular."""
    if not load.chores.cores:
        return
    piece = (Stage(CONTROLLER, load.chores.piece_ms / 1e3),)
    per_s = 1e3 * load.chores.cores / load.chores.piece_ms
    at_s, end_s = chance.expovariate(per_s), INTERVALS * load.interval_s
    while at_s < end_s:
        yield Job(at_s, piece)
        at_s += chance.expovariate(per_s)


def simulate(load: Load, seed: int = 1) -> Waited:
    """What waiting comes to. Raises ValueError where the queue grows for good."""
    if load.busy >= 1:
        raise ValueError(f"{load.busy:.2f} times what there is: nobody keeps up")
    jobs = heapq.merge(
        attestations(load, random.Random(seed)),
        chores(load, random.Random(seed + 1)),
        key=lambda job: job.at_s,
    )
    took = sorted(one.then_s - one.at_s for one in passed(jobs, 3) if one.at_s > load.interval_s)
    late = sum(one > load.interval_s for one in took)
    return Waited(1e3 * took[len(took) // 2], 1e3 * took[int(0.99 * len(took))], late)


def beside(runs: Sequence[dict[str, Any]], write_ms: float) -> Table:
    """What was measured beside what is simulated."""
    table = Table("machines", "busy", "p50, ms", "simulated", "p99, ms", "simulated", box=None)
    for run in runs:
        load, done = Load.of_run(run, write_ms), run["attestations"]
        seen = simulate(load) if load.busy < 1 else None
        table.add_row(
            str(load.devices),
            f"{load.busy:.2f}",
            str(done["p50_ms"]),
            f"{seen.p50_ms:.1f}" if seen else "grows",
            str(done["p99_ms"]),
            f"{seen.p99_ms:.1f}" if seen else "grows",
        )
    return table


def planned(load: Load, watch_ms: float) -> Table:
    """Fleets of at most `SITE` machines, each once a minute."""
    table = Table("machines", "fleets", "each", "busy", "p50, ms", "p99, ms", "late", box=None)
    for devices in PLANS:
        fleets = -(-devices // SITE)
        one = load.in_earnest(-(-devices // fleets), 60.0, watch_ms)
        row = (str(devices), str(fleets), str(one.devices), f"{one.busy:.2f}")
        if one.busy >= 1:
            table.add_row(*row, "grows")
            continue
        seen = simulate(one)
        table.add_row(*row, f"{seen.p50_ms:.1f}", f"{seen.p99_ms:.1f}", str(seen.late))
    return table


def main() -> None:
    """Print what was measured beside what is simulated, and the plan to a million."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measured", type=Path, default=Path("build/scale-fleet.json"))
    parser.add_argument("--write-ms", type=float, default=WRITE_MS)
    parser.add_argument("--watch-ms", type=float, default=WATCH_MS)
    args = parser.parse_args()
    console, load = Terminal(highlight=False), replace(MEASURED, write_ms=args.write_ms)
    if args.measured.exists():
        runs = json.loads(args.measured.read_text())["runs"]
        try:
            console.print(beside(runs, args.write_ms))
            load = Load.of_run(runs[-1], args.write_ms)
        except (ValueError, KeyError) as error:
            console.print(f"{args.measured} is of no use here: {error}")
    console.print(planned(load, args.watch_ms))


if __name__ == "__main__":
    run_to_its_end(main)
