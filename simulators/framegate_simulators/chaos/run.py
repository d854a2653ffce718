"""make chaos: RUNS short runs, each under a fault of its own at a random instant, and a table of
faults and what became of them. Writes build/chaos.json; ends with 1 where anything was wrong.

Most runs are of cells, a controller or a gateway without its ports in a process that is forked and
may be killed: they cost tenths of a second. The others are of a whole line of real programs
(`--line`), some seconds each.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Final

from framegate_host.console import Terminal
from framegate_simulators.chaos import (
    adapter_faults,
    disk,
    receipts_faults,
    registry_faults,
    shared_faults,
)
from framegate_simulators.chaos.cell import Founded, found
from framegate_simulators.chaos.line_faults import LineRuns, line_possible
from framegate_simulators.chaos.outcome import Outcome, Tally, table, wrong
from framegate_simulators.chaos.registry_faults import Run
from framegate_simulators.chaos.shared_faults import SharedRuns
from framegate_simulators.fixtures.postgres import local_postgres, programs
from framegate_simulators.plant.orderly_end import run_to_its_end
from framegate_simulators.plant.processes import PlantError

SOON_MS: Final = 30_000.0
"""Within which a controller or gateway that was started again, or whose disk or database is back,
has to be as before: a second of work, on a machine that may do much else.
"""
LINE_MS: Final = 120_000.0
"""Within which parts have to pass again on a whole line: some ten seconds on a machine that does
nothing else. Certificates of these plants live for twelve, and machines try again within seconds.
"""
OFTEN: Final = 6
"""Kills and lost connections are tried so often for one of the others: their instant matters."""
LINE_SHARE: Final = 20
"""One run of a line for so many of cells."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of run; `weight` of all, `missing` says why it cannot be done here."""

    name: str
    do: Callable[[int], Outcome]
    weight: int = 1
    missing: str = ""
    limit_ms: float = SOON_MS


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody asked for: the first seed, of which faults, by a part of their names, or by
    several with `|` between, and until when (monotonic seconds).
    """

    seed: int
    only: str = ""
    until_s: float = math.inf

    def wants(self, fault: str) -> bool:
        """Whether a fault of this name is one of them."""
        return any(part in fault for part in self.only.split("|"))

    @property
    def over(self) -> bool:
        """Whether no run is to begin any more."""
        return time.monotonic() > self.until_s


def cells(founded: Founded, folder: Path) -> list[Fault]:
    """Faults of one controller, of a gateway's receipts, of an adapter's ledger."""
    no_disk = "" if disk.possible() else "mounting a disk needs root"

    def of(fault: Callable[[Run], Outcome]) -> Callable[[int], Outcome]:
        def do(seed: int) -> Outcome:
            own = folder / f"run-{seed}"
            try:
                return fault(Run(founded, own, random.Random(seed)))
            finally:
                shutil.rmtree(own, ignore_errors=True)

        return do

    r, g, a = registry_faults, receipts_faults, adapter_faults
    return [
        Fault("controller: kill -9", of(r.killed), OFTEN),
        Fault("controller: disk full", of(r.disk_full), 1, no_disk),
        Fault("controller: disk read-only", of(r.disk_read_only), 1, no_disk),
        Fault("controller: clock +1 h", of(r.clock_forward)),
        Fault("controller: clock -1 h", of(r.clock_back)),
        Fault("controller: damaged page", of(r.damaged_page), 2),
        Fault("gateway: kill -9", of(g.killed), OFTEN),
        Fault("gateway: disk full", of(g.disk_full), 1, no_disk),
        Fault("gateway: disk read-only", of(g.disk_read_only), 1, no_disk),
        Fault("gateway: clock +1 h", of(g.clock_forward)),
        Fault("gateway: clock -1 h", of(g.clock_back)),
        Fault("gateway: damaged page", of(g.damaged_page), 2),
        Fault("adapter: kill -9", of(a.killed), OFTEN),
        Fault("adapter: disk full", of(a.disk_full), 1, no_disk),
        Fault("adapter: disk read-only", of(a.disk_read_only), 1, no_disk),
        Fault("adapter: clock +1 h", of(a.clock_forward)),
        Fault("adapter: clock -1 h", of(a.clock_back)),
        Fault("adapter: damaged page", of(a.damaged_page), 2),
    ]


def shared(founded: Founded, folder: Path, stack: ExitStack) -> list[Fault]:
    """Faults of two controllers on PostgreSQL."""
    if programs() is None:
        missing = "PostgreSQL 15 or later is not installed"
        return [Fault("two controllers", lambda _: _never(), 1, missing)]
    server = stack.enter_context(local_postgres())
    runs = SharedRuns(server, founded, folder)

    def of(fault: Callable[[random.Random], Outcome]) -> Callable[[int], Outcome]:
        return lambda seed: fault(random.Random(seed))

    return [
        Fault("one of two controllers: kill -9", of(runs.one_killed), OFTEN // 2),
        Fault("both controllers: kill -9", of(runs.both_killed), OFTEN // 2),
        Fault("database: kill -9", of(runs.database_killed), 1),
        Fault("database: connections lost", of(runs.connection_lost), OFTEN // 2),
        *(
            Fault(f"database: link {mode}", of(partial(runs.link, mode)))
            for mode in shared_faults.LINK_MODES
        ),
        Fault("database: fails over", partial(_failed_over, founded, folder), 0),
    ]


def line(logs: Path, stack: ExitStack, asked: Asked) -> list[Fault]:
    """Faults of a whole line of real programs; none, and no line, where nobody asked for any."""
    missing = line_possible()
    if missing:
        return [Fault("a line", lambda _: _never(), 1, missing)]
    runs = LineRuns(logs)
    if not any(map(asked.wants, runs.faults)):
        return []
    stack.enter_context(runs)
    return [
        Fault(name, partial(_on_line, runs, name), weight, limit_ms=LINE_MS)
        for name, weight in runs.faults.items()
    ]


def _on_line(runs: LineRuns, name: str, seed: int) -> Outcome:
    return runs.run(name, random.Random(seed))


def _failed_over(founded: Founded, folder: Path, seed: int) -> Outcome:
    with local_postgres() as primary:
        SharedRuns(primary, founded, folder)  # makes the database that runs are copies of
        own = folder / f"over-{seed}"
        return shared_faults.failed_over(primary, founded, own, random.Random(seed))


def _never() -> Outcome:
    raise AssertionError("a fault that cannot be done here")


def spread(faults: Sequence[Fault], runs: int) -> Iterator[Fault]:
    """Each once, and as many more in turn, by their weights, as make `runs` of them; where none has
    a weight, by turns.
    """
    turns = [fault for fault in faults for _ in range(fault.weight)] or faults
    yield from faults if runs else ()
    yield from islice(cycle(turns), max(0, runs - len(faults)))


def tried(
    faults: Sequence[Fault], runs: int, asked: Asked, told: list[Tally], say: Callable[[str], None]
) -> None:
    """Each fault's runs, from another one on by the seed; what came of them is in `told`, of those
    before an end that came early, too.
    """
    faults, seed = [f for f in faults if asked.wants(f.name)], asked.seed
    first = seed % len(faults) if faults else 0
    faults = [*faults[first:], *faults[:first]]
    tallies = {f.name: Tally(f.name, f.limit_ms, skipped=f.missing) for f in faults}
    told += tallies.values()
    for number, fault in enumerate(spread([f for f in faults if not f.missing], runs)):
        if asked.over:
            break
        tally = tallies[fault.name]
        before = len(tally.problems)
        tally.add(fault.do(seed + number), seed + number)
        for problem in tally.problems[before:]:
            say(f"{fault.name}: {problem}")


def main() -> None:
    """make chaos."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000, help="of cells")
    parser.add_argument("--line", type=int, help=f"of a whole line; default: RUNS/{LINE_SHARE}")
    parser.add_argument("--shared", type=int, help="of two controllers; default: half of RUNS")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--for", type=float, default=math.inf, dest="for_s", help="seconds at most")
    parser.add_argument(
        "--only", default="", help="faults whose name has this, or a part of it between |"
    )
    parser.add_argument("--build", type=Path, default=Path("build"))
    args = parser.parse_args()
    args.build.mkdir(parents=True, exist_ok=True)
    console = Terminal(highlight=False)
    on_line = args.runs // LINE_SHARE if args.line is None else args.line
    on_database = args.runs // 2 if args.shared is None else args.shared
    folder = Path(tempfile.mkdtemp(prefix="fg-chaos-"))
    asked = Asked(args.seed, args.only, time.monotonic() + args.for_s)
    say = partial(console.print, soft_wrap=True, markup=False)
    tallies: list[Tally] = []
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        founded = found(folder / "fleet")
        # what is forked comes first: a line of programs is watched by threads
        tried(cells(founded, folder), args.runs - on_database, asked, tallies, say)
        if on_database:
            with ExitStack() as stack:
                faults = shared(founded, folder, stack)
                tried(faults, on_database, asked, tallies, say)
        if on_line:
            with ExitStack() as stack:
                faults = line(args.build / "chaos-logs", stack, asked)
                tried(faults, on_line, asked, tallies, say)
    except (PlantError, subprocess.TimeoutExpired) as error:
        broken = Tally("a plant that did not come up", 0.0)
        broken.problems.append(str(error)[:2000])
        tallies.append(broken)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        code = _told(tallies, args.build, args.seed, console)
    raise SystemExit(code)


def _told(tallies: Sequence[Tally], build: Path, seed: int, console: Terminal) -> int:
    """Write and print what came of them; the exit code."""
    results: list[dict[str, Any]] = [tally.body() for tally in tallies]
    body = {
        "runs": sum(one["runs"] for one in results),
        "seed": seed,
        "cores": os.cpu_count(),
        "load": [round(x, 1) for x in os.getloadavg()],
        "wrong": wrong(results),
        "faults": results,
    }
    (build / "chaos.json").write_text(json.dumps(body, indent=1) + "\n")
    console.print(table(tallies))
    console.print(f"{body['runs']} runs, {body['wrong']} wrong")
    return 1 if body["wrong"] else 0


if __name__ == "__main__":
    run_to_its_end(main)
