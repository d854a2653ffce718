"""Privacy masks inside the capture child: the masked pixels are gone before an image is encoded.
The agent has verified what arrives here.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import BinaryIO, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from framegate.signed.inspected import Polygon
from framegate.signed.mask import Masks

FILL: Final = 0
"""Black: no sensor gives it over a whole region, so a masked one is recognised by eye."""
_SHIFT: Final = 4
"""Fractional bits of a corner's place: polygons are rounded outwards by less than a pixel."""


class Masker:
    """The masks of the next frame. `version` 0: none. Blank with `apply`; change with `take`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._masks = Masks(0, b"", ())

    @property
    def active(self) -> bool:
        """Whether anything is masked, or was by the masks that are in force."""
        with self._lock:
            return self._masks.version > 0

    @property
    def masks(self) -> Masks:
        """Those of the next payload, whatever kind it is."""
        with self._lock:
            return self._masks

    def take(self, line: bytes) -> None:
        """New masks as the agent writes them (`capture.mask_line`)."""
        body = json.loads(line)
        polygons = tuple(
            tuple((float(x), float(y)) for x, y in points) for points in body["polygons"]
        )
        channels = tuple(str(name) for name in body["channels"])
        digest = bytes.fromhex(body["sha256"])
        with self._lock:
            self._masks = Masks(int(body["version"]), digest, polygons, channels)

    def follow(self, source: BinaryIO, ended: Callable[[], None]) -> None:
        """Read masks from `source` in a thread; `ended` is called at its end, when the agent has
        gone.
        """

        def read() -> None:
            for line in source:
                self.take(line)
            ended()

        threading.Thread(target=read, daemon=True, name="masks").start()

    def apply(self, image: NDArray[np.uint8]) -> tuple[int, bytes]:
        """Blank the masked regions of `image` (h, w) or (h, w, 3), in place; returns (version,
        digest) of the masks it was done under.
        """
        masks = self.masks
        blank(image, masks.polygons)
        return masks.version, masks.sha256


def blank(image: NDArray[np.uint8], polygons: tuple[Polygon, ...]) -> None:
    """Fill `polygons` (fractions of width and height) in `image`, in place."""
    h, w = image.shape[:2]
    for polygon in polygons:
        corners = np.array([(x * w, y * h) for x, y in polygon]) * (1 << _SHIFT)
        cv2.fillPoly(image, [corners.round().astype(np.int32)], (FILL, FILL, FILL), shift=_SHIFT)
