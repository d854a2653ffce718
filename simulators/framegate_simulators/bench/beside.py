"""make bench-verify: what a verification takes of the processor, by us and by Keylime in one run.

Engines are processes of their own on one core and take turns by slices of a quarter second, so
that a busy machine slows all alike; the ratio of each round is taken, and the median of those.
`first` is our verifier when it sees every entry of a list for the first time, `again` when it
remembers the list, as a controller does from the second machine of a model on; `reordered` when it
remembers it with two of every fifty files in each other's place.
Writes build/bench-verify.json.

`--keylime` is a Python that has Keylime; without one ours are timed alone. `--evidence` is a folder
as `evidence_files` tells; without one a machine's is made, by software keys, and Keylime judges its
boot log by `accept-all`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

from framegate_simulators.bench import keylime_engine
from framegate_simulators.bench.evidence_files import CASES, folder_of, make_evidence
from framegate_simulators.plant.orderly_end import run_to_its_end

AIMS: Final = {
    "quote": 1.5,
    "ima-10000": 8.0,
    "ima-last-100": 6.0,
    "boot": 40.0,
    "all-1000": 20.0,
}
"""Times faster than Keylime, where that is aimed at."""
SLICE_S: Final = 0.25
ROUNDS: Final = 12


class Engine:
    """A process that verifies for a while when asked."""

    def __init__(self, argv: Sequence[str]) -> None:
        self.argv, self.slices = argv, list[float]()
        self._process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        while self._answer() != "ready":
            pass

    def take_a_turn(self) -> None:
        """One slice; its median is kept."""
        assert self._process.stdin is not None
        print(SLICE_S, file=self._process.stdin, flush=True)
        self.slices.append(median(json.loads(self._answer())))

    def end(self) -> None:
        """Let it end."""
        self._process.communicate()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"it ended early, see above: {' '.join(self.argv[:4])} …")
        return line.strip()


def engines(root: Path, name: str, keylime: str) -> dict[str, list[str]]:
    """Engine to the command that starts it, for the case `name`."""
    ours = [sys.executable, "-m", "framegate_simulators.bench.verifier_engine", str(root), name]
    commands, case = {"again": ours, "first": [*ours, "--first"]}, CASES[name]
    if case.ima:
        commands["reordered"] = [*ours, "--reordered"]
    if keylime:
        told = case._asdict()
        if case.prior:
            told["prior_folder"] = folder_of(root, f"ima-{case.prior}").name
        folder = str(folder_of(root, case.moment))
        script = str(Path(keylime_engine.__file__).resolve())
        commands["keylime"] = [keylime, script, str(root), folder, json.dumps(told)]
    return commands


def compare(root: Path, name: str, keylime: str, rounds: int) -> dict[str, Any]:
    """Milliseconds of each engine, and how many times faster ours are than Keylime."""
    running = {n: Engine(argv) for n, argv in engines(root, name, keylime).items()}
    order = list(running)
    for turn in range(rounds):
        for which in order[turn % len(order) :] + order[: turn % len(order)]:
            running[which].take_a_turn()
    for engine in running.values():
        engine.end()
    slices = {n: e.slices for n, e in running.items()}
    figures: dict[str, Any] = {f"{n}_ms": round(1e3 * median(s), 4) for n, s in slices.items()}
    for ours in [n for n in slices if n != "keylime"] if keylime else ():
        ratios = [k / o for k, o in zip(slices["keylime"], slices[ours], strict=True)]
        figures[f"{ours}_times_faster"] = round(median(ratios), 2)
    if keylime and name in AIMS:
        figures["aim"] = AIMS[name]
    return figures


def main() -> None:
    """Compare in every case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keylime", default="", metavar="PYTHON")
    parser.add_argument("--evidence", type=Path)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--build", type=Path, default=Path("build"))
    args = parser.parse_args()
    args.build.mkdir(parents=True, exist_ok=True)
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory(prefix="fg-verify-") as name:
        root = args.evidence or Path(name)
        if args.evidence is None:
            make_evidence(root)
        result: dict[str, Any] = {"load": [round(x, 1) for x in os.getloadavg()], "cases": {}}
        for case in CASES:
            result["cases"][case] = compare(root, case, args.keylime, args.rounds)
            print(f"{case}: {result['cases'][case]}", file=sys.stderr, flush=True)
    (args.build / "bench-verify.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    run_to_its_end(main)
