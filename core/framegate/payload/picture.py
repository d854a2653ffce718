"""Pictures, the first kind: JPEG and PNG, read and masked by the code that 0.1.0 had."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from framegate.errors import Malformed, Reason
from framegate.payload.contract import PICTURE_NAME, POINTS
from framegate.wire import ENCODING_JPEG, ENCODING_PNG, MAX_FRAME_PIXELS


class Picture:
    """See `Payload`."""

    name: Final = PICTURE_NAME
    encodings: Final[Mapping[int, str]] = MappingProxyType(
        {ENCODING_JPEG: "jpg", ENCODING_PNG: "png"}
    )
    region: Final = POINTS
    most_age_ms: Final = 0

    def require_claim(self, encoding: int, width: int, height: int) -> None:
        """See `Payload.require_claim`. Raises Malformed (IMAGE)."""
        if encoding not in self.encodings or not 0 < width * height <= MAX_FRAME_PIXELS:
            raise Malformed.of(
                Reason.IMAGE,
                f"JPEG or PNG of at most {MAX_FRAME_PIXELS} pixels",
                f"{width}x{height}",
            )


PICTURE: Final = Picture()
