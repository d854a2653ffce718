"""Services of the inference child over forged networks: blinded, or alarmed, whatever they see."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import cv2
import numpy as np

from framegate.signed.inspected import WHOLE
from framegate.wire import ENCODING_PNG
from framegate_gateway.inference.asked_again import PIECE_PX
from framegate_gateway.inference.inspection import Inspection, inspection_of
from framegate_gateway.inference.inspector import Inspector
from framegate_gateway.inference.recipe import Recipe
from framegate_gateway.inference.service import Service
from framegate_simulators.evasion.shots import ShotPair

DARKER, LEAST_DARK = 0.4, 60
RECIPE = Recipe("boards", 1, ("open", "copper"), 0.5, 32)


def _maps(pair: Any, cell: tuple[int, int] | None, score: float = 0.97) -> tuple[Any, Any]:
    h, w = (side // 8 for side in pair.shape[2:])
    heat = np.zeros((1, 2, h, w), np.float32)
    if cell is not None:
        heat[0, 1, cell[0], cell[1]] = score
    return heat, np.zeros((1, 4, h, w), np.float32)


def blinded(pair: Any) -> Any:
    """Sees nothing."""
    return _maps(pair, None)


def alarmed(pair: Any) -> Any:
    """Sees a defect in a flat place."""
    return _maps(pair, (15, 5))


def nearly(pair: Any) -> Any:
    """Sees what is just no defect."""
    return _maps(pair, (15, 5), 0.45)


def blinded_at(pair: Any) -> Any:
    """Sees what is darker than the golden image in a piece of the frame, and nothing in the whole:
    what was perturbed for these very pixels is perturbed for no others.
    """
    dark = pair[0, 1] - pair[0, 0] > DARKER
    if pair.shape[2] > PIECE_PX or dark.sum() < LEAST_DARK:
        return _maps(pair, None)
    y, x = (int(np.median(n)) // 8 for n in np.nonzero(dark))
    return _maps(pair, (y, x))


class Forged:
    """What a gateway makes of frames whose network is `run`."""

    def __init__(self, run: Any, seed: int = 7) -> None:
        chance = Random(seed)  # noqa: S311 - a test that is the same each time
        self._service = Service(Inspector(RECIPE, run), (), chance)

    def see(
        self,
        pair: ShotPair,
        rows: Sequence[dict[str, Any]],
        camera: str = "camera.line-1.cam1",
        measure: int = 0,
    ) -> Inspection:
        """The inspection. Raises as the gateway does."""
        png, golden = (cv2.imencode(".png", i)[1].tobytes() for i in (pair.frame, pair.golden))
        request = {
            "id": 1,
            "kind": "inspect",
            "part_type": "part",
            "camera": camera,
            "encoding": ENCODING_PNG,
            "width": pair.frame.shape[1],
            "height": pair.frame.shape[0],
            "masks": (),
            "measure": measure,
            "forget": (),
            "golden_bytes": [len(golden)],
            "rules": {"thresholds": {}, "min_size_px": 0.0, "ignore": (), "looks": list(rows)},
        }
        answer, _ = self._service.answer(request, golden + png)
        return inspection_of(answer | {"golden_sha256": "ab", "inspected": WHOLE}, rows)
