"""make bench --only cameras: two hundred cameras on one gateway; how long a frame takes to be
admitted, and refused.

Every frame is of a part that the gateway has no golden image of: it is opened, admitted, answered
UNINSPECTED with a signed verdict and a receipt, and nothing is inferred. Told are the gateway's own
time from a sealed frame's message to its admission, and, what waits for everything else too, the
camera's from sealing to that answer.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from framegate_controller.ca.open import found_fleet
from framegate_simulators.bench.fairness import Round, credentials_of, gateway_in, played
from framegate_simulators.bench.server import ADMITTED
from framegate_simulators.boards.camera import write_golden
from framegate_simulators.fixtures.camera import SoftwareCamera
from framegate_simulators.fixtures.gateway import CAMERA

CAMERAS: Final = 200
RATE: Final = 0.2
"""Frames a second of each: all together 40, with some 40 KB each."""
SECONDS: Final = 30.0
AIM_MS: Final = 5.0


def bench_cameras(say: Callable[[str], None]) -> dict[str, Any]:
    """All cameras at once, from two processes."""
    with tempfile.TemporaryDirectory(prefix="fg-cameras-") as name:
        folder = Path(name)
        fleet = found_fleet(folder / "keys", "plant")
        write_golden(folder / "golden", [1])
        devices = [CAMERA, *(f"camera.line-1.cam{n}" for n in range(2, CAMERAS + 1))]
        rounds = [
            Round(
                *(device, RATE, SECONDS, seed),
                *credentials_of(SoftwareCamera(folder, fleet, device)),
                part="unknown",
            )
            for seed, device in enumerate(devices)
        ]
        with gateway_in(folder, "--timed") as gateway:
            groups = played(folder, [rounds[::2], rounds[1::2]], gateway)
        admitted = list(map(float, (folder / ADMITTED).read_text().split()))
    seen = [camera for group in groups for camera in group]
    took = [ms for camera in seen for ms in camera["answered_ms"]]
    said = Counter[str]()
    for camera in seen:
        said.update(camera["said"])
    result = {
        "cameras": CAMERAS,
        "frames": len(took),
        "frames_per_s": round(len(took) / SECONDS, 1),
        "admission_ms": _percentiles(admitted),
        "aim_p99_ms": AIM_MS,
        "answer_ms": _percentiles(took),
        "unanswered": sum(camera["unanswered"] for camera in seen),
        "said": dict(said),
    }
    say(f"cameras: {result}")
    return result


def _percentiles(values: Sequence[float]) -> dict[str, float]:
    return {f"p{p}": round(float(np.percentile(values, p)), 2) for p in (50, 90, 99)}
