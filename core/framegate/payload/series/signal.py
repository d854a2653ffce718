"""What is measured in a window, in numpy: levels, peaks, lines of spectra and of envelopes."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from framegate.payload.series.form import INT16, Series
from framegate.payload.series.recipe import ENVELOPE, KURTOSIS, LEVEL, SeriesInput, Step

Signal = NDArray[np.float64]
SLIP: Final = 0.015
"""How far from its order a line may lie, as a share: rolling bearings slip by about a percent."""
LEAST_BINS: Final = 1
FLOOR: Final = 0.01
"""Of a channel's level in the golden window: lines below it are none; no ratio is taken to them."""
MAINS_BINS: Final = 3
"""On either side of a line of the mains: as wide as the window makes it."""
HARMONICS: Final = 5
MOST: Final = 6.0
"""Bound of a logarithm of a ratio: four hundred times as much is as much as can be meant."""


def signals_of(series: Series) -> Signal:
    """(channels, count) in each channel's unit."""
    kind = "<i2" if series.sample_type == INT16 else "<f4"
    rows = [
        np.frombuffer(channel.samples, kind).astype(np.float64) * channel.scale
        for channel in series.channels
    ]
    return np.stack(rows)


def row_of(given: SeriesInput, series: Series, golden: Series, masked: frozenset[str]) -> Any:
    """The network's input, (values,) float32: the logarithm of each measure against the same of the
    golden; 0, as if nothing had changed, of channels that are masked.
    """
    now, before = signals_of(series), signals_of(golden)
    row = np.zeros((len(given.names), len(given.steps)), np.float32)
    for number, name in enumerate(given.names):
        if name in masked:
            continue
        floor = FLOOR * max(float(before[number].std()), 1e-12)
        mains = given.mains_hz[number]
        ours = _measures(given, now[number], series.shaft_hz, mains)
        theirs = _measures(given, before[number], golden.shaft_hz, mains)
        row[number] = np.clip(np.log((ours + floor) / (theirs + floor)), -MOST, MOST)
    return row.reshape(-1)


def _measures(given: SeriesInput, signal: Signal, shaft_hz: float, mains_hz: float) -> Signal:
    centred = signal - signal.mean()
    lines = _amplitudes(centred)
    envelope = _amplitudes(_envelope(centred, given.rate_hz, given.band_hz))
    step_hz = given.rate_hz / len(signal)
    for harmonic in range(1, HARMONICS + 1) if mains_hz else ():
        at = round(harmonic * mains_hz / step_hz)
        lines[max(0, at - MAINS_BINS) : at + MAINS_BINS + 1] = 0
    return np.array(
        [_measure(step, centred, lines, envelope, shaft_hz / step_hz) for step in given.steps]
    )


def _measure(
    step: Step, centred: Signal, lines: Signal, envelope: Signal, bins_a_turn: float
) -> float:
    level = float(np.sqrt((centred**2).mean()))
    if step.of == LEVEL:
        return level
    if step.of == KURTOSIS:
        return float((centred**4).mean() / max(level, 1e-12) ** 4)
    return _line(envelope if step.of == ENVELOPE else lines, step.order * bins_a_turn)


def _amplitudes(centred: Signal) -> Signal:
    """One-sided amplitudes under a Hann window, in the signal's unit."""
    window = np.hanning(len(centred))
    return np.asarray(np.abs(np.fft.rfft(centred * window)) * 2 / window.sum(), np.float64)


def _line(lines: Signal, at: float) -> float:
    """The highest of the lines around bin `at`; 0 beyond the last."""
    reach = max(LEAST_BINS, SLIP * at)
    first, last = int(np.floor(at - reach)), int(np.ceil(at + reach)) + 1
    around = lines[max(1, first) : last]
    return float(around.max()) if around.size else 0.0


def _envelope(centred: Signal, rate_hz: float, band_hz: tuple[float, float]) -> Signal:
    """The magnitude of the analytic signal of a band, without its mean."""
    spectrum = np.fft.fft(centred)
    frequencies = np.fft.fftfreq(len(centred), 1 / rate_hz)
    spectrum[(frequencies < band_hz[0]) | (frequencies > band_hz[1])] = 0
    envelope = np.abs(np.fft.ifft(2 * spectrum))
    return np.asarray(envelope - envelope.mean(), np.float64)
