"""Strokes of a hand on a board: where one may begin, how far it goes, how a pen, a blade or a blot
looks. Shapes and sizes are those of etching faults as annotators mark them: cuts, scratches, blots,
sprays, scribbles.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from framegate_simulators.boards.layout import Rng

Mask = NDArray[np.bool_]  # (h, w)


@dataclass(frozen=True, slots=True)
class Stroke:
    """A stroke's pixels, `shape` (h, w) with its corner at `x`, `y` of the board; `dark` adds
    copper, else it removes it.
    """

    shape: Mask
    x: int
    y: int
    dark: bool


@dataclass(frozen=True, slots=True)
class Through:
    """A straight way through copper or ground to its other side: the point `end` (2,) x and y
    there, the direction `way` in radians, and `length` in pixels.
    """

    end: NDArray[np.float64]
    way: float
    length: float


def draw_stroke(  # noqa: C901 - ordered steps, read best in one piece
    rng: Rng, kind: str, signed: NDArray[np.float32], edges: NDArray[np.int64]
) -> Stroke | None:
    """A stroke that may become a defect of `kind`; None where the place is not fit for it."""
    dark = kind in {"short", "spur", "copper"}
    h, w = signed.shape
    if kind in {"copper", "pin-hole"}:
        y, x = int(rng.integers(6, h - 6)), int(rng.integers(6, w - 6))
        depth = -float(signed[y, x]) if dark else float(signed[y, x])
        if depth < 5:
            return None
        if rng.random() < 0.12:
            # a long scratch
            half = 0.5 * float(rng.uniform(25, 75)) * _unit(float(rng.uniform(0, 2 * np.pi)))
            return _pen(
                rng, np.array([x, y]) - half, np.array([x, y]) + half, _thickness(rng), dark
            )
        size = float(min(np.exp(rng.normal(np.log(17), 0.42)), 1.6 * depth))
        return _blot(rng, (x, y), max(size, 3.0), dark)
    if not len(edges):
        return None
    y, x = (int(v) for v in edges[int(rng.integers(0, len(edges)))])
    if not (6 <= x < w - 6 and 6 <= y < h - 6):
        return None
    gx, gy = float(signed[y, x + 3] - signed[y, x - 3]), float(signed[y + 3, x] - signed[y - 3, x])
    if gx == 0 and gy == 0:
        return None
    into = float(np.arctan2(gy, gx)) + (np.pi if dark else 0.0)
    at = np.array([x, y], float)
    if kind in {"spur", "mousebite"}:
        size = float(np.exp(rng.normal(np.log(11), 0.4)))
        if rng.random() < 0.45:
            reach = rng.uniform(0.0, 0.45) * size
            return _blot(rng, tuple(at + reach * _unit(into)), size, dark)
        way = into + float(rng.normal(0, 0.55))
        if rng.random() < 0.2:
            # a scratch that ends inside
            size *= float(rng.uniform(1.5, 5.0))
            way = into + float(rng.normal(0, 0.9))
        return _pen(
            rng,
            at - rng.uniform(1, 6) * _unit(way),
            at + size * rng.uniform(0.7, 1.5) * _unit(way),
            _thickness(rng),
            dark,
        )
    far = across(
        signed,
        at,
        into + (float(rng.normal(0, 0.35)) if rng.random() < 0.6 else 0.0),
        dark,
        longest=130 if rng.random() < 0.25 else 45,
    )
    if far is None:
        return None
    end, way, length = far.end, far.way, far.length
    before, after = rng.uniform(0.5, 6, 2)
    if kind == "open" and length < 16 and rng.random() < 0.6:
        return _blot(rng, tuple((at + end) / 2), length + float(rng.uniform(3, 11)), dark)
    if rng.random() < (0.35 if kind == "open" else 0.15):
        return _cut(rng, at - 0.5 * before * _unit(way), end + 0.5 * after * _unit(way), dark)
    thickness = float(np.clip(rng.lognormal(np.log(4.0), 0.35), 2, 12))
    return _pen(rng, at - before * _unit(way), end + after * _unit(way), thickness, dark)


def across(
    signed: NDArray[np.float32], at: NDArray[np.float64], way: float, dark: bool, longest: int
) -> Through | None:
    """From an edge straight through to the other side; None where there is no other side within
    `longest` pixels.
    """
    h, w = signed.shape
    reach = np.arange(3, longest)
    xs, ys = (at[0] + reach * np.cos(way)).astype(int), (at[1] + reach * np.sin(way)).astype(int)
    inside = (xs >= 0) & (xs < w) & (ys >= 0) & (ys < h)
    xs, ys, reach = xs[inside], ys[inside], reach[inside]
    other = np.nonzero((signed[ys, xs] > 0) == dark)[0]
    if not len(other):
        return None
    length = float(reach[other[0]])
    return Through(at + length * _unit(way), way, length)


def grain(rng: Rng, shape: Mask) -> Mask:
    """What of a stroke takes: mostly all, sometimes with ragged gaps."""
    if rng.random() < 0.75:
        return np.ones(shape.shape, bool)
    noise = cv2.GaussianBlur(
        rng.normal(0, 1, shape.shape).astype(np.float32), (0, 0), float(rng.uniform(0.5, 1.4))
    )
    return np.asarray(noise > float(np.quantile(noise, rng.uniform(0.05, 0.4))), bool)


def trimmed(stroke: Stroke, board: tuple[int, ...]) -> Stroke | None:
    """The stroke's bounding box inside a board of shape (h, w); None where nothing of it is
    there.
    """
    top, left = max(0, -stroke.y), max(0, -stroke.x)
    shape = stroke.shape[top : max(0, board[0] - stroke.y), left : max(0, board[1] - stroke.x)]
    ys, xs = np.nonzero(shape)
    if not len(xs):
        return None
    y, x = int(ys.min()), int(xs.min())
    return Stroke(
        shape[y : int(ys.max()) + 1, x : int(xs.max()) + 1],
        stroke.x + left + x,
        stroke.y + top + y,
        stroke.dark,
    )


def polyline(points: NDArray[np.float64], thickness: float, dark: bool) -> Stroke:
    """A line of `thickness` pixels through `points` (n, 2), x and y of the board."""
    canvas, x, y = _canvas(points, thickness + 4)
    line = ((points - (x, y)) * 8).round().astype(np.int32)
    cv2.polylines(canvas, [line], False, 255, max(1, round(thickness)), cv2.LINE_8, 3)
    return Stroke(canvas > 0, x, y, dark)


def _pen(
    rng: Rng, a: NDArray[np.float64], b: NDArray[np.float64], thickness: float, dark: bool
) -> Stroke:
    """A line from a to b by a hand that is not quite steady; sometimes two beside each other."""
    length = float(np.linalg.norm(b - a))
    steps = max(2, int(length / rng.uniform(5, 14)) + 1)
    t = np.linspace(0, 1, steps)[:, None]
    points = a + (b - a) * t
    if rng.random() < 0.7:
        normal = np.array([-(b - a)[1], (b - a)[0]]) / max(length, 1e-6)
        bow = float(rng.normal(0, 0.09 * length))
        points = points + normal * np.sin(np.pi * t) * bow
        points[1:-1] += rng.normal(0, rng.choice([0.5, 1.5]), (steps - 2, 2))
    canvas, x, y = _canvas(points, thickness + 8)
    line = ((points - (x, y)) * 8).round().astype(np.int32)
    cv2.polylines(canvas, [line], False, 255, max(1, round(thickness)), cv2.LINE_8, 3)
    if rng.random() < 0.15:
        beside = line + (np.array(rng.normal(0, 0.7 * thickness + 1, 2)) * 8).astype(np.int32)
        cv2.polylines(canvas, [beside], False, 255, max(1, round(thickness * 0.6)), cv2.LINE_8, 3)
    return Stroke(canvas > 0, x, y, dark)


def _cut(rng: Rng, a: NDArray[np.float64], b: NDArray[np.float64], dark: bool) -> Stroke:
    """A straight band from a to b, as broad as a blade or an eraser."""
    along = b - a
    normal = np.array([-along[1], along[0]]) / max(float(np.linalg.norm(along)), 1e-6)
    half = float(np.clip(rng.lognormal(np.log(4.0), 0.5), 1.5, 12))
    corners = np.array([a - normal * half, b - normal * half, b + normal * half, a + normal * half])
    canvas, x, y = _canvas(corners, 2)
    cv2.fillPoly(canvas, [((corners - (x, y)) * 8).round().astype(np.int32)], 255, cv2.LINE_8, 3)
    return Stroke(canvas > 0, x, y, dark)


def _blot(rng: Rng, centre: tuple[float, float], size: float, dark: bool) -> Stroke:
    """A spot about `size` pixels across: one pen-down wander, drops, a scribble, a spray, a dot or
    a small bar.
    """
    c = np.array(centre, float)
    kind = rng.random()
    canvas, x, y = _canvas(np.array([c]), size * 1.3 + 6)
    at = (c - (x, y)) * 8
    if kind < 0.42:
        thick = float(np.clip(size * rng.uniform(0.25, 0.7), 2, 14))
        walk = np.cumsum(rng.normal(0, 1, (int(rng.integers(2, 7)), 2)) + rng.normal(0, 0.7, 2), 0)
        walk = (walk - walk.mean(0)) * ((size - thick) / max(float(np.ptp(walk, 0).max()), 1e-6))
        cv2.polylines(
            canvas,
            [(at + walk * 8).round().astype(np.int32)],
            False,
            255,
            max(1, round(thick)),
            cv2.LINE_8,
            3,
        )
    elif kind < 0.62:
        for _ in range(int(rng.integers(1, 6))):
            spot = at + rng.normal(0, size * 0.2, 2) * 8
            cv2.circle(
                canvas,
                (int(spot[0]), int(spot[1])),
                int(max(1.5, size * rng.uniform(0.15, 0.4)) * 8),
                255,
                -1,
                cv2.LINE_8,
                3,
            )
    elif kind < 0.75:
        thick, zig = float(rng.uniform(1.5, 4)), int(rng.integers(3, 8))
        t = np.linspace(-0.5, 0.5, zig)
        way = float(rng.uniform(0, np.pi))
        points = np.outer(t * size, _unit(way)) + np.outer(
            np.where(np.arange(zig) % 2, 0.3, -0.3) * size * rng.uniform(0.4, 1.2),
            _unit(way + np.pi / 2),
        )
        cv2.polylines(
            canvas,
            [(at + points * 8).round().astype(np.int32)],
            False,
            255,
            max(1, round(thick)),
            cv2.LINE_8,
            3,
        )
    elif kind < 0.83:
        for spot in rng.normal(0, size * 0.22, (int(size * rng.uniform(1.0, 4.0)), 2)):
            cv2.circle(
                canvas,
                tuple(int(v) for v in at + spot * 8),
                int(rng.uniform(0.5, 1.8) * 8),
                255,
                -1,
                cv2.LINE_8,
                3,
            )
    elif kind < 0.93:
        axes = (int(size * 4), int(size * 4 * rng.uniform(0.5, 1.0)))
        cv2.ellipse(
            canvas,
            (int(at[0]), int(at[1])),
            axes,
            float(rng.uniform(0, 180)),
            0,
            360,
            255,
            -1,
            cv2.LINE_8,
            3,
        )
    else:
        half = (
            np.array([size / 2, max(1.5, size * rng.uniform(0.1, 0.3))])[
                :: int(rng.choice([1, -1]))
            ]
            * 8
        )
        cv2.fillPoly(
            canvas,
            [
                np.array([at + half * s for s in ((-1, -1), (1, -1), (1, 1), (-1, 1))])
                .round()
                .astype(np.int32)
            ],
            255,
            cv2.LINE_8,
            3,
        )
    return Stroke(canvas > 0, x, y, dark)


def _canvas(points: NDArray[np.float64], margin: float) -> tuple[NDArray[np.uint8], int, int]:
    low, high = (
        np.floor(points.min(0) - margin).astype(int),
        np.ceil(points.max(0) + margin).astype(int),
    )
    return (
        np.zeros((int(high[1] - low[1]) + 1, int(high[0] - low[0]) + 1), np.uint8),
        int(low[0]),
        int(low[1]),
    )


def _unit(way: float) -> NDArray[np.float64]:
    return np.array([np.cos(way), np.sin(way)])


def _thickness(rng: Rng) -> float:
    return float(np.clip(rng.lognormal(np.log(4.5), 0.4), 2, 14))
