"""How a frame becomes a network's input (`recipe.PictureInput`), and how places in that input are
found again in the frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from framegate_gateway.inference.recipe import PictureInput

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Placing:
    """Where a frame of `size` (h, w) lies in an input of `sides` (h, w): its corner at `left`,
    `top`, each of its pixels `scale` (x, y) of the input's.
    """

    size: tuple[int, int]
    sides: tuple[int, int]
    scale: tuple[float, float] = (1.0, 1.0)
    left: int = 0
    top: int = 0

    def boxes(self, boxes: Floats) -> Floats:
        """Boxes (n, 4) x1 y1 x2 y2 in pixels of the input, as pixels of the frame; not clipped."""
        corner = np.array([self.left, self.top, self.left, self.top], np.float64)
        scale = np.array([*self.scale, *self.scale], np.float64)
        return np.asarray((boxes.astype(np.float64) - corner) / scale, np.float32)

    def map_of(self, heat: Floats) -> Floats:
        """What of a map (h, w) over the whole input lies on the frame; its sides stay the map's
        scale.
        """
        height, width = heat.shape
        x, y = width / self.sides[1], height / self.sides[0]
        right = self.left + self.size[1] * self.scale[0]
        below = self.top + self.size[0] * self.scale[1]
        # what a cell shows of the frame counts, even where it shows of the rim besides
        across = slice(int(self.left * x), max(int(self.left * x) + 1, int(np.ceil(right * x))))
        down = slice(int(self.top * y), max(int(self.top * y) + 1, int(np.ceil(below * y))))
        return heat[down, across]


def placing_of(given: PictureInput, size: tuple[int, int]) -> Placing:
    """Where a frame of `size` (h, w) comes to lie in the input."""
    h, w = size
    x, y = given.width / w, given.height / h
    if given.fit == "stretch":
        return Placing(size, (given.height, given.width), (x, y))
    scale = min(x, y)
    wide, high = max(1, round(w * scale)), max(1, round(h * scale))
    left, top = (given.width - wide) // 2, (given.height - high) // 2
    return Placing(size, (given.height, given.width), (wide / w, high / h), left, top)


def tensor_of(given: PictureInput, frame: NDArray[np.uint8], placing: Placing) -> NDArray[Any]:
    """The input tensor of a frame, (h, w) uint8 grey or (h, w, 3) uint8 BGR as `given.colour`
    asks; shape and type as the recipe says.
    """
    h, w = placing.size
    wide, high = round(w * placing.scale[0]), round(h * placing.scale[1])
    method = cv2.INTER_AREA if wide * 2 <= w or high * 2 <= h else cv2.INTER_LINEAR
    drawn = (
        frame if (wide, high) == (w, h) else cv2.resize(frame, (wide, high), interpolation=method)
    )
    if drawn.ndim == 2:
        drawn = drawn[:, :, None]
    if given.colour == "rgb":
        drawn = drawn[:, :, ::-1]
    picture = np.full((given.height, given.width, given.channels), given.fill, np.uint8)
    picture[placing.top : placing.top + high, placing.left : placing.left + wide] = drawn
    tensor: NDArray[Any] = picture
    if given.type == "float32":
        mean, deviation = np.array(given.mean, np.float32), np.array(given.deviation, np.float32)
        tensor = (picture.astype(np.float32) / np.float32(given.divide) - mean) / deviation
    if given.layout != "nhwc":
        tensor = tensor.transpose(2, 0, 1)
    return np.ascontiguousarray(tensor if given.layout == "chw" else tensor[None])
