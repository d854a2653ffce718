"""The gate of a window: what a sensor that is loose, overdriven or half dead gives is never
examined, because its network would say something to it all the same.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from framegate.errors import Reason, Refused
from framegate.payload.contract import Asked
from framegate.payload.series.form import Series
from framegate.payload.series.recipe import SeriesInput
from framegate.payload.series.signal import signals_of

RATE_SLACK: Final = 0.005
"""Share: crystals differ by a hundred parts in a million, and other rates by far more."""
SPAN_SLACK: Final = 0.005
"""Share of its own length by which a window may last longer than its samples take: drivers date
their blocks to a millisecond or two.
"""
SPAN_SLACK_US: Final = 3_000
FLAT: Final = 0.05
"""Share of the golden window's level below which a channel measures nothing: a running machine that
was made quieter by twenty is a cable that came off.
"""
CLIPPED: Final = 0.002
"""Share of samples at the channel's own highest or lowest value: of noise it is one of thousands.
"""
CLIPPED_RUN: Final = 4
DROPOUT: Final = 24
"""Equal samples in a row: of a converter that measures noise there are two or three."""


def require_good(given: SeriesInput, series: Series, golden: Series, asked: Asked) -> None:
    """That `series` may be examined against `golden`.

    1. it is what its metadata claims, and has the recipe's channels in their units and its length;
    2. its rate is the recipe's, and so is the golden window's;
    3. it lasts as long as its samples take;
    4. the shaft turns, as fast as the recipe's network has seen;
    5. what is masked is 0;
    6. no other channel is flat, clipped, or stands still for a while.

    Raises Refused (PAYLOAD, SERIES_RATE, SERIES_GAP, MASK, SERIES_FLAT, SERIES_CLIPPED,
    SERIES_DROPOUT).
    """
    _require_shape(given, series, asked.width, asked.height)  # 1
    _require_shape(given, golden, golden.count, len(golden.channels))
    for window, what in ((series, "window"), (golden, "golden window")):  # 2
        if abs(window.rate_hz / given.rate_hz - 1) > RATE_SLACK:
            raise Refused.of(
                Reason.SERIES_RATE,
                f"a {what} at {given.rate_hz:g} Hz",
                f"{window.rate_hz:g} Hz",
                "set the sensor's rate as the model wants it",
            )
    _require_whole(series)  # 3
    slow, fast = given.shaft_hz
    if not slow <= series.shaft_hz <= fast:  # 4
        raise Refused.of(
            Reason.SERIES_RATE,
            f"a shaft that turns {slow:g} to {fast:g} times a second",
            f"{series.shaft_hz:g}",
            "does the machine run? is its speed told?",
        )
    now, before = signals_of(series), signals_of(golden)
    for number, channel in enumerate(series.channels):
        if channel.name in asked.masked:
            if channel.samples.strip(b"\0"):  # 5
                raise Refused.of(
                    Reason.MASK, f"zeros in the masked channel {channel.name}", "samples"
                )
            continue
        _require_alive(channel.name, now[number], float(before[number].std()))  # 6


def _require_shape(given: SeriesInput, series: Series, width: int, height: int) -> None:
    units = tuple(channel.unit for channel in series.channels)
    if (series.count, len(series.channels)) != (width, height) or (
        series.names,
        units,
        series.count,
    ) != (given.names, given.units, given.samples):
        wanted = ", ".join(f"{n} in {u}" for n, u in zip(given.names, given.units, strict=True))
        came = ", ".join(f"{c.name} in {c.unit}" for c in series.channels)
        raise Refused.of(
            Reason.PAYLOAD,
            f"{given.samples} samples of {wanted}",
            f"{series.count} of {came}, {height} of {width} announced",
            "the sensor, its golden window and the model go together",
        )


def _require_whole(series: Series) -> None:
    due = (series.count - 1) * 1e6 / series.rate_hz
    late = series.last_us - series.first_us - due
    if abs(late) > max(SPAN_SLACK_US, SPAN_SLACK * due):
        raise Refused.of(
            Reason.SERIES_GAP,
            f"{series.count} samples in {due / 1000:.1f} ms",
            f"{(series.last_us - series.first_us) / 1000:.1f} ms",
            "samples were lost between sensor and agent, or its clock was set",
        )


def _require_alive(name: str, signal: Any, usual: float) -> None:
    if float(signal.std()) < FLAT * usual:
        raise _bad(Reason.SERIES_FLAT, name, "a signal", "a flat line", "cable, mount, supply")
    for end in (signal.max(), signal.min()):
        there = signal == end
        if float(there.mean()) > CLIPPED or _longest(there) >= CLIPPED_RUN:
            raise _bad(
                Reason.SERIES_CLIPPED,
                name,
                "a signal within its range",
                f"{100 * float(there.mean()):.2f} % of it at {float(end):.4g}",
                "a larger range, or less gain",
            )
    if _longest(signal[1:] == signal[:-1]) >= DROPOUT:
        raise _bad(
            Reason.SERIES_DROPOUT, name, "samples that move", "a stretch that stands still", "cable"
        )


def _longest(there: Any) -> int:
    """The longest run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], there.astype(np.int8), [0]))))
    return int((edges[1::2] - edges[::2]).max()) if edges.size else 0


def _bad(reason: Reason, name: str, expected: str, came: str, look_at: str) -> Refused:
    return Refused.of(reason, f"{expected} in {name}", came, f"look at the sensor: {look_at}")
