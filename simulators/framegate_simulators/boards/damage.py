"""Drawn defects: strokes of light on copper or dark on the ground, named after what they do to the
conductors.

A stroke's class is not chosen but *read off the topology it leaves behind*, because that is what
tells the classes apart: an open runs through copper from ground to ground, a mouse bite opens one
edge, a pin-hole none; a short runs through ground from copper to copper, a spur touches one
conductor, spurious copper none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from framegate_simulators.boards.layout import Gray, Rng
from framegate_simulators.boards.strokes import Mask, Stroke, draw_stroke, grain, trimmed
from framegate_simulators.boards.tracing import draw_traced

CLASSES: Final = ("open", "short", "mousebite", "spur", "copper", "pin-hole")
"""Defect classes in the order of the model's output channels; index + 1 is DeepPCB's class number.
"""
BOX_MARGIN_PX: Final = 10
"""What annotators leave around a defect: measured on DeepPCB's boxes of spurious copper, where it
is 10 almost without exception.
"""
_SPACING_PX: Final = 4
_ATTEMPTS: Final = 40
_PIECE_PX: Final = 24
"""A piece of copper or ground smaller than this, cut off by a stroke, is a crumb and no second
conductor.
"""


@dataclass(frozen=True, slots=True)
class Defect:
    """One drawn defect: box in pixels, half-open, and its class name out of `CLASSES`."""

    x1: int
    y1: int
    x2: int
    y2: int
    kind: str


def damage(rng: Rng, copper: Gray, wanted: int, traced: float = 0.0) -> tuple[Gray, list[Defect]]:
    """`copper` (h, w) with up to `wanted` defects, no box over another defect, each labelled by its
    topology. A share `traced` of them follows edges (`tracing`).
    """
    damaged = copper.copy()
    taken = np.zeros(copper.shape, np.uint8)
    defects: list[Defect] = []
    inside = cv2.distanceTransform(copper, cv2.DIST_L2, 5)
    outside = cv2.distanceTransform(np.asarray(255 - copper, np.uint8), cv2.DIST_L2, 5)
    signed = (inside - outside).astype(np.float32)  # > 0 in copper
    edges = np.argwhere((inside > 0) & (inside < 1.5))
    for _ in range(wanted):
        kind = CLASSES[int(rng.integers(0, len(CLASSES)))]
        draw = draw_traced if traced and rng.random() < traced else draw_stroke
        for _attempt in range(_ATTEMPTS):
            drawn = draw(rng, kind, signed, edges)
            stroke = None if drawn is None else trimmed(drawn, copper.shape)
            if stroke is None or classify(copper, stroke) != kind:
                continue
            sh, sw = stroke.shape.shape
            x1, x2, y1, y2 = stroke.x, stroke.x + sw - 1, stroke.y, stroke.y + sh - 1
            if taken[
                max(0, y1 - _SPACING_PX) : y2 + _SPACING_PX,
                max(0, x1 - _SPACING_PX) : x2 + _SPACING_PX,
            ].any():
                continue
            h, w = copper.shape
            box = (
                max(0, x1 - BOX_MARGIN_PX),
                max(0, y1 - BOX_MARGIN_PX),
                min(w, x2 + BOX_MARGIN_PX),
                min(h, y2 + BOX_MARGIN_PX),
            )
            taken[y1 : y2 + 1, x1 : x2 + 1] = 1
            inked = stroke.shape & grain(rng, stroke.shape)
            damaged[stroke.y : stroke.y + sh, stroke.x : stroke.x + sw][inked] = (
                255 if stroke.dark else 0
            )
            defects.append(Defect(*box, kind))
            break
    return damaged, defects


def classify(copper: Gray, stroke: Stroke) -> str:
    """The class of one stroke on `copper`, "" where two classes could be argued.

    The stroke's own medium (copper for light strokes) must be split for open or short, and what
    bounds it touched at two separate places; touched at one place it is a mouse bite or spur,
    nowhere a pin-hole or spurious copper.
    """
    h, w = copper.shape
    sh, sw = stroke.shape.shape
    m = 5
    y0, y1, x0, x1 = (
        max(0, stroke.y - m),
        min(h, stroke.y + sh + m),
        max(0, stroke.x - m),
        min(w, stroke.x + sw + m),
    )
    medium = copper[y0:y1, x0:x1] == (0 if stroke.dark else 255)
    drawn = np.zeros(medium.shape, bool)
    drawn[stroke.y - y0 : stroke.y - y0 + sh, stroke.x - x0 : stroke.x - x0 + sw] = stroke.shape
    changed = drawn & medium
    if changed.sum() < 9:
        return ""
    near = cv2.dilate(changed.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    touching = near & ~medium
    if not touching.any():
        near = (
            cv2.dilate(changed.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
        )  # closer than a ragged edge is wide: nobody could tell
        return "" if (near & ~medium).any() else "copper" if stroke.dark else "pin-hole"
    places = (
        cv2.connectedComponents(cv2.dilate(touching.astype(np.uint8), np.ones((5, 5), np.uint8)))[0]
        - 1
    )
    before, after = _pieces(medium), _pieces(medium & ~drawn)
    if after > before and places >= 2:
        return "short" if stroke.dark else "open"
    if after == before and places == 1:
        return "spur" if stroke.dark else "mousebite"
    if before - after == 1 and not stroke.dark:
        return "open"  # a whole stretch of a thin track is gone
    if before - after == 1 and _goes_on(medium, changed):
        return "short"  # a whole stretch of a thin slot is filled; a hole that is filled is none
    return ""


def _goes_on(medium: Mask, changed: Mask) -> bool:
    """Whether what was changed of the medium led on over the window's border on two sides."""
    labels = cv2.connectedComponents(medium.astype(np.uint8), connectivity=4)[1]
    mine = np.isin(labels, np.unique(labels[changed]))
    return sum(bool(side.any()) for side in (mine[0], mine[-1], mine[:, 0], mine[:, -1])) >= 2


def _pieces(mask: Mask) -> int:
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    return int((stats[1:count, cv2.CC_STAT_AREA] >= _PIECE_PX).sum())
