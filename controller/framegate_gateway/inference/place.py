"""A part that does not lie like its golden image: by how much it may, and the golden image moved
under it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from framegate.errors import Reason, Refused
from framegate_gateway.inference.pose import Pose, PoseReference, find_pose
from framegate_gateway.inference.registration import Registered

Gray = NDArray[np.uint8]
Polygon = Sequence[tuple[float, float]]

POSED_BELOW: Final = 0.85
"""Likeness from which on no pose is looked for, since looking takes as long as the rest of the
gate: few frames of a board in its place have less, and those pay with milliseconds alone.
"""
MAX_TURN_DEG: Final = 10.5
"""From the nearest quarter turn, half a degree of it for rounding: more, and small marks are no
longer seen alike.
"""
MAX_SCALE: Final = 1.055
MAX_SHIFT_SHARE: Final = 0.26
"""Of the picture's width and height, by which the part's middle may be moved."""
MIN_POSED_PX: Final = 64
"""Pictures with a shorter side have too little to tell a turn by."""
MIN_IN_VIEW: Final = 0.985
"""Share of what is to be inspected of the golden image that has to be in the frame: what is not
seen is not inspected, and must not pass. The rest is the rounding of edges.
"""
MIN_POSED: Final = 0.75
"""Likeness of golden image and frame below which a pose is none: of boards that are others, the
likeliest pose reaches 0.6 at times; of the same board, turned, dimmed and in noise, 0.95.
"""
CLEARLY: Final = 0.1
"""By how much more alike a pose has to make the two before it is taken for one."""


@dataclass(frozen=True, slots=True)
class Leeway:
    """What a part's place may be: `turns` whether more than a small shift is put right at all;
    `ignored` are polygons, in fractions of the golden image, that need not be in view; `masked`,
    whether masks are in force.
    """

    turns: bool = False
    ignored: tuple[Polygon, ...] = ()
    masked: bool = False


NO_LEEWAY: Final = Leeway()


class _Posed(Protocol):
    @property
    def poses(self) -> PoseReference: ...


def likelier_pose(golden: _Posed, frame: Gray, likeness: float) -> Pose | None:
    """The pose that makes golden image and frame clearly more alike than `likeness`, and alike
    enough; None where there is none: then it is another part.
    """
    if min(frame.shape) < MIN_POSED_PX:
        return None
    pose = find_pose(golden.poses, frame)
    least = max(MIN_POSED, likeness + CLEARLY)
    return pose if pose.likeness >= least else None


def placed(golden: Gray, frame: Gray, pose: Pose, leeway: Leeway) -> Registered:
    """The golden image under a part that lies as `pose` says, after these checks.

    1. turn, scale and shift are within limits, and the kind of model puts them right;
    2. no masks are in force: they blank places of the picture, not of the part;
    3. what is to be inspected of the part is in view.

    Where the golden image shows nothing of the frame, the frame stands beside itself: there is
    nothing to compare with. Raises Refused (OUT_OF_PLACE).
    """
    quarter = round(pose.turn_deg / 90) * 90
    x, y = pose.shift
    h, w = golden.shape
    where = (
        f"turned by {pose.turn_deg:.1f} degrees, {pose.scale:.3f} as large, moved by {x:.0f},"
        f" {y:.0f} pixels"
    )
    if (
        not leeway.turns
        or abs(pose.turn_deg - quarter) > MAX_TURN_DEG
        or not 1 / MAX_SCALE <= pose.scale <= MAX_SCALE
        or abs(x) > MAX_SHIFT_SHARE * w
        or abs(y) > MAX_SHIFT_SHARE * h
    ):  # 1
        raise _out_of_place("the part as its golden image has it", where)
    if leeway.masked:  # 2
        raise _out_of_place("the part in its place, since masks are in force", where)
    seen = _in_view(pose, leeway.ignored, golden.shape)
    if seen < MIN_IN_VIEW:  # 3
        raise _out_of_place(
            "all in view of what is to be inspected of the part", f"{100 * seen:.0f} %, {where}"
        )
    moved = cv2.warpPerspective(golden, pose.matrix, (w, h), flags=cv2.INTER_LINEAR)
    whole = np.full_like(golden, 255)
    inside = cv2.warpPerspective(whole, pose.matrix, (w, h), flags=cv2.INTER_LINEAR) == 255
    under = np.asarray(np.where(inside, moved, frame), np.uint8)
    return Registered(under, (x, y), pose.likeness, pose.matrix)


def moved_polygons(
    polygons: Sequence[Polygon], matrix: NDArray[np.float64], size: tuple[int, int]
) -> list[list[tuple[float, float]]]:
    """Polygons of the golden image, in fractions, where a part that lies by `matrix` has them in a
    frame of `size` (h, w).
    """
    h, w = size
    moved = []
    for polygon in polygons:
        corners = np.array([[(x * w, y * h) for x, y in polygon]], np.float64)
        there = cv2.perspectiveTransform(corners, matrix)[0]
        moved.append([(float(x) / w, float(y) / h) for x, y in there])
    return moved


def _in_view(pose: Pose, ignored: Sequence[Polygon], size: tuple[int, ...]) -> float:
    """The share of the golden image, but for what is ignored, that lies in the frame."""
    h, w = size
    wanted = np.full((_VIEW_PX, _VIEW_PX), 1, np.uint8)
    for polygon in ignored:
        corners = (np.array(polygon) * _VIEW_PX * 16).round().astype(np.int32)
        cv2.fillPoly(wanted, [corners], 0, shift=4)
    ys, xs = np.nonzero(wanted)
    if not len(xs):
        return 0.0
    points = np.stack([(xs + 0.5) * w / _VIEW_PX, (ys + 0.5) * h / _VIEW_PX], 1)[None]
    there: Any = cv2.perspectiveTransform(points.astype(np.float64), pose.matrix)[0]
    inside = (there[:, 0] >= 0) & (there[:, 0] < w) & (there[:, 1] >= 0) & (there[:, 1] < h)
    return float(inside.mean())


_VIEW_PX: Final = 128
"""Cells along each side by which it is counted what is in view."""


def _out_of_place(expected: str, came: str) -> Refused:
    return Refused.of(
        Reason.OUT_OF_PLACE, expected, came, "look at the fixture and the camera's mount"
    )
