"""A golden image learnt from good frames: each registered to the others, then the middle grey level
of every pixel, and by how much each varies among them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import cv2
import numpy as np

from framegate.errors import Reason, Refused
from framegate.image_header import encoding_of, image_size
from framegate.signed.part import MAX_LESSON, MIN_LESSON
from framegate_gateway.inference.decoding import decode_gray
from framegate_gateway.inference.part_area import outline_of
from framegate_gateway.inference.registration import Gray, reference, register
from framegate_gateway.inference.tolerance import learned_tolerance, loose_percent, tolerant_png

MAX_LESSON_PIXELS: Final = 64 * 1024 * 1024
"""Read from the headers before decoding: five frames of 12 megapixels. Learning takes the inference
child some 70 ms a megapixel, in which every camera waits.
"""
ALIKE: Final = 0.85
"""Correlation with the others that a frame must have to be counted."""
DIFFERS: Final = 40
"""Grey levels by which a pixel must differ from the learnt image to count as different."""


def learn_golden(encoded: Sequence[bytes]) -> tuple[bytes, dict[str, Any]]:
    """(PNG, facts) out of `MIN_LESSON` to `MAX_LESSON` encoded frames of one size.

    The facts: `used`, `left_out` (numbers of frames that show something else), `largest_shift_px`,
    `differing_share` (the largest share of pixels by which a used frame differs from the result: a
    defect in one good frame shows here), `outline` (what of it is the part, as regions),
    `most_tolerated` (grey levels by which the frames let a pixel differ, at most), and
    `tolerant_percent` (how much of the picture may by more than `inspected.LOOSE`).

    Raises Refused (REGISTRATION) where too few frames agree, Malformed (IMAGE).
    """
    if not MIN_LESSON <= len(encoded) <= MAX_LESSON:
        raise Refused.of(
            Reason.REGISTRATION, f"{MIN_LESSON} to {MAX_LESSON} good frames", len(encoded)
        )
    sizes = [image_size(data, encoding_of(data)) for data in encoded]
    pixels = sum(width * height for width, height in sizes)
    if pixels > MAX_LESSON_PIXELS:
        raise Refused.of(
            Reason.REGISTRATION,
            f"good frames of at most {MAX_LESSON_PIXELS} pixels together",
            pixels,
            "take fewer of them",
        )
    frames = [decode_gray(data) for data in encoded]
    size = frames[0].shape
    ready = [reference(f) if f.shape == size else None for f in frames]
    centre = _most_typical(frames, ready)
    kept: list[Gray] = []
    left_out, shifts = [], [0.0]
    for number, one in enumerate(ready):
        # moved onto the typical frame: registered the other way round
        moved = register(one, frames[centre]) if one is not None else None
        if moved is None or moved.likeness < ALIKE:
            left_out.append(number)
            continue
        kept.append(moved.golden)
        shifts.append(float(np.hypot(*moved.shift)))
    if len(kept) < MIN_LESSON:
        raise Refused.of(
            Reason.REGISTRATION,
            f"{MIN_LESSON} frames that show the same part",
            f"{len(kept)} of {len(frames)}",
            "one part type, one place, one light",
        )
    learned = np.median(np.stack(kept), axis=0).astype(np.uint8)
    tolerance = learned_tolerance(kept, learned)
    differing = [float((cv2.absdiff(f, learned) > DIFFERS).mean()) for f in kept]
    facts = {
        "used": len(kept),
        "left_out": left_out,
        "largest_shift_px": round(max(shifts), 2),
        "differing_share": round(max(differing), 5),
        "outline": outline_of(learned),
        "tolerant_percent": loose_percent(tolerance),
        "most_tolerated": int(tolerance.max()),
    }
    return tolerant_png(learned, tolerance), facts


def _most_typical(frames: Sequence[Gray], ready: Sequence[Any]) -> int:
    """The frame that is most like the others, so that one foreign frame does not become the
    measure.
    """
    likeness = [
        float(
            np.median(
                [
                    register(ready[i], f).likeness
                    for j, f in enumerate(frames)
                    if j != i and ready[j] is not None
                ]
                or [-1.0]
            )
        )
        if ready[i] is not None
        else -2.0
        for i in range(min(len(frames), 8))
    ]
    return int(np.argmax(likeness))
