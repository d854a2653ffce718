"""Pictures in and out of their encodings, in the capture child."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from framegate.errors import Malformed, Reason, Unavailable
from framegate.image_header import encoding_of, image_size, require_whole
from framegate.wire import MAX_FRAME_BYTES, MAX_FRAME_PIXELS, Captured

JPEG_QUALITY: Final = 90
AS_STORED: Final = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION
"""Grey, and never turned or mirrored by an EXIF orientation: masks are of the stored pixels."""
_BMP: Final = b"BM"


def decoded(data: bytes) -> NDArray[np.uint8]:
    """The picture in `data`, (h, w) grey, its pixels as they are stored. Raises Malformed (IMAGE)
    for what does not decode, or would decode to another picture, and before any pixel is allocated
    for one larger than a frame may be.
    """
    if not data.startswith(_BMP):
        encoding = encoding_of(data)
        width, height = image_size(data, encoding)
        if not 0 < width * height <= MAX_FRAME_PIXELS:
            raise _too_large(f"{width}x{height}")
        require_whole(data, encoding)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), AS_STORED)
    except cv2.error as error:  # a bitmap that claims more than the decoder takes
        raise _too_large("one that the decoder refuses") from error
    if image is None:
        raise Malformed.of(Reason.IMAGE, "an image that OpenCV decodes", f"{len(data)} bytes")
    return np.asarray(image, np.uint8)


def encoded(image: NDArray[np.uint8]) -> bytes:
    """`image` (h, w) as JPEG."""
    good, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not good or len(data) > MAX_FRAME_BYTES:
        raise Unavailable.of(Reason.IMAGE, f"a JPEG of at most {MAX_FRAME_BYTES} bytes", len(data))
    return data.tobytes()


def picture_of(head: Captured, data: bytes) -> NDArray[np.uint8]:
    """The picture of a foreign program's frame, grey. Raises Malformed (IMAGE)."""
    if not 0 < head.width * head.height <= MAX_FRAME_PIXELS:
        raise _too_large(f"{head.width}x{head.height}")
    return decoded(data)


def _too_large(came: str) -> Malformed:
    return Malformed.of(Reason.IMAGE, f"at most {MAX_FRAME_PIXELS} pixels", came)
