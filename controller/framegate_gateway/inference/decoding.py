"""Grey images out of hostile bytes: the size is read from the header first, so that a small file
cannot ask for a large memory (N103).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from framegate.errors import Malformed, Reason
from framegate.wire import MAX_FRAME_PIXELS
from framegate_gateway.inference.image_header import encoding_of, image_size


def decode_gray(
    data: bytes,
    encoding: int | None = None,
    claimed: tuple[int, int] | None = None,
    max_pixels: int = MAX_FRAME_PIXELS,
) -> NDArray[np.uint8]:
    """The image, (h, w) uint8. `claimed` is (width, height) as announced. Raises Malformed (IMAGE)
    before any pixel is allocated, or where decoding fails.
    """
    size = image_size(data, encoding_of(data) if encoding is None else encoding)
    if claimed is not None and size != claimed:
        raise Malformed.of(
            Reason.IMAGE, f"the {claimed[0]}x{claimed[1]} pixels announced", f"{size[0]}x{size[1]}"
        )
    if not 0 < size[0] * size[1] <= max_pixels:
        raise Malformed.of(Reason.IMAGE, f"at most {max_pixels} pixels", f"{size[0]}x{size[1]}")
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    if image is None or image.shape[::-1] != size:
        raise Malformed.of(
            Reason.IMAGE,
            "an image that decodes",
            f"{len(data)} bytes that do not",
            "the file may be cut off",
        )
    return np.asarray(image, np.uint8)
