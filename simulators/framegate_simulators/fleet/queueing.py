"""How long a machine waits for its turn at a controller, simulated from what one attestation takes
that nothing is beside (`alone`), and what it takes where many are (`together`): what a plan for a
larger fleet rests on, held against the run in which that was measured.

A machine attests by one of three ways (`How`), and again an interval after it was answered, so that
machines that wait ask for less: there are as many as there are, and no queue grows for good. An
attestation is work at three stations: at the machines' processor, which in a run of the simulator
is one process for all of them; at the controller's, to which its threads come again and again, as
often as was counted; at the one thread that answers who asks, as many together as wait: a part of
that is each one's own, the rest is done once for all of them, and then for the disk; others come
to the processor in between. What an attestation takes besides, network and TLS, passes without a
station. What controllers do by the clock comes between.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import inf, log
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

from rich.table import Table

from framegate_host.console import Terminal
from framegate_simulators.fleet.load import (
    CONTROLLER,
    MEASURED,
    WRITE_MS,
    Chores,
    Load,
    Way,
)
from framegate_simulators.fleet.stations import Counted, Job, Stage, Stations
from framegate_simulators.plant.orderly_end import run_to_its_end

INTERVALS: Final = 5
"""So many are simulated; the first is warm-up."""
PRESSED_S: Final = 4.0
"""So long machines press in the simulation, a quarter of it for warm-up."""
SHARES: Final = tuple(n / 10 for n in range(1, 11))
"""What is tried of what a batch shares (`Way.once`)."""
PLANS: Final = (1_000, 10_000, 100_000, 1_000_000)
SITE: Final = 1_000
"""Machines of one fleet in the plan for a million: with their watch open they ask for a third of
what one controller's Python can do, and keep half of the connections that a fleet port takes unless
it is told otherwise.
"""
WATCH_MS: Final = 0.18
"""Of a controller's processor, for each second that a machine's watch is open."""


@dataclass(frozen=True, slots=True)
class Waited:
    """From the moment that a machine's turn had come to its answer, ms; how many were later than
    the interval that makes a machine stale; answers a second, and the controller's processor; how
    many joined a second, where they did.
    """

    p50_ms: float
    p99_ms: float
    late: int
    per_s: float
    cores: float
    joined_per_s: float = 0.0

    @property
    def each_ms(self) -> float:
        """Of the controller's processor, an answer."""
        return 1e3 * self.cores / self.per_s


class Machines:
    """Who ask until what is `counted` ends, each at its own time and again an interval after it was
    answered. Where they join first, it begins once the last has joined and all have settled.
    """

    def __init__(self, load: Load, chance: random.Random, counted: Counted) -> None:
        self._load, self._chance, self._counted = load, chance, counted
        self._shares = [way.share for way in load.ways]
        self._ways = [[self._both(one) for one in way.each()] for way in load.ways]
        self._enrolment = self._both(load.joining.way) if load.joining else ((), 0)
        self._begun = self._joined = 0
        self.joined_per_s = 0.0

    def first(self) -> list[Job]:
        """Of each the first turn, in order: where they join, those of as many as do at once."""
        count, interval_s = self._load.devices, self._load.interval_s
        if self._load.joining:
            self._begun = min(count, self._load.joining.at_once)
            return [Job(0.0, *self._enrolment)] * self._begun
        times = sorted(interval_s * self._chance.random() for _ in range(count))
        return [self._asks(at_s) for at_s in times]

    def again(self, before: Job, then_s: float) -> Iterator[Job]:
        """What follows when one was answered then: its next turn, unless that is past what is
        simulated. Who has just joined is spread over an interval, and another one joins.
        """
        joined = before.stages is self._enrolment[0]
        jitter = self._load.jitter
        within = (0.0, 1.0) if joined else (1 - jitter, 1 + jitter)
        at_s = then_s + self._load.interval_s * self._chance.uniform(*within)
        if at_s < self._counted.end_s:
            yield self._asks(at_s)
        if joined:
            yield from self._joins(then_s)

    def _joins(self, now_s: float) -> Iterator[Job]:
        """The next one that joins, if there is one; with the last what is counted is known."""
        self._joined += 1
        if self._begun < self._load.devices:
            self._begun += 1
            yield Job(now_s, *self._enrolment)
        if self._joined == self._load.devices and (joining := self._load.joining):
            self._counted.begin_s = now_s + joining.settling_s
            self._counted.end_s = self._counted.begin_s + joining.counted_s
            self.joined_per_s = self._joined / now_s

    def _both(self, way: Way) -> tuple[tuple[Stage, ...], int]:
        """What is done for one, and how many stages of it until the answer."""
        return way.stages(self._load.write_ms, crowd=self._load.crowd)

    def _asks(self, at_s: float) -> Job:
        (measured,) = self._chance.choices(self._ways, self._shares)
        stages, answered = self._chance.choice(measured)
        return Job(at_s, stages, answered)


def chores(load: Load, chance: random.Random, counted: Counted) -> Iterator[Job]:
    """What the controller does by the clock, at no time in particular."""
    if not load.chores.cores:
        return
    piece = (Stage(CONTROLLER, load.chores.piece_ms / 1e3),)
    per_s = 1e3 * load.chores.cores / load.chores.piece_ms
    at_s = chance.expovariate(per_s)
    while at_s < counted.end_s:
        yield Job(at_s, piece)
        at_s += chance.expovariate(per_s)


@lru_cache(maxsize=8)
def simulate(load: Load, seed: int = 1) -> Waited:
    """What waiting comes to. Raises ValueError where what is done by the clock leaves nothing."""
    if load.chores.cores >= 1:
        raise ValueError(f"{load.chores.cores:.2f} processors by the clock: nobody is answered")
    if load.joining is None:
        return _simulate(load, seed, Counted(load.interval_s, INTERVALS * load.interval_s))
    return _simulate(load, seed, Counted(inf, inf))


def pressed(load: Load, way: Way, at_once: int, seed: int = 1) -> Waited:
    """Of `at_once` machines each of which comes again as soon as it was answered, by one way."""
    ways = (replace(way, share=1.0),)
    there = replace(load, devices=at_once, ways=ways, joining=None)
    pressing = replace(there, interval_s=0.0, chores=Chores())
    return _simulate(pressing, seed, Counted(PRESSED_S / 4, PRESSED_S))


def sharing(run: dict[str, Any], write_ms: float) -> Load:
    """The load of a run, in which a batch shares as much as makes so many under way at any time
    cost what they were measured to: least squares of the logarithms.
    """
    load = Load.of_run(run, write_ms)
    return replace(load, ways=tuple(_sharing(load, way) for way in load.ways))


def _sharing(load: Load, way: Way) -> Way:
    def misses(once: float) -> float:
        tried = replace(way, once=once)
        return sum(
            log(pressed(load, tried, at_once).each_ms / cost_ms) ** 2
            for at_once, cost_ms in way.several
        )

    return replace(way, once=min(SHARES, key=misses)) if way.several else way


def _simulate(load: Load, seed: int, counted: Counted) -> Waited:
    """Of those that come while it is counted."""
    machines = Machines(load, random.Random(seed), counted)
    stations = Stations(3, load.most, counted)
    by_the_clock = chores(load, random.Random(seed + 1), counted)
    jobs = heapq.merge(machines.first(), by_the_clock, key=lambda job: job.at_s)
    answered = list(stations.passed(jobs, machines.again))
    begin_s, end_s = counted.begin_s, counted.end_s
    took = sorted(one.then_s - one.at_s for one in answered if one.at_s >= begin_s)
    done = sum(begin_s <= one.then_s <= end_s for one in answered)
    return Waited(
        p50_ms=1e3 * took[len(took) // 2],
        p99_ms=1e3 * took[int(0.99 * len(took))],
        late=sum(one > load.interval_s for one in took),
        per_s=done / (end_s - begin_s),
        cores=stations.busy_s[CONTROLLER] / (end_s - begin_s),
        joined_per_s=machines.joined_per_s,
    )


def beside(runs: Sequence[dict[str, Any]], loads: Sequence[Load]) -> Table:
    """What was measured, and what is simulated."""
    table = Table("machines", "", "joined a second", "a second", "busy", "p50, ms", "p99, ms")
    table.box = None
    for run, load in zip(runs, loads, strict=True):
        seen, done = simulate(load), run["attestations"]
        measured = (done[name] for name in ("per_s", "controller_cores", "p50_ms", "p99_ms"))
        joined = run["enrolments"]["per_s"]
        table.add_row(str(load.devices), "measured", *map(str, (joined, *measured)))
        said = (f"{seen.joined_per_s:.1f}", f"{seen.per_s:.1f}", f"{seen.cores:.2f}")
        table.add_row("", "simulated", *said, f"{seen.p50_ms:.1f}", f"{seen.p99_ms:.1f}")
    return table


def beside_pressed(run: dict[str, Any], load: Load) -> Table:
    """The same of so many that were under way at any time. What one and the most cost is what the
    simulation is given, and how much a batch shares is chosen by what those between cost; how many
    are answered is what it says.
    """
    table = Table("under way", "", "a second", "CPU each, ms", box=None)
    alone = run["alone"]
    how = max(run["ways"], key=lambda how: run["ways"][how]["done"])
    way = max(load.ways, key=attrgetter("share"))
    for one in alone[how].get("together", ()):
        seen = pressed(load, way, one["at_once"])
        table.add_row(str(one["at_once"]), "measured", str(one["per_s"]), str(one["controller_ms"]))
        table.add_row("", "simulated", f"{seen.per_s:.1f}", f"{seen.each_ms:.2f}")
    return table


def planned(load: Load, watch_ms: float) -> Table:
    """Fleets of at most `SITE` machines, each once a minute."""
    table = Table("machines", "fleets", "each", "busy", "p50, ms", "p99, ms", "late", box=None)
    for devices in PLANS:
        fleets = -(-devices // SITE)
        one = load.in_earnest(-(-devices // fleets), 60.0, watch_ms)
        row = (str(devices), str(fleets), str(one.devices))
        if one.chores.cores >= 1:
            table.add_row(*row, f"{one.chores.cores:.2f}", "nobody is answered")
            continue
        seen = simulate(one)
        waited = (f"{seen.p50_ms:.1f}", f"{seen.p99_ms:.1f}", str(seen.late))
        table.add_row(*row, f"{seen.cores:.2f}", *waited)
    return table


def like_a_site(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The run of about as many machines as a fleet of the plan has: what an attestation takes alone
    was measured at its pace, and faster ones find a processor that is warm.
    """
    return min(runs, key=lambda run: abs(run["plan"]["devices"] - SITE))


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
            loads = [sharing(run, args.write_ms) for run in runs]
            console.print(beside(runs, loads))
            console.print(beside_pressed(runs[-1], loads[-1]))
            load = loads[runs.index(like_a_site(runs))]
        except (ValueError, KeyError) as error:
            console.print(f"{args.measured} is of no use here: {error}")
    console.print(planned(load, args.watch_ms))


if __name__ == "__main__":
    run_to_its_end(main)
