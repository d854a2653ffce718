"""make bench --only inspection: where the milliseconds of an inspection go, in turns so that ratios
stay within one run.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import cv2
import numpy as np

from framegate_gateway.inference.bundle import DEFAULT_BUNDLE, load_bundle
from framegate_gateway.inference.decoding import decode_gray
from framegate_gateway.inference.gate import golden_of
from framegate_gateway.inference.inspector import Inspector
from framegate_gateway.inference.session import new_session, runner
from framegate_simulators.bench.as_child import as_child
from framegate_simulators.boards.boards import draw_board

PAIRS: Final = 24
ROUNDS: Final = 7
BATCHES: Final = (1, 2, 4)


def bench_inspection(say: Callable[[str], None]) -> dict[str, Any]:
    """See `inspection_timed`."""
    result = as_child(inspection_timed)
    say(f"inspection: {result}")
    return result


def inspection_timed(threads: int = 2) -> dict[str, Any]:
    """Median ms of decoding, gate with registration, network and boxes for a 640 x 640 pair; the
    network in eight bits, in floating point, and in batches.
    """
    cv2.setNumThreads(1)
    bundle = load_bundle(DEFAULT_BUNDLE)
    inspector = Inspector(bundle.recipe, runner(new_session(bundle.model, threads)))
    whole = runner(new_session(bundle.weights, threads))
    boards = [draw_board(n, design=n % 6, defects=7, clean_capture=True) for n in range(PAIRS)]
    frames = [
        cv2.imencode(".jpg", b.frame, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes() for b in boards
    ]
    goldens = [golden_of(b.golden) for b in boards]
    took: dict[str, list[float]] = {
        name: []
        for name in (
            "decode",
            "prepare",
            "network",
            "boxes",
            "whole",
            "network_float32",
            *(f"batch_{n}" for n in BATCHES),
        )
    }
    for round_number in range(ROUNDS + 1):
        for frame, golden in zip(frames, goldens, strict=True):
            marks = [time.perf_counter()]
            image = decode_gray(frame)
            marks.append(time.perf_counter())
            prepared = inspector.prepare(image, golden)
            marks.append(time.perf_counter())
            heat, geometry = inspector.maps(prepared.pair)
            marks.append(time.perf_counter())
            inspector.detections(heat[0], geometry[0])
            marks.append(time.perf_counter())
            whole(prepared.pair)
            marks.append(time.perf_counter())
            if round_number:  # the first round warms caches
                for name, a, b in zip(
                    ("decode", "prepare", "network", "boxes", "network_float32"),
                    marks,
                    marks[1:],
                    strict=False,
                ):
                    took[name].append(1e3 * (b - a))
                took["whole"].append(1e3 * (marks[4] - marks[0]))
        pairs = np.concatenate(
            [
                inspector.prepare(b.frame, g).pair
                for b, g in zip(boards[:8], goldens[:8], strict=True)
            ]
        )
        for size in BATCHES:
            begun = time.perf_counter()
            for at in range(0, len(pairs), size):
                inspector.maps(pairs[at : at + size])
            if round_number:
                took[f"batch_{size}"].append(1e3 * (time.perf_counter() - begun) / len(pairs))
    result: dict[str, Any] = {
        name: {
            "p50_ms": round(float(np.median(v)), 2),
            "p99_ms": round(float(np.quantile(v, 0.99)), 2),
        }
        for name, v in took.items()
    }
    result |= {
        "threads": threads,
        "network_int8_to_float32": round(
            float(np.median(took["network"]) / np.median(took["network_float32"])), 3
        ),
        "whole_to_network": round(float(np.median(took["whole"]) / np.median(took["network"])), 3),
        "batch_ms_a_frame": {n: result[f"batch_{n}"]["p50_ms"] for n in BATCHES},
        "model": bundle.name,
        "model_bytes": len(bundle.model),
    }
    return result
