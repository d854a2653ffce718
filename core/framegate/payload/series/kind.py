"""What every process knows of series: their encoding, what they may claim, and a recipe's input."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any, Final

from framegate.errors import Malformed, Reason
from framegate.payload.contract import CHANNEL
from framegate.payload.series.form import (
    ENCODING_SERIES,
    MAX_CHANNELS,
    MAX_SAMPLES,
    MIN_SAMPLES,
)
from framegate.payload.series.recipe import parse_input

MOST_AGE_MS: Final = 60_000
"""From a window's capture to its admission: a camera's queue is two seconds, and clocks that were
corrected by a signed challenge agree within five. What is older was not measured just now.
"""


class SeriesKind:
    """See `ExaminedPayload`."""

    name: Final = "series"
    encodings: Final[Mapping[int, str]] = MappingProxyType({ENCODING_SERIES: "series"})
    region: Final = CHANNEL
    most_age_ms: Final = MOST_AGE_MS
    module: Final = "framegate.payload.series"

    def require_claim(self, encoding: int, width: int, height: int) -> None:
        """See `Payload.require_claim`: `width` samples of each of `height` channels. Raises
        Malformed (PAYLOAD).
        """
        if (
            encoding not in self.encodings
            or not MIN_SAMPLES <= width <= MAX_SAMPLES
            or not 1 <= height <= MAX_CHANNELS
        ):
            raise Malformed.of(
                Reason.PAYLOAD,
                f"a series of 1 to {MAX_CHANNELS} channels of {MIN_SAMPLES} to {MAX_SAMPLES}"
                " samples",
                f"encoding {encoding}, {height} of {width}",
            )

    def verify_input(self, body: Mapping[str, Any]) -> None:
        """See `ExaminedPayload.verify_input`."""
        parse_input(body)

    def left(self, body: Mapping[str, Any], masked: Collection[str]) -> int:
        """See `ExaminedPayload.left`: each channel that the recipe takes counts alike."""
        names = parse_input(body).names
        return 100 * sum(name not in masked for name in names) // len(names)


SERIES: Final = SeriesKind()
