"""How a window becomes a row of numbers, as data in a bundle's recipe.

Every number is of one channel: a `step` at one place, held against the same of the golden. What
is measured at an order follows the shaft's speed: of a bearing, orders say where its inner race,
outer race and balls are struck.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from framegate.errors import Malformed, Reason
from framegate.payload.series.form import (
    MAX_CHANNELS,
    MAX_RATE_HZ,
    MAX_SAMPLES,
    MAX_SHAFT_HZ,
    MIN_SAMPLES,
)

MAX_STEPS: Final = 64
"""Numbers of one channel."""
LEVEL, KURTOSIS, SPECTRUM, ENVELOPE = "level", "kurtosis", "spectrum", "envelope"
OF: Final = (LEVEL, KURTOSIS, SPECTRUM, ENVELOPE)
"""Root mean square; how peaked the samples are; the height of a line of the spectrum; that of the
spectrum of the envelope of a band, where a bearing's blows are found.
"""
MAX_ORDER: Final = 200.0
_INPUT: Final = frozenset(
    {"name", "values", "rate_hz", "samples", "channels", "shaft_hz", "band_hz", "steps"}
)


@dataclass(frozen=True, slots=True)
class Step:
    """One number of each channel; `order` is a multiple of the shaft's speed, 0 where it has
    none.
    """

    of: str
    order: float = 0.0


@dataclass(frozen=True, slots=True)
class SeriesInput:
    """A recipe's `input`: which windows a network takes and what is measured in them. `shaft_hz`:
    slowest and fastest; `band_hz`: where blows ring; `mains_hz`: whose line and harmonics are taken
    out of a channel's spectrum, 0 for none.
    """

    name: str
    rate_hz: float
    samples: int
    names: tuple[str, ...]
    units: tuple[str, ...]
    mains_hz: tuple[float, ...]
    shaft_hz: tuple[float, float]
    band_hz: tuple[float, float]
    steps: tuple[Step, ...]

    @property
    def values(self) -> int:
        """Numbers in the network's row: all steps of the first channel, of the second, …"""
        return len(self.steps) * len(self.names)


def parse_input(body: Mapping[str, Any]) -> SeriesInput:
    """The input in a recipe.

    1. it has its members and no others, each of its type;
    2. a window, channels named once each, a band below half the rate, speeds in order, steps, each
       within limits; 3. `values` is what they make.

    Raises Malformed (MODEL).
    """
    try:  # 1
        if set(body) != _INPUT:
            raise ValueError(f"members {sorted(set(body) ^ _INPUT)}")
        steps = tuple(
            Step(_text(row["of"]), _number(row.get("order", 0.0))) for row in body["steps"]
        )
        if any(set(row) - {"of", "order"} for row in body["steps"]):
            raise ValueError("steps with of and order")
        rows = body["channels"]
        if any(set(row) != {"name", "unit", "mains_hz"} for row in rows):
            raise ValueError("channels with name, unit and mains_hz")
        given = SeriesInput(
            _text(body["name"]),
            _number(body["rate_hz"]),
            _whole(body["samples"]),
            tuple(_text(row["name"]) for row in rows),
            tuple(_text(row["unit"]) for row in rows),
            tuple(_number(row["mains_hz"]) for row in rows),
            _two(body["shaft_hz"]),
            _two(body["band_hz"]),
            steps,
        )
        values = _whole(body["values"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        expected = f"a series' input with {', '.join(sorted(_INPUT))}"
        raise Malformed.of(Reason.MODEL, expected, str(error)[:200]) from error
    if not _in_range(given) or values != given.values:  # 2, 3
        raise Malformed.of(
            Reason.MODEL,
            f"a window of up to {MAX_SAMPLES} samples, 1 to {MAX_CHANNELS} channels, a band below"
            f" half the rate, 1 to {MAX_STEPS} steps of {', '.join(OF)}, and as many values",
            ascii(given)[:300],
        )
    return given


def _in_range(given: SeriesInput) -> bool:
    low, high = given.band_hz
    slow, fast = given.shaft_hz
    return (
        0 < len(given.name) <= 200
        and 0 < given.rate_hz <= MAX_RATE_HZ
        and MIN_SAMPLES <= given.samples <= MAX_SAMPLES
        and 1 <= len(given.names) <= MAX_CHANNELS
        and len(set(given.names)) == len(given.names)
        and 0 < low < high < given.rate_hz / 2
        and 0 < slow <= fast <= MAX_SHAFT_HZ
        and all(0 <= mains < given.rate_hz / 2 for mains in given.mains_hz)
        and 1 <= len(given.steps) <= MAX_STEPS
        and all(_is_step(step) for step in given.steps)
    )


def _is_step(step: Step) -> bool:
    lined = step.of in {SPECTRUM, ENVELOPE}
    return step.of in OF and (0 < step.order <= MAX_ORDER if lined else step.order == 0)


def _text(value: object) -> str:
    if type(value) is not str:
        raise TypeError(f"a text, not {ascii(value)[:40]}")
    return value


def _whole(value: object) -> int:
    if type(value) is not int:
        raise TypeError(f"a whole number, not {ascii(value)[:40]}")
    return value


def _number(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise TypeError(f"a number, not {ascii(value)[:40]}")
    return float(value)


def _two(value: object) -> tuple[float, float]:
    if not isinstance(value, list) or len(value) != 2:
        raise TypeError(f"two numbers, not {ascii(value)[:40]}")
    return _number(value[0]), _number(value[1])
