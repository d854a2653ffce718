"""Images out of hostile bytes: the size is read from the header first, so that a small file
cannot ask for a large memory (N103).
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from framegate.errors import Malformed, Reason
from framegate.image_header import encoding_of, image_size, require_whole
from framegate.wire import ENCODING_JPEG, ENCODING_PNG, MAX_FRAME_PIXELS

AS_STORED: Final = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION
"""Grey, and never turned or mirrored by an EXIF orientation."""


_COLOUR_TYPE_AT: Final = 25
_WITH_ALPHA: Final = frozenset({4, 6})
"""Where a PNG's header has its colour type; grey and colour with alpha (PNG 11.2.2)."""
COLOUR_AS_STORED: Final = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION


def decode_gray(
    data: bytes,
    encoding: int | None = None,
    claimed: tuple[int, int] | None = None,
    max_pixels: int = MAX_FRAME_PIXELS,
) -> NDArray[np.uint8]:
    """The image, (h, w) uint8, its pixels as they are stored. `claimed` is (width, height) as
    announced. Raises Malformed (IMAGE) before any pixel is allocated, or where decoding fails.
    """
    return _decoded(data, encoding, claimed, max_pixels, AS_STORED)


def decode_colour(
    data: bytes,
    encoding: int | None = None,
    claimed: tuple[int, int] | None = None,
    max_pixels: int = MAX_FRAME_PIXELS,
) -> NDArray[np.uint8]:
    """The image, (h, w, 3) uint8 in the order blue, green, red; a grey one three times. As
    `decode_gray` otherwise.
    """
    return _decoded(data, encoding, claimed, max_pixels, COLOUR_AS_STORED)


def decode_alpha(data: bytes, max_pixels: int = MAX_FRAME_PIXELS) -> NDArray[np.uint8] | None:
    """The alpha channel (h, w) uint8 of a PNG that has one, else None. Raises as `decode_gray`."""
    if encoding_of(data) == ENCODING_JPEG:
        return None
    image_size(data, ENCODING_PNG)
    if data[_COLOUR_TYPE_AT] not in _WITH_ALPHA:
        return None
    image = _decoded(data, ENCODING_PNG, None, max_pixels, cv2.IMREAD_UNCHANGED)
    return np.ascontiguousarray(image[:, :, 3]) if image.shape[2:] == (4,) else None


def _decoded(
    data: bytes,
    encoding: int | None,
    claimed: tuple[int, int] | None,
    max_pixels: int,
    flags: int,
) -> NDArray[np.uint8]:
    encoding = encoding_of(data) if encoding is None else encoding
    size = image_size(data, encoding)
    if claimed is not None and size != claimed:
        raise Malformed.of(
            Reason.IMAGE, f"the {claimed[0]}x{claimed[1]} pixels announced", f"{size[0]}x{size[1]}"
        )
    if not 0 < size[0] * size[1] <= max_pixels:
        raise Malformed.of(Reason.IMAGE, f"at most {max_pixels} pixels", f"{size[0]}x{size[1]}")
    require_whole(data, encoding)
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if image is None or image.shape[1::-1] != size:
        raise Malformed.of(
            Reason.IMAGE,
            "an image that decodes",
            f"{len(data)} bytes that do not",
            "the file may be cut off",
        )
    return np.asarray(image, np.uint8)
