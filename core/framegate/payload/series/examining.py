"""Series in the inference child: the examiner of a recipe."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from framegate.payload.contract import Asked
from framegate.payload.series.drawing import drawn
from framegate.payload.series.form import INT16, Channel, Series, parse_series
from framegate.payload.series.quality import require_good
from framegate.payload.series.recipe import SeriesInput, parse_input
from framegate.payload.series.signal import row_of
from framegate.payload.series.windows import Windows

MAX_GAIN: Final = 0.04
"""By how much a known window is varied: a sensor's sensitivity over a day."""
MOST_COUNT: Final = 32_767


@dataclass(frozen=True, slots=True)
class _Read:
    series: Series
    digest: bytes


class SeriesExaminer:
    """See `Examiner`; keeps what the latest windows of each sensor were."""

    def __init__(self, given: SeriesInput) -> None:
        self._given, self._windows = given, Windows()

    def parsed(self, data: bytes) -> _Read:
        """See `Examiner.parsed`."""
        return _Read(parse_series(data), hashlib.sha256(data).digest())

    def require_good(self, parsed: _Read, golden: _Read, asked: Asked) -> None:
        """See `Examiner.require_good`: `quality.require_good`, then `Windows.take`."""
        require_good(self._given, parsed.series, golden.series, asked)
        self._windows.take(parsed.series, parsed.digest, asked)

    def row(self, parsed: _Read, golden: _Read, masked: Collection[str]) -> Any:
        """See `Examiner.row`."""
        return row_of(self._given, parsed.series, golden.series, frozenset(masked))

    def box(self, parsed: _Read, golden: _Read, masked: Collection[str]) -> Sequence[float]:
        """See `Examiner.box`: the whole window, of the channel that differs most."""
        row = np.abs(self.row(parsed, golden, masked)).reshape(len(self._given.names), -1)
        worst = int(row.sum(axis=1).argmax())
        return [0.0, float(worst), float(parsed.series.count), float(worst + 1)]

    def varied(self, parsed: _Read, at: float, by: float) -> _Read:
        """See `Examiner.varied`: begun elsewhere, and a little louder or softer."""
        begin, gain = int(at * parsed.series.count), 1 + MAX_GAIN * by
        kind = "<i2" if parsed.series.sample_type == INT16 else "<f4"
        rows: list[Channel] = []
        for channel in parsed.series.channels:
            samples = np.roll(np.frombuffer(channel.samples, kind), begin) * gain
            if parsed.series.sample_type == INT16:
                samples = np.clip(np.round(samples), -MOST_COUNT, MOST_COUNT)
            rows.append(replace(channel, samples=samples.astype(kind).tobytes()))
        return replace(parsed, series=replace(parsed.series, channels=tuple(rows)))

    def drawn(self, parsed: _Read) -> Any:
        """See `Examiner.drawn`."""
        return drawn(parsed.series)


def examiner(body: Mapping[str, Any]) -> SeriesExaminer:
    """See `ExaminingModule.examiner`."""
    return SeriesExaminer(parse_input(body))
