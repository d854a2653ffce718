"""Drawn copper: the layouts of imaginary circuit boards, deterministic by seed.

A layout is built up like a real one: a base that gives the board its look (bus, fingers, planes
with slots, pad grids, big circles), then parts of other styles on top, each cleared of what lies
beneath it. Several small boards on one panel are the same layout side by side.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Gray = NDArray[np.uint8]  # (h, w), 0 black … 255 white
Rng = np.random.Generator
_LETTERS: Final = "ABCDEFGHKLMNPRSTUX0123456789"


def draw_design(rng: Rng, size: int = 640) -> Gray:
    """The copper of one board design, 255 where copper is: shape (size, size), uint8."""
    return _panel(rng, size) if rng.random() < 0.08 else _single(rng, size)


def _single(rng: Rng, size: int) -> Gray:
    copper: Gray = np.zeros((size, size), np.uint8)
    base = int(rng.integers(0, len(_BASES)))
    _BASES[base](rng, copper)
    for _ in range(int(rng.integers(0, 4))):
        _PARTS[int(rng.integers(0, len(_PARTS)))](rng, copper)
    if rng.random() < 0.15:
        text = "".join(rng.choice(list(_LETTERS), size=int(rng.integers(2, 6))))
        where = (int(rng.integers(0, max(1, size - 120))), int(rng.integers(40, size)))
        cv2.putText(
            copper,
            text,
            where,
            cv2.FONT_HERSHEY_SIMPLEX,
            float(rng.uniform(0.8, 2.4)),
            int(rng.choice([255, 255, 0])),
            int(rng.integers(3, 9)),
        )
    if rng.random() < 0.5:
        # etching rounds corners
        radius = int(rng.integers(1, 4))
        copper = np.asarray((cv2.GaussianBlur(copper, (0, 0), radius * 0.8) > 127) * 255, np.uint8)
    return np.ascontiguousarray(np.rot90(copper, int(rng.integers(0, 4))))


def _panel(rng: Rng, size: int) -> Gray:
    """The same small board two or three times each way, separated by bare ground."""
    count = int(rng.integers(2, 4))
    side = -(-size // count)
    small = _single(rng, side)
    margin = int(rng.integers(4, 14))
    small[:margin], small[-margin:], small[:, :margin], small[:, -margin:] = 0, 0, 0, 0
    return np.ascontiguousarray(np.tile(small, (count, count))[:size, :size])


def _width(rng: Rng) -> int:
    """A track width in pixels: mostly thin, some broad."""
    return (
        int(rng.integers(4, 13))
        if rng.random() < 0.5
        else int(rng.integers(10, 36))
        if rng.random() < 0.75
        else int(rng.integers(30, 90))
    )


def _bundle(rng: Rng, copper: Gray, count: int | None = None) -> None:
    """Parallel tracks with common bends at right angles or 45 degrees, ending in pads or
    nothing.
    """
    size = copper.shape[0]
    count = int(rng.integers(1, 8)) if count is None else count
    width, gap = _width(rng), int(rng.integers(8, 34))
    pitch = width + gap
    at = rng.uniform(-0.1 * size, 1.1 * size, 2)
    angle = float(rng.integers(0, 8)) * np.pi / 4
    if rng.random() < 0.08:
        angle += float(rng.uniform(-0.6, 0.6))
    ways = [angle]
    for _ in range(int(rng.integers(0, 4))):
        ways.append(ways[-1] + float(rng.choice([-np.pi / 4, np.pi / 4, -np.pi / 2, np.pi / 2])))
    lines: list[list[NDArray[np.float64]]] = [[] for _ in range(count)]
    offsets = (np.arange(count) - (count - 1) / 2) * pitch
    for k, way in enumerate(ways):
        along = np.array([np.cos(way), np.sin(way)])
        normal = np.array([-along[1], along[0]])
        if k == 0:
            mid, stretch = normal, 1.0
        else:
            before = np.array([-np.sin(ways[k - 1]), np.cos(ways[k - 1])])
            mid = (before + normal) / max(float(np.linalg.norm(before + normal)), 1e-6)
            stretch = 1.0 / max(float(mid @ normal), 0.3)
        for line, offset in zip(lines, offsets, strict=True):
            line.append(at + mid * offset * stretch)
        at = at + along * max(rng.uniform(60, 420), 1.2 * count * pitch * (k < len(ways) - 1))
    last = np.array([-np.sin(ways[-1]), np.cos(ways[-1])])
    for line, offset in zip(lines, offsets, strict=True):
        line.append(at + last * offset)
    drawn = [np.array(line).round().astype(np.int32) for line in lines]
    for points in drawn:
        cv2.polylines(copper, [points], False, 0, width + 2 * gap)
    ends = rng.random()
    radius = int(width * rng.uniform(0.7, 1.2)) + 3
    for points in drawn:
        cv2.polylines(copper, [points], False, 255, width)
        if ends < 0.5:
            for end in (points[0], points[-1]):
                _ring(rng, copper, int(end[0]), int(end[1]), radius, hole=radius > 9 and ends < 0.3)


def _ring(rng: Rng, copper: Gray, x: int, y: int, r: int, *, hole: bool, clear: int = 0) -> None:
    """A round or square pad, its hole sometimes so far off the centre that a crescent is left."""
    if clear:
        cv2.circle(copper, (x, y), r + clear, 0, -1)
    if rng.random() < 0.8:
        cv2.circle(copper, (x, y), r, 255, -1)
    else:
        cv2.rectangle(copper, (x - r, y - r), (x + r, y + r), 255, -1)
    if hole:
        off = rng.normal(0, 0.08 * r + 1, 2) * (3 if rng.random() < 0.15 else 1)
        cv2.circle(
            copper,
            (int(x + off[0]), int(y + off[1])),
            max(3, int(r * rng.uniform(0.25, 0.75))),
            0,
            -1,
        )


def _pad(rng: Rng, copper: Gray) -> None:
    size = copper.shape[0]
    x, y = (int(v) for v in rng.integers(0, size, 2))
    r, clear = int(rng.integers(7, 46)), int(rng.integers(7, 20))
    if rng.random() < 0.6:
        _ring(rng, copper, x, y, r, hole=bool(rng.random() < 0.6), clear=clear)
        return
    w, h = r, int(r * rng.uniform(0.5, 2.0))
    cv2.rectangle(copper, (x - w - clear, y - h - clear), (x + w + clear, y + h + clear), 0, -1)
    cv2.rectangle(copper, (x - w, y - h), (x + w, y + h), 255, -1)
    if rng.random() < 0.6:
        # a track leaves the pad
        way = float(rng.integers(0, 8)) * np.pi / 4
        end = (int(x + 200 * np.cos(way)), int(y + 200 * np.sin(way)))
        cv2.line(copper, (x, y), end, 255, int(rng.integers(4, max(5, min(w, h)) + 1)))


def _plane(rng: Rng, copper: Gray) -> None:
    """A polygon of copper with cut corners, sometimes turned, sometimes with clearances in it."""
    size = copper.shape[0]
    cx, cy = (int(v) for v in rng.integers(0, size, 2))
    w, h = (int(v) for v in rng.integers(30, size // 2, 2))
    c = int(rng.integers(0, min(w, h) // 2 + 1))
    points = [
        (-w, -h + c),
        (-w + c, -h),
        (w - c, -h),
        (w, -h + c),
        (w, h - c),
        (w - c, h),
        (-w + c, h),
        (-w, h - c),
    ]
    polygon = np.array([(cx + x, cy + y) for x, y in points], np.int32)
    if rng.random() < 0.3:
        turn = cv2.getRotationMatrix2D(
            (float(cx), float(cy)), float(rng.choice([45.0, 30.0, 60.0, rng.uniform(0, 90)])), 1.0
        )
        polygon = (np.c_[polygon, np.ones(8)] @ turn.T).astype(np.int32)
    cv2.polylines(copper, [polygon], True, 0, 2 * int(rng.integers(6, 20)))
    cv2.fillPoly(copper, [polygon], 255)
    for _ in range(int(rng.integers(0, 4))):
        x, y = cx + int(rng.integers(-w, w + 1)), cy + int(rng.integers(-h, h + 1))
        cv2.circle(copper, (x, y), int(rng.integers(5, 30)), 0, -1)


def _disc(rng: Rng, copper: Gray) -> None:
    """A very large pad or screw hole of which the frame shows a part."""
    size = copper.shape[0]
    x, y = (int(v) for v in rng.uniform(-0.4 * size, 1.4 * size, 2))
    r = int(rng.uniform(0.12, 0.8) * size)
    clear = int(rng.integers(10, 80))
    cv2.circle(copper, (x, y), r + clear, 0, -1)
    cv2.circle(copper, (x, y), r, 255, -1)
    if rng.random() < 0.5:
        cv2.circle(copper, (x, y), int(r * rng.uniform(0.3, 0.85)), 0, -1)


def _fingers(rng: Rng, copper: Gray) -> None:
    """Parallel bars or pads with square or round ends, as on edge connectors, chips and comb
    patterns.
    """
    size = copper.shape[0]
    width = int(rng.integers(8, 90))
    pitch = width + int(rng.integers(9, 60))
    length = int(rng.integers(30, size))
    y, x0 = int(rng.integers(-length // 2, size)), int(rng.integers(-pitch, size // 2))
    count = int(rng.integers(2, 12))
    rounded = rng.random() < 0.5
    stub = int(rng.integers(3, max(4, width // 2 + 1))) if rng.random() < 0.5 else 0
    cv2.rectangle(
        copper, (x0 - pitch + width, y - 12), (x0 + count * pitch, y + length + 12), 0, -1
    )
    for k in range(count):
        x = x0 + k * pitch
        if rounded:
            cv2.line(
                copper,
                (x + width // 2, y + width // 2),
                (x + width // 2, y + max(length - width // 2, width // 2)),
                255,
                width,
            )
        else:
            cv2.rectangle(copper, (x, y), (x + width, y + length), 255, -1)
        if stub:
            down = bool(rng.random() < 0.7)
            cv2.line(
                copper,
                (x + width // 2, y + length // 2),
                (x + width // 2, y + length + 120 if down else y - 120),
                255,
                stub,
            )
        if rng.random() < 0.15:
            cv2.circle(copper, (x + width // 2, y + length // 2), max(3, width // 5), 0, -1)


def _grid(rng: Rng, copper: Gray) -> None:
    """Rows of round pads, drilled or not, with thin tracks from some of them."""
    size = copper.shape[0]
    r = int(rng.integers(5, 34))
    px, py = 2 * r + int(rng.integers(10, 90)), 2 * r + int(rng.integers(10, 90))
    x0, y0 = int(rng.integers(0, px)), int(rng.integers(0, py))
    rows, columns = int(rng.integers(1, 9)), int(rng.integers(2, 12))
    hole, track = bool(rng.random() < 0.6 and r > 7), int(rng.integers(3, max(4, r) + 1))
    ratio = float(rng.uniform(0.3, 0.85))
    off = rng.normal(0, 0.15 * r, 2)
    top = int(rng.integers(0, size))
    for i in range(rows):
        for k in range(columns):
            x, y = x0 + k * px, (top + y0 + i * py) % (size + py)
            cv2.circle(copper, (x, y), r + 8, 0, -1)
            if rng.random() < 0.4:
                way = float(rng.integers(0, 8)) * np.pi / 4
                cv2.line(
                    copper,
                    (x, y),
                    (int(x + px * np.cos(way)), int(y + py * np.sin(way))),
                    255,
                    track,
                )
            cv2.circle(copper, (x, y), r, 255, -1)
            if hole:
                cv2.circle(copper, (int(x + off[0]), int(y + off[1])), int(r * ratio), 0, -1)


def _bus(rng: Rng, copper: Gray) -> None:
    """Tracks across the whole frame, at one pitch."""
    for _ in range(int(rng.integers(1, 4))):
        _bundle(rng, copper, int(rng.integers(4, 22)))


def _slots(rng: Rng, copper: Gray) -> None:
    """Copper everywhere, divided by bare lines that bend at right angles."""
    copper[:] = 255
    size = copper.shape[0]
    for _ in range(int(rng.integers(1, 7))):
        x, y = (float(v) for v in rng.uniform(0, size, 2))
        points, way = [(x, y)], int(rng.integers(0, 4))
        for _ in range(int(rng.integers(1, 12))):
            step = float(rng.uniform(30, 220))
            x, y = x + step * (1, 0, -1, 0)[way], y + step * (0, 1, 0, -1)[way]
            points.append((x, y))
            way = (way + int(rng.choice([1, 3]))) % 4
        cv2.polylines(copper, [np.array(points, np.int32)], False, 0, int(rng.integers(7, 40)))
    for _ in range(int(rng.integers(0, 3))):
        _bundle(rng, copper)


def _scatter(rng: Rng, copper: Gray) -> None:
    """Tracks, pads and planes without an order."""
    for _ in range(int(rng.integers(0, 4))):
        _plane(rng, copper)
    for _ in range(int(rng.integers(2, 8))):
        _bundle(rng, copper)
    for _ in range(int(rng.integers(2, 14))):
        _pad(rng, copper)


def _meander(rng: Rng, copper: Gray) -> None:
    """A track that folds back and forth."""
    size = copper.shape[0]
    width, gap = int(rng.integers(6, 26)), int(rng.integers(9, 30))
    x, y = (int(v) for v in rng.integers(0, size, 2))
    length, folds = int(rng.integers(40, 220)), int(rng.integers(3, 12))
    points = []
    for k in range(folds):
        ends = [(x, y + k * (width + gap)), (x + length, y + k * (width + gap))]
        points += ends if k % 2 == 0 else ends[::-1]
    line = np.array(points, np.int32)
    cv2.polylines(copper, [line], False, 0, width + 2 * gap)
    cv2.polylines(copper, [line], False, 255, width)


def _big_shapes(rng: Rng, copper: Gray) -> None:
    for _ in range(int(rng.integers(1, 4))):
        (_disc, _plane)[int(rng.integers(0, 2))](rng, copper)


def _comb(rng: Rng, copper: Gray) -> None:
    for _ in range(int(rng.integers(1, 4))):
        _fingers(rng, copper)


def _pads(rng: Rng, copper: Gray) -> None:
    _grid(rng, copper)
    for _ in range(int(rng.integers(0, 5))):
        _bundle(rng, copper)


_BASES: Final[tuple[Callable[[Rng, Gray], None], ...]] = (
    _scatter,
    _bus,
    _comb,
    _pads,
    _slots,
    _big_shapes,
    _scatter,
    _bus,
)
_PARTS: Final[tuple[Callable[[Rng, Gray], None], ...]] = (
    _bundle,
    _pad,
    _plane,
    _fingers,
    _grid,
    _meander,
    _disc,
    _pad,
    _bundle,
)
