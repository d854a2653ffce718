"""make chaos-line: kill -9 one thing after the other while parts go by, and count from outside.
Nothing uninspected may ever be let through.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections import Counter
from pathlib import Path
from typing import Final

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from framegate_host.console import Terminal
from framegate_simulators.plant.line_plant import TARGETS, LinePlant
from framegate_simulators.plant.orderly_end import run_to_its_end
from framegate_simulators.plant.plant import Plant

WEIGHTS: Final = {"adapter": 35, "link": 25, "broker": 15, "gateway": 15, "camera": 10}
"""What comes back fastest dies most often, so that the line is up for some of the time."""
PARTS_A_RUN: Final = 4


def chaos(
    line: LinePlant, runs: int, seed: int, progress: Progress | None = None
) -> dict[str, object]:
    """`runs` times: parts enter, something dies at a random moment and is started again. Returns
    the outside counts; `uninspected` must be 0.
    """
    rng, killed = random.Random(seed), Counter[str]()
    task = progress.add_task("", total=runs) if progress else None
    uninspected: list[str] = []
    begun = time.monotonic()
    for _ in range(runs):
        before = len(line.conveyor.parts)
        line.conveyor.start(PARTS_A_RUN)
        time.sleep(rng.random() * PARTS_A_RUN / line.rate)
        target = rng.choices(list(WEIGHTS), weights=list(WEIGHTS.values()))[0]
        line.kill(target)
        killed[target] += 1
        line.conveyor.finish()
        outside = line.outside(before)
        if not outside.exact or outside.parts_in != len(line.conveyor.parts) - before:
            uninspected += [f"{p.part} after {target}" for p in outside.uninspected] or [
                f"count differs after {target}"
            ]
        if progress is not None and task is not None:
            counted = line.conveyor.counts()
            progress.update(
                task,
                advance=1,
                description=(
                    f"in {counted.parts_in}  through {counted.let_through}  diverted"
                    f" {counted.diverted}  uninspected {len(uninspected)}"
                ),
            )
    line.healed()
    total = line.outside()
    return {
        "runs": runs,
        "seed": seed,
        "killed": dict(killed),
        "parts_in": total.parts_in,
        "let_through": total.let_through,
        "diverted": total.diverted,
        "uninspected_let_through": len(uninspected) + len(total.uninspected),
        "which": uninspected[:20],
        "exact": total.exact and not uninspected,
        "observer_refused": line.observer.refused,
        "decisions_refused": line.diverter.refused,
        "ledger": line.ledger(),
        "seconds": round(time.monotonic() - begun, 1),
    }


def main() -> None:
    """make chaos-line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--build", type=Path, default=Path("build"))
    args = parser.parse_args()
    args.build.mkdir(parents=True, exist_ok=True)
    console = Terminal(highlight=False)
    console.print(
        f"{args.runs} runs, seed {args.seed}: {', '.join(TARGETS)} die by kill -9 at random moments"
    )
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.description}"),
        TimeRemainingColumn(),
    )
    with (
        Plant(interval_s=4.0, logs=args.build / "chaos-logs") as plant,
        plant.explained(),
        LinePlant(plant) as line,
        Progress(*columns, console=console) as progress,
    ):
        result = chaos(line, args.runs, args.seed, progress)
    (args.build / "chaos-line.json").write_text(json.dumps(result, indent=1) + "\n")
    console.print_json(json.dumps(result))
    raise SystemExit(0 if result["exact"] else 1)


if __name__ == "__main__":
    run_to_its_end(main)
