"""First results as pictures, to be looked at before anybody signs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from framegate_gateway.inference import pictures
from framegate_gateway.inference.heat_grid import heated
from framegate_gateway.inference.layouts import Kind
from framegate_gateway.inference.picture_inspector import PictureInspector
from framegate_gateway.inference.region_answers import heat_of
from framegate_host.private_files import public_folder, write_public
from framegate_models.first_results import Said, is_right

SHOWN_EACH: Final = 12
"""Of good and of bad pictures each: what somebody looks at, and the wrong ones first."""
SIDE_PX: Final = 480
"""The longer side of a shown picture, at most: twelve of them fill a screen or two."""
COLUMNS: Final = 4
_GROUND: Final = (235, 235, 235)


def write_results(
    folder: Path, inspector: PictureInspector, results: Sequence[Said]
) -> tuple[Path, ...]:
    """Two sheets, `bad.png` and `good.png`, with the pictures that the model is wrong about first.
    Returns their paths.
    """
    public_folder(folder)
    written = []
    for name, good in (("bad", False), ("good", True)):
        mine = [s for s in results if s.shown.good == good]
        mine.sort(key=lambda s: (is_right(inspector, s), s.score if not good else -s.score))
        tiles = [_tile(inspector, said) for said in mine[:SHOWN_EACH]]
        path = folder / f"{name}.png"
        write_public(path, cv2.imencode(".png", _sheet(tiles))[1].tobytes())
        written.append(path)
    return tuple(written)


def _tile(inspector: PictureInspector, said: Said) -> NDArray[np.uint8]:
    picture = said.shown.picture
    if picture.ndim == 2:
        picture = np.asarray(cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR), np.uint8)
    if inspector.recipe.kind == Kind.ANOMALY:
        picture = _heated(inspector, said, picture)
    scale = SIDE_PX / max(picture.shape[:2])
    size = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    drawn = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_NEAREST), np.uint8)
    least = inspector.recipe.threshold
    defects = [
        {
            "kind": inspector.recipe.classes[int(c)],
            "score": float(s),
            "box": [float(v) * scale for v in b],
        }
        for b, c, s in zip(
            said.detections.boxes, said.detections.classes, said.detections.scores, strict=True
        )
        if s >= least
    ]
    outcome = "DEFECT" if defects else "PASS"
    right = "right" if is_right(inspector, said) else "WRONG"
    shows = "good" if said.shown.good else "bad"
    lines = [f"{shows}: {said.shown.name}", f"{outcome}, {right}; highest score {said.score:.2f}"]
    return pictures.boxes_in_colour(drawn, defects, lines)


def _heated(
    inspector: PictureInspector, said: Said, picture: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    ready = inspector.prepared(said.shown.picture)
    heat = heat_of(inspector.recipe, inspector.answers(ready), ready.placing)
    return heated(picture, heat)


def _sheet(tiles: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    high, wide = max(t.shape[0] for t in tiles), max(t.shape[1] for t in tiles)
    columns = min(COLUMNS, len(tiles))
    rows = -(-len(tiles) // columns)
    sheet = np.full((rows * (high + 8), columns * (wide + 8), 3), _GROUND, np.uint8)
    for number, tile in enumerate(tiles):
        y, x = (number // columns) * (high + 8), (number % columns) * (wide + 8)
        sheet[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
    return sheet
