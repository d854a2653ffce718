"""Train the default defect detector from nothing, on drawn boards alone, and write its bundle with
its measured card.

Usage: python -m framegate_simulators.boards.train --out DIR [--minutes N] [--boards N] [--seed N].
On a GPU --batch 64 and --samplers 6 keep it busy. Needs torch, which nothing else in Framegate does
but `framegate-models model train`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from dataclasses import dataclass
from multiprocessing import Pool
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from framegate_gateway.inference.bundle import Bundle, write_bundle
from framegate_gateway.inference.inspector import Inspector
from framegate_gateway.inference.session import new_session, runner
from framegate_models.assemble import bundle_files, calibrated, known_answers, leaner
from framegate_models.dataset import registered
from framegate_models.evaluate import measure
from framegate_models.quantise import CALIBRATION_PAIRS
from framegate_models.sampling import LabelledPair
from framegate_simulators.boards.boards import CLASSES, draw_board

NAME: Final = "board-defects"
VERSION: Final = 3
HELD_OUT_SEED: Final = 1_000_000
"""Boards from this seed on are never trained on."""
HELD_OUT_BOARDS: Final = 300
CALIBRATION_BOARDS: Final = 600
"""Boards before the held-out ones, on which scores are calibrated and the threshold is chosen. With
200 the threshold of best F lay anywhere between 0.28 and 0.51, from one run to the next.
"""
TRACED: Final = 0.3
"""Share of defects that follow edges, by what is seen on real boards: long scribbles, stretches
gone, corners cut off.
"""
GENERATOR: Final = ("boards.py", "layout.py", "damage.py", "strokes.py", "tracing.py", "capture.py")


@dataclass(frozen=True, slots=True)
class Run:
    """What a training run was: drawn `boards`, `minutes` by the clock, `seed`, crops a step
    (`batch`), and the `device`: "cpu" or "cuda".
    """

    boards: int
    minutes: float
    seed: int
    batch: int
    device: str


def drawn_pair(seed: int, traced: float = TRACED) -> LabelledPair:
    """Board `seed` as training and inspection see it: registered."""
    cv2.setNumThreads(1)
    board = draw_board(seed, traced=traced)
    boxes = np.array([(d.x1, d.y1, d.x2, d.y2) for d in board.defects], np.float32).reshape(-1, 4)
    return registered(
        LabelledPair(
            f"{seed:08d}",
            board.golden,
            board.frame,
            boxes,
            np.array([CLASSES.index(d.kind) for d in board.defects], np.int64),
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=66.0)
    parser.add_argument("--boards", type=int, default=6000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--samplers", type=int, default=0)
    args = parser.parse_args()
    import torch

    from framegate_models.fit import Schedule, best_device, fit
    from framegate_models.network import Detector, export

    print(f"drawing {args.boards} boards", flush=True)
    with Pool(args.threads) as pool:
        boards = pool.map(drawn_pair, range(args.boards), chunksize=25)
        calibration = pool.map(drawn_pair, range(HELD_OUT_SEED - CALIBRATION_BOARDS, HELD_OUT_SEED))
        held_out = pool.map(drawn_pair, range(HELD_OUT_SEED, HELD_OUT_SEED + HELD_OUT_BOARDS))
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    model = fit(
        Detector(len(CLASSES)),
        boards,
        CLASSES,
        Schedule(
            minutes=args.minutes,
            seed=args.seed,
            device=best_device(),
            batch=args.batch,
            samplers=args.samplers,
        ),
        lambda p: print(
            f"{p.passed:5.1f} of {p.minutes:.0f} min  step {p.step}  loss {p.loss:.3f}", flush=True
        ),
    )
    network = export(model)
    bundle = assemble(
        args.out,
        network,
        boards[:CALIBRATION_PAIRS],
        calibration,
        held_out,
        Run(args.boards, args.minutes, args.seed, args.batch, best_device()),
        args.threads,
    )
    print(f"bundle {bundle.digest.hex()}")


def assemble(
    out: Path,
    weights: bytes,
    boards: list[LabelledPair],
    calibration: list[LabelledPair],
    held_out: list[LabelledPair],
    run: Run,
    threads: int,
) -> Bundle:
    """The default bundle around trained weights; prints its figures."""
    network, weighed = leaner(weights, boards, calibration, CLASSES, threads)
    recipe = calibrated(network, NAME, VERSION, CLASSES, 32, calibration, threads)
    known = known_answers(network, recipe, calibration, threads=threads)
    measured = measure(Inspector(recipe, runner(new_session(network, threads))), held_out)
    figures = {k: v for k, v in measured.as_dict().items() if k not in {"ms_per_frame", "ms_p99"}}
    generator = hashlib.sha256(
        b"".join(Path(__file__).with_name(name).read_bytes() for name in GENERATOR)
    ).hexdigest()
    card = {
        "format": "framegate-card-1",
        "name": NAME,
        "version": VERSION,
        "pairs": run.boards,
        "minutes": run.minutes,
        "seed": run.seed,
        "batch": run.batch,
        "device": run.device,
        "began_from": "",
        "trained_on": {
            "source": (
                f"{run.boards} drawn boards, seeds 0 to {run.boards - 1}; nothing photographed"
            ),
            "sha256": generator,
            "signer": "",
            "approved_by": "",
            "files": [f"simulators/framegate_simulators/boards/{name}" for name in GENERATOR],
        },
        "quantisation": weighed,
        "held_out": figures,
    }
    bundle = write_bundle(out, bundle_files(network, recipe, known, card, weights))
    print(json.dumps({k: v for k, v in figures.items() if k != "confusion"}, indent=1))
    return bundle


if __name__ == "__main__":
    main()
