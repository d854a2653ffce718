"""Drawn circuit boards with known defects, deterministic by seed.

Copper is dark on a light ground, as a line-scan camera with back light sees it. A defect is a stroke: light on copper or
dark on the ground. Its class is not chosen but *read off the topology* the stroke leaves behind, because that is what
tells the classes apart: an open splits a conductor, a mouse bite only opens its edge, a pin-hole touches no edge; a short
joins two conductors, a spur touches one, spurious copper none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

CLASSES: Final = ("open", "short", "mousebite", "spur", "copper", "pin-hole")
"""Defect classes in the order of the model's output channels; index + 1 is DeepPCB's class number."""

SIZE_PX: Final = 640
BOX_PAD_PX: Final = 9
"""Annotators draw boxes with a margin; defects of a few pixels would otherwise have boxes that no overlap rule can judge."""

Gray = NDArray[np.uint8]  # (h, w), 0 black … 255 white
Mask = NDArray[np.bool_]  # (h, w)


@dataclass(frozen=True, slots=True)
class Defect:
    """One drawn defect: box in pixels, half-open, and its class name out of `CLASSES`."""

    x1: int
    y1: int
    x2: int
    y2: int
    kind: str


@dataclass(frozen=True, slots=True)
class Board:
    """A drawn board: `golden` and `frame` are (640, 640) uint8 grey images, `defects` says what `frame` has wrong."""

    golden: Gray
    frame: Gray
    defects: tuple[Defect, ...]


def draw_design(rng: np.random.Generator, size: int = SIZE_PX) -> Gray:
    """The copper of one board design, 255 where copper is: shape (size, size), uint8."""
    copper: Gray = np.zeros((size, size), np.uint8)
    for _ in range(int(rng.integers(1, 5))):
        _draw_plane(rng, copper)
    for _ in range(int(rng.integers(3, 9))):
        _draw_bundle(rng, copper)
    for _ in range(int(rng.integers(2, 16))):
        _draw_pad(rng, copper)
    if rng.random() < 0.25:
        text = "".join(rng.choice(list("ABCDEFGHKLMNPRSTUX0123456789"), size=int(rng.integers(2, 6))))
        where = (int(rng.integers(0, size - 120)), int(rng.integers(40, size)))
        cv2.putText(copper, text, where, cv2.FONT_HERSHEY_SIMPLEX, float(rng.uniform(0.8, 2.0)), 255, int(rng.integers(3, 8)))
    return copper


def draw_board(seed: int, *, design: int | None = None, defects: int | None = None, clean_capture: bool | None = None) -> Board:
    """Board number `seed`; boards with the same `design` and capture share their golden image.

    `defects` is how many to draw (default: a quarter of the boards are good, the rest have up to ten); `clean_capture` True gives a thresholded line-scan look, False a
    grey, blurred one, None either by chance.
    """
    rng = np.random.default_rng([0xB0A2D, seed])
    copper = draw_design(np.random.default_rng([0xDE51, seed if design is None else design]))
    wanted = (0 if rng.random() < 0.25 else int(rng.integers(1, 11))) if defects is None else defects
    damaged, found = _damage(rng, copper, wanted)
    thresholded = bool(rng.random() < 0.7) if clean_capture is None else clean_capture
    golden = _capture(np.random.default_rng([0x601D, seed if design is None else design]), copper, thresholded, shift_px=0.0)
    frame = _capture(rng, damaged, thresholded, shift_px=1.2)
    return Board(golden, frame, tuple(found))


def _draw_plane(rng: np.random.Generator, copper: Gray) -> None:
    size = copper.shape[0]
    cx, cy = rng.integers(0, size, 2)
    w, h = rng.integers(30, 160, 2)
    c = int(rng.integers(0, min(w, h) // 2 + 1))
    points = [(-w, -h + c), (-w + c, -h), (w - c, -h), (w, -h + c), (w, h - c), (w - c, h), (-w + c, h), (-w, h - c)]
    polygon = np.array([(cx + x, cy + y) for x, y in points], np.int32)
    if rng.random() < 0.4:
        angle = float(rng.choice([45.0, 30.0, 60.0]))
        turn = cv2.getRotationMatrix2D((float(cx), float(cy)), angle, 1.0)
        polygon = (np.c_[polygon, np.ones(8)] @ turn.T).astype(np.int32)
    cv2.fillPoly(copper, [polygon], 255)


def _draw_bundle(rng: np.random.Generator, copper: Gray) -> None:
    """Parallel traces with a common bend, at right angles or 45 degrees, cleared of what lies beneath."""
    size = copper.shape[0]
    count = int(rng.integers(1, 9))
    width = int(rng.integers(8, 36)) if rng.random() < 0.8 else int(rng.integers(36, 90))
    gap = int(rng.integers(7, 30))
    pitch = width + gap
    start = rng.uniform(-60, size + 60, 2)
    angle = float(rng.integers(0, 8)) * np.pi / 4
    bend = float(rng.choice([-np.pi / 4, np.pi / 4, 0.0, np.pi / 2]))
    first, second = rng.uniform(80, 420), rng.uniform(80, 420)
    d1, d2 = np.array([np.cos(angle), np.sin(angle)]), np.array([np.cos(angle + bend), np.sin(angle + bend)])
    n1, n2 = np.array([-d1[1], d1[0]]), np.array([-d2[1], d2[0]])
    mid = (n1 + n2) / max(float(np.linalg.norm(n1 + n2)), 1e-6)
    stretch = 1.0 / max(float(mid @ n1), 0.3)
    lines = []
    for k in range(count):
        offset = (k - (count - 1) / 2) * pitch
        a, b = start + n1 * offset, start + d1 * first + mid * offset * stretch
        lines.append(np.array([a, b, b - mid * 0 + d2 * second], np.int32))
    for line in lines:
        cv2.polylines(copper, [line], False, 0, width + 2 * gap)
    ends = rng.random()
    for line in lines:
        cv2.polylines(copper, [line], False, 255, width)
        if ends < 0.5:
            radius = int(width * rng.uniform(0.7, 1.1)) + 3
            for end in (line[0], line[-1]):
                centre = (int(end[0]), int(end[1]))
                cv2.circle(copper, centre, radius, 255, -1)
                if radius > 9 and rng.random() < 0.7:
                    cv2.circle(copper, centre, max(3, radius // 3), 0, -1)


def _draw_pad(rng: np.random.Generator, copper: Gray) -> None:
    size = copper.shape[0]
    x, y = (int(v) for v in rng.integers(10, size - 10, 2))
    r, clear = int(rng.integers(10, 42)), int(rng.integers(6, 18))
    if rng.random() < 0.5:
        cv2.circle(copper, (x, y), r + clear, 0, -1)
        cv2.circle(copper, (x, y), r, 255, -1)
    else:
        h = int(r * rng.uniform(0.5, 2.0))
        cv2.rectangle(copper, (x - r - clear, y - h - clear), (x + r + clear, y + h + clear), 0, -1)
        cv2.rectangle(copper, (x - r, y - h), (x + r, y + h), 255, -1)
    if rng.random() < 0.7:
        cv2.circle(copper, (x, y), max(3, int(r * rng.uniform(0.25, 0.55))), 0, -1)


def _damage(rng: np.random.Generator, copper: Gray, wanted: int) -> tuple[Gray, list[Defect]]:
    """`copper` with up to `wanted` strokes, none near another, each labelled by what it did to the topology."""
    damaged = copper.copy()
    taken = np.zeros(copper.shape, np.uint8)
    found: list[Defect] = []
    inside = cv2.distanceTransform(copper, cv2.DIST_L2, 3).astype(np.float32)
    outside = cv2.distanceTransform(255 - copper, cv2.DIST_L2, 3).astype(np.float32)
    edges = np.argwhere((inside > 0) & (inside < 1.5))
    for _ in range(wanted):
        kind = CLASSES[int(rng.integers(0, len(CLASSES)))]
        for _attempt in range(30):
            stroke = _stroke(rng, kind, copper, inside, outside, edges)
            if stroke is None:
                continue
            box, changed, dark = _apply(copper, stroke)
            if box is None or changed.sum() < 8 or _topology(copper, changed, box, dark) != kind:
                continue
            x1, y1, x2, y2 = box
            if taken[y1:y2, x1:x2].any():
                continue
            taken[max(0, y1 - 6) : y2 + 6, max(0, x1 - 6) : x2 + 6] = 1
            damaged[changed] = 255 if dark else 0
            found.append(Defect(x1, y1, x2, y2, kind))
            break
    return damaged, found


@dataclass(frozen=True, slots=True)
class _Stroke:
    points: NDArray[np.int32]
    thickness: int
    dark: bool
    speckle: NDArray[np.bool_] | None


def _stroke(rng: np.random.Generator, kind: str, copper: Gray, inside: NDArray[np.float32], outside: NDArray[np.float32], edges: NDArray[np.int64]) -> _Stroke | None:
    thickness = int(rng.integers(2, 8))
    dark = kind in {"short", "spur", "copper"}
    size = copper.shape[0]
    if kind in {"pin-hole", "copper"}:
        depth = inside if kind == "pin-hole" else outside
        y, x = (int(v) for v in rng.integers(8, size - 8, 2))
        if depth[y, x] < 6 + thickness:
            return None
        length = float(min(depth[y, x] - thickness - 2, rng.uniform(1, 16)))
        way = rng.uniform(0, 2 * np.pi)
        start = np.array([x, y], float)
        return _wiggle(rng, start - length / 2 * _unit(way), start + length / 2 * _unit(way), thickness, dark)
    if not len(edges):
        return None
    y, x = (int(v) for v in edges[int(rng.integers(0, len(edges)))])
    if not (8 < x < size - 8 and 8 < y < size - 8):
        return None
    gx = float(inside[y, x + 2] - inside[y, x - 2] - outside[y, x + 2] + outside[y, x - 2])
    gy = float(inside[y + 2, x] - inside[y - 2, x] - outside[y + 2, x] + outside[y - 2, x])
    if gx == 0 and gy == 0:
        return None
    inward = float(np.arctan2(gy, gx))
    way = inward + (np.pi if dark else 0.0) + float(rng.normal(0, 0.45))
    start = np.array([x, y], float)
    if kind in {"spur", "mousebite"}:
        length = float(rng.uniform(4, 18))
        return _wiggle(rng, start - 3 * _unit(way), start + length * _unit(way), thickness, dark)
    for step in range(4, 64):
        px, py = (start + step * _unit(way)).astype(int)
        if not (0 <= px < size and 0 <= py < size):
            return None
        if (copper[py, px] > 0) == dark:
            over = float(rng.uniform(2, 8))
            return _wiggle(rng, start - over * _unit(way), start + (step + over) * _unit(way), thickness, dark)
    return None


def _unit(way: float) -> NDArray[np.float64]:
    return np.array([np.cos(way), np.sin(way)])


def _wiggle(rng: np.random.Generator, a: NDArray[np.float64], b: NDArray[np.float64], thickness: int, dark: bool) -> _Stroke:
    steps = int(rng.integers(2, 7))
    t = np.linspace(0, 1, steps)[:, None]
    points = a + (b - a) * t
    points[1:-1] += rng.normal(0, 1.2, (max(0, steps - 2), 2))
    speckle = rng.random((640, 640)) < 0.75 if rng.random() < 0.2 and thickness > 4 else None
    return _Stroke(points.astype(np.int32), thickness, dark, speckle)


def _apply(copper: Gray, stroke: _Stroke) -> tuple[tuple[int, int, int, int] | None, Mask, bool]:
    drawn = np.zeros(copper.shape, np.uint8)
    cv2.polylines(drawn, [stroke.points], False, 255, stroke.thickness)
    changed: Mask = (drawn > 0) & ((copper == 0) if stroke.dark else (copper > 0))
    if stroke.speckle is not None:
        changed &= stroke.speckle[: copper.shape[0], : copper.shape[1]]
    ys, xs = np.nonzero(changed)
    if not len(xs):
        return None, changed, stroke.dark
    h, w = copper.shape
    box = (
        max(0, int(xs.min()) - BOX_PAD_PX),
        max(0, int(ys.min()) - BOX_PAD_PX),
        min(w, int(xs.max()) + 1 + BOX_PAD_PX),
        min(h, int(ys.max()) + 1 + BOX_PAD_PX),
    )
    return box, changed, stroke.dark


def _topology(copper: Gray, changed: Mask, box: tuple[int, int, int, int], dark: bool) -> str:
    """The class of a change, from the conductors around it before and after."""
    x1, y1, x2, y2 = box
    before = copper[y1:y2, x1:x2]
    local = changed[y1:y2, x1:x2]
    after = before.copy()
    after[local] = 255 if dark else 0
    count_before = cv2.connectedComponents(before)[0]
    count_after = cv2.connectedComponents(after)[0]
    near = cv2.dilate(local.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    if dark:
        touched = np.unique(cv2.connectedComponents(before)[1][near & (before > 0)])
        return "copper" if len(touched) == 0 else "spur" if len(touched) == 1 else "short"
    if count_after > count_before:
        return "open"
    return "mousebite" if (near & (before == 0)).any() else "pin-hole"


def _capture(rng: np.random.Generator, copper: Gray, thresholded: bool, shift_px: float) -> Gray:
    """What the camera sees of `copper`: blur, sub-pixel shift, illumination, noise; then a threshold where the line uses one."""
    image = (255 - copper).astype(np.float32)
    if shift_px:
        move = np.array([[1, 0, rng.uniform(-shift_px, shift_px)], [0, 1, rng.uniform(-shift_px, shift_px)]], np.float32)
        image = cv2.warpAffine(image, move, image.shape[::-1], borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
    image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.6, 1.4))).astype(np.float32)
    ragged = cv2.GaussianBlur(rng.normal(0, 1, image.shape).astype(np.float32), (0, 0), 1.0)
    if thresholded:
        image = np.where(image + ragged * float(rng.uniform(40, 170)) > 127, 255, 0).astype(np.float32)
    else:
        low, high = float(rng.uniform(20, 70)), float(rng.uniform(170, 240))
        slope = np.linspace(float(rng.uniform(0.9, 1.0)), float(rng.uniform(0.9, 1.05)), image.shape[1], dtype=np.float32)
        image = (low + image / 255 * (high - low)) * slope + ragged * float(rng.uniform(4, 16))
    out: Gray = np.clip(image, 0, 255).astype(np.uint8)
    return out
