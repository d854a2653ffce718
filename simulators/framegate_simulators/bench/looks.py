"""make bench --only looks: what second looks cost a grey camera's frame, beside its inspection."""

from __future__ import annotations

import time
from collections.abc import Callable
from random import Random
from typing import Any, Final

import cv2
import numpy as np

from framegate.looks.fingerprint import BYTES, Fingerprint
from framegate.looks.kinds import KINDS, Look
from framegate.looks.limits import MIN_COMMISSION
from framegate_gateway.inference.bundle import DEFAULT_BUNDLE, load_bundle
from framegate_gateway.inference.gate import golden_of
from framegate_gateway.inference.inspecting import Frame
from framegate_gateway.inference.inspector import Inspector
from framegate_gateway.inference.looking import Looking
from framegate_gateway.inference.session import new_session, runner
from framegate_simulators.bench.as_child import as_child
from framegate_simulators.boards.boards import draw_board
from framegate_simulators.boards.sensor import GreySensor

FRAMES: Final = 12
ROUNDS: Final = 10
CAMERA: Final = "camera.line-1.cam1"
WITHOUT: Final = {
    "looks": frozenset({Look.ASKED_AGAIN}),
    "looks_but_fingerprint": frozenset({Look.ASKED_AGAIN, Look.CAMERA_FINGERPRINT}),
    "looks_and_question": frozenset[Look](),
}
"""Which looks a part has no limit for, by what is timed."""


def bench_looks(say: Callable[[str], None]) -> dict[str, Any]:
    """See `looks_timed`."""
    result = as_child(looks_timed)
    say(f"looks: {result}")
    return result


def looks_timed(threads: int = 2) -> dict[str, Any]:
    """Median and least processor ms of what second looks add to a sound 640 x 640 frame: all but
    the second question, the same without the sensor's fingerprint, and with the question; beside
    them the inspection from decoded frame to boxes, and by how much it grows.
    """
    cv2.setNumThreads(1)
    bundle = load_bundle(DEFAULT_BUNDLE)
    inspector = Inspector(bundle.recipe, runner(new_session(bundle.model, threads)))
    board = draw_board(1, design=1, defects=0, clean_capture=True)
    sensor = GreySensor(1, board.frame.shape)
    golden = golden_of(sensor.expose(board.golden))
    shots = [sensor.expose(np.roll(board.frame, (n % 5, n % 3), (0, 1))) for n in range(FRAMES)]
    took: dict[str, list[float]] = {"inspection": [], **{name: [] for name in WITHOUT}}
    chance = Random(1)
    looking = {name: Looking(inspector, chance) for name in WITHOUT}
    for round_number in range(ROUNDS + 1):
        for shot in shots:
            for name, left_out in WITHOUT.items():
                begun = time.process_time()
                ready = inspector.ready(Frame(shot, shot), [golden])
                arrays = inspector.answers(ready)
                detections = inspector.judged(arrays, ready.placing)
                between = time.process_time()
                looking[name].measured(_request(left_out), ready, arrays, detections)
                if len(detections):  # no second question is asked of those
                    continue
                if round_number:  # the first round warms caches
                    took["inspection"].append(1e3 * (between - begun))
                    took[name].append(1e3 * (time.process_time() - between))
    median = {name: float(np.median(v)) for name, v in took.items()}
    result: dict[str, Any] = {
        name: {"p50_ms": round(median[name], 2), "least_ms": round(min(v), 2)}
        for name, v in took.items()
    }
    inspection = median["inspection"]
    for name in ("looks", "looks_and_question"):
        result[f"{name}_to_inspection"] = round((inspection + median[name]) / inspection, 2)
    return result


def _request(left_out: frozenset[Look]) -> dict[str, Any]:
    rows = [_row(look) for look in Look if look not in left_out]
    rules = {"thresholds": {}, "min_size_px": 0.0, "ignore": (), "looks": rows}
    asked = {"kind": "inspect", "camera": CAMERA, "part_type": "part", "measure": 0}
    return asked | {"rules": rules}


def _row(look: Look) -> dict[str, Any]:
    sensor = {"fingerprints": {CAMERA: Fingerprint(bytes(BYTES)).text}}
    return {
        "look": look.value,
        "limit": KINDS[look].extreme,
        "share": 1.0,
        "frames": MIN_COMMISSION,
        "centre": 0.0,
        "spread": 1.0,
        **(sensor if look == Look.CAMERA_FINGERPRINT else {}),
    }
