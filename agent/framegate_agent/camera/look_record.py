"""What one frame of a source shows, as numbers, and what a person should make of them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

BLURRED: Final = 60.0
"""Variance of the Laplacian of an 8-bit picture below which edges are smeared over several pixels;
a photographed board in focus has some hundreds to thousands.
"""
DARK: Final = 40.0
BRIGHT: Final = 215.0
"""Mean grey out of 0 to 255 beyond which a sensor's noise, or its upper end, swallows defects."""
ONE_SIDED: Final = 0.95
"""Share of pixels at one end of the scale from which there is no picture. That a part is all black
and white is well: the shipped model's boards are.
"""
SMALL: Final = 200
"""Pixels of the shorter side below which the shipped model's defects are a pixel or two."""


MAX_NAME: Final = 128
"""Characters of a part and its type, as the wire has them."""


@dataclass(frozen=True, slots=True)
class Look:
    """What one frame shows. `width` and `height` in pixels; `sharpness` the variance of its
    Laplacian; `light` its mean grey, 0 to 255; `dark` and `bright` the shares of pixels at the ends
    of the scale, 0 to 1.
    """

    part: str
    part_type: str
    width: int
    height: int
    sharpness: float
    light: float
    dark: float
    bright: float

    def remarks(self) -> Iterator[str]:
        """What a person should look at, the worst first."""
        if max(self.dark, self.bright) > ONE_SIDED:
            yield "all black or all white: is the lens covered, or the exposure off?"
        elif self.light < DARK:
            yield "dark: more light, or a longer exposure"
        elif self.light > BRIGHT:
            yield "too bright: less light, or a shorter exposure"
        if self.sharpness < BLURRED:
            yield "blurred: focus the lens, or a shorter exposure where the part moves"
        if min(self.width, self.height) < SMALL:
            yield f"small: fewer than {SMALL} pixels; a defect is a pixel or two"


def parse_look(raw: bytes) -> Look:
    """What a child wrote. Raises ValueError, TypeError or KeyError."""
    body = json.loads(raw)
    look = Look(
        part=str(body["part"])[:MAX_NAME],
        part_type=str(body["part_type"])[:MAX_NAME],
        width=int(body["width"]),
        height=int(body["height"]),
        sharpness=float(body["sharpness"]),
        light=float(body["light"]),
        dark=float(body["dark"]),
        bright=float(body["bright"]),
    )
    if not all(map(math.isfinite, (look.sharpness, look.light, look.dark, look.bright))):
        raise ValueError("numbers")
    return look
