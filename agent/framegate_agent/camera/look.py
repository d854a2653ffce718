"""One frame looked at before a camera joins: its size, how sharp it is, how light. Measured where
it was decoded, in the capture child's cage; outside it only numbers and a PNG arrive.
"""

from __future__ import annotations

import json
import struct
from dataclasses import asdict
from typing import BinaryIO, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from framegate.errors import Reason, Unavailable
from framegate_agent.camera.look_record import Look

_ENDS: Final = (2, 253)
"""Grey values up to which a pixel counts as black, and from which as white."""


def look_at(part: str, part_type: str, image: NDArray[np.uint8]) -> Look:
    """`image` (h, w) uint8 grey, measured."""
    h, w = image.shape
    low, high = _ENDS
    return Look(
        part=part,
        part_type=part_type,
        width=w,
        height=h,
        sharpness=round(float(cv2.Laplacian(image, cv2.CV_64F).var()), 1),
        light=round(float(image.mean()), 1),
        dark=round(float((image <= low).mean()), 3),
        bright=round(float((image >= high).mean()), 3),
    )


def write_look(out: BinaryIO, look: Look, image: NDArray[np.uint8]) -> None:
    """A 32-bit length and the look as JSON, a 32-bit length and the picture as PNG."""
    good, png = cv2.imencode(".png", image)
    if not good:
        raise Unavailable.of(Reason.IMAGE, "a picture that PNG can hold", image.shape)
    for part in (json.dumps(asdict(look)).encode(), png.tobytes()):
        out.write(struct.pack(">I", len(part)) + part)
    out.flush()
