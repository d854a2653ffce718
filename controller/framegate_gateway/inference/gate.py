"""The gate before the network: a golden image made ready, and what a frame must have in common with
it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import cv2
import numpy as np

from framegate.errors import Malformed, Reason, Refused
from framegate.signed.inspected import Area
from framegate_gateway.inference.part_area import part_area
from framegate_gateway.inference.place import (
    NO_LEEWAY,
    POSED_BELOW,
    Leeway,
    likelier_pose,
    placed,
)
from framegate_gateway.inference.pose import PoseReference, pose_reference
from framegate_gateway.inference.quality import Signature, require_quality, require_surface
from framegate_gateway.inference.registration import (
    MIN_LIKENESS,
    Gray,
    Reference,
    Registered,
    halved,
    reference,
    register,
)
from framegate_gateway.inference.tolerance import loose_area


@dataclass
class Golden:
    """A golden image made ready once: registration spectrum and quality figures; `masked` keeps
    those under masks, by their polygons. `tolerance` (h, w) uint8, where it has one: by how many
    grey levels each pixel may differ.
    """

    image: Gray
    reference: Reference
    signature: Signature
    tolerance: Gray | None = None
    masked: dict[Any, Golden] = field(default_factory=dict)

    @cached_property
    def area(self) -> Area | None:
        """Where in it the part is, `part_area.part_area`: worked out once, for the first frame."""
        return part_area(self.image)

    @cached_property
    def loose(self) -> Area | None:
        """Where it tolerates so much that faint defects pass; None where nothing is tolerated."""
        return None if self.tolerance is None else loose_area(self.tolerance)

    @cached_property
    def poses(self) -> PoseReference:
        """What poses are looked for by: worked out for the first frame that needs it."""
        return pose_reference(self.image)


def golden_of(image: Gray, tolerance: Gray | None = None) -> Golden:
    """What of a golden image is computed once."""
    ready = reference(image)
    return Golden(image, ready, Signature(ready.half), tolerance)


def require_size(frame: Gray, golden: Golden) -> None:
    """Raises Malformed (IMAGE) for a frame of another size than the golden image's."""
    if frame.shape != golden.image.shape:
        raise Malformed.of(
            Reason.IMAGE,
            f"a frame of the golden image's {golden.image.shape[1]}x{golden.image.shape[0]}",
            f"{frame.shape[1]}x{frame.shape[0]}",
        )


def require_same_light(frame: Gray, golden: Golden) -> None:
    """The frame's size, light and focus are the golden image's. Raises Malformed (IMAGE), Refused
    (IMAGE_COVERED, IMAGE_EXPOSURE, IMAGE_DEFOCUS).
    """
    require_size(frame, golden)
    require_surface(Signature(halved(frame)), golden.signature)


def require_place(frame: Gray, golden: Golden, leeway: Leeway = NO_LEEWAY) -> Registered:
    """The golden image moved under a frame that passes these checks, and `require_quality`'s.

    1. the frame has the golden image's size;
    2. it shows the golden image's part: moved, turned or not, the two are alike;
    3. where the part is turned, scaled or moved far, `leeway` allows it (`place.placed`).

    Raises Malformed (IMAGE), Refused (IMAGE_COVERED, IMAGE_EXPOSURE, IMAGE_DEFOCUS, REGISTRATION
    for another part, OUT_OF_PLACE).
    """
    require_size(frame, golden)  # 1
    half = halved(frame)
    require_quality(Signature(half), golden.signature)
    moved = register(golden.reference, frame, half)
    if moved.likeness >= POSED_BELOW:
        return moved
    pose = likelier_pose(golden, frame, moved.likeness)
    if pose is not None:
        return placed(golden.image, frame, pose, leeway)  # 3
    if moved.likeness < MIN_LIKENESS:  # 2
        raise Refused.of(
            Reason.REGISTRATION,
            f"a frame like its golden image (correlation {MIN_LIKENESS:g})",
            f"{moved.likeness:.2f}, and no turn, scale or shift makes it more",
            "another part?",
        )
    return moved


def apply_masks(frame: Gray, golden: Golden, polygons: Any, not_black: float) -> Golden:
    """The golden image blanked like the frame, whose masked regions must be black: a camera that
    only says so is caught here. Raises Refused (MASK).
    """
    h, w = frame.shape
    region = np.zeros((h, w), np.uint8)
    for polygon in polygons:
        cv2.fillPoly(
            region, [(np.array(polygon) * (w, h) * 16).round().astype(np.int32)], 255, shift=4
        )
    inside = cv2.erode(region, np.ones((9, 9), np.uint8))  # JPEG smears the edge
    if float(cv2.mean(frame, inside)[0]) > not_black:
        raise Refused.of(Reason.MASK, "masked regions that are black", "announced and not black")
    key = str(polygons)
    if key not in golden.masked:
        golden.masked.clear()  # one set of masks is in force at a time
        shown = cv2.bitwise_not(region)
        image = np.asarray(cv2.bitwise_and(golden.image, shown), np.uint8)
        tolerance = golden.tolerance
        if tolerance is not None:
            tolerance = np.asarray(cv2.bitwise_and(tolerance, shown), np.uint8)
        golden.masked[key] = golden_of(image, tolerance)
    return golden.masked[key]
