"""make bench: figures of this machine, as ratios within one run wherever a ratio says more. Writes
build/bench.json; asserts nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from framegate_simulators.bench.attestation import bench_attestation
from framegate_simulators.bench.cameras import bench_cameras
from framegate_simulators.bench.feeds import bench_feeds
from framegate_simulators.bench.frames import bench_frames
from framegate_simulators.bench.inspection import bench_inspection
from framegate_simulators.bench.issue import bench_issue
from framegate_simulators.bench.line import bench_line
from framegate_simulators.bench.looks import bench_looks
from framegate_simulators.bench.machines import bench_machines
from framegate_simulators.bench.people import bench_people
from framegate_simulators.bench.plant import bench_plant
from framegate_simulators.bench.sinks import bench_sinks
from framegate_simulators.bench.stores import bench_stores
from framegate_simulators.bench.strangers import bench_strangers
from framegate_simulators.bench.verify import bench_alarms, bench_verify
from framegate_simulators.plant.orderly_end import run_to_its_end

_Bench = Callable[[Callable[[str], None]], dict[str, Any]]
_TOLD: Final = {"frames": bench_frames, "line": bench_line}
_TELLING: Final = {
    "looks": bench_looks,
    "people": bench_people,
    "attestation": bench_attestation,
    "strangers": bench_strangers,
    "feeds": bench_feeds,
    "cameras": bench_cameras,
    "sinks": bench_sinks,
    "stores": bench_stores,
}
"""Benchmarks that say themselves how they go on."""
_LONG: Final[dict[str, _Bench]] = {
    "machines": bench_machines,
    "spare": partial(bench_frames, threads=1),
}
"""Those of minutes, and one that is another's with a core to spare: asked for by name alone."""


def main() -> None:
    """make bench."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=Path, default=Path("build"))
    parser.add_argument(
        "--only",
        choices=[
            "frames",
            "inspection",
            "looks",
            "verify",
            "alarms",
            "issue",
            "line",
            "people",
            "attestation",
            "strangers",
            "feeds",
            "cameras",
            "machines",
            "spare",
            "sinks",
            "stores",
            "plant",
        ],
    )
    args = parser.parse_args()
    args.build.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - begun:5.0f} s] {text}", file=sys.stderr, flush=True)

    result: dict[str, Any] = {
        "machine": {
            "cores": os.cpu_count(),
            "processor": platform.processor() or platform.machine(),
            "python": platform.python_version(),
        }
    }
    if args.only in {None, "verify"}:
        result["verify"] = bench_verify()
        say(f"verify: {result['verify']}")
    if args.only in {None, "alarms"}:
        result["alarms"] = bench_alarms()
        say(f"alarms: {result['alarms']}")
    if args.only in {None, "issue"}:
        result["issue"] = bench_issue()
        say(f"issue: {result['issue']}")
    for name, bench in _TOLD.items():
        if args.only in {None, name}:
            result[name] = bench(say)
            say(f"{name}: {result[name]}")
    if args.only in {None, "inspection"}:
        result["inspection"] = bench_inspection(say)
    for name, bench in _TELLING.items():
        if args.only in {None, name}:
            result[name] = bench(say)
    if args.only in _LONG:
        result[args.only] = _LONG[args.only](say)
    if args.only in {None, "plant"}:
        result |= bench_plant(say)
    (args.build / "bench.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    run_to_its_end(main)
