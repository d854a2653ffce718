"""What an accelerometer and a clamp see of a motor on two bearings, drawn: sound, or with a fault.

Sources of what is drawn: an imbalance turns with the shaft (1x); looseness gives its multiples and
a half order; a damaged race is struck at a rate that follows from the bearing's geometry, and each
blow rings at a frequency of the structure, louder where the damage stands in the load. The figures
are of a 6205 with nine balls. Nothing was measured on a machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Signal = NDArray[np.float64]
Rng = np.random.Generator
RATE_HZ: Final = 8192.0
SAMPLES: Final = 4096
CHANNELS: Final = (("vibration-x", "m/s2"), ("vibration-y", "m/s2"), ("current", "A"))
SHAFT_HZ: Final = (15.0, 50.0)
"""900 to 3,000 turns a minute."""
OUTER_ORDER, INNER_ORDER = 3.585, 5.415
"""Blows a turn on the outer and inner race of a 6205: 9/2 (1 -/+ 0.2033)."""
RINGS_HZ: Final = 2600.0
BAND_HZ: Final = (1800.0, 3600.0)
MAINS_HZ: Final = 50.0
HEALTHY: Final = "healthy"
FAULTS: Final = ("imbalance", "looseness", "outer-race", "inner-race")
CLASSES: Final = (HEALTHY, *FAULTS)


@dataclass(frozen=True, slots=True)
class Motor:
    """One motor as it is mounted, by its seed: how loud each order is, what the floor is, where the
    structure rings.
    """

    seed: int
    orders: Signal
    noise: float
    rings_hz: float
    damping: float
    amperes: float

    @classmethod
    def drawn(cls, seed: int) -> Motor:
        """The same seed, the same motor."""
        rng = np.random.default_rng([0xB0, seed])
        return cls(
            seed,
            rng.uniform(0.05, 0.25, (2, 4)),
            float(rng.uniform(0.15, 0.35)),
            RINGS_HZ * float(rng.uniform(0.9, 1.15)),
            float(rng.uniform(350, 700)),
            float(rng.uniform(2.0, 8.0)),
        )


@dataclass(frozen=True, slots=True)
class State:
    """How it runs: at which speed, and with what fault how far gone (0 to 1)."""

    shaft_hz: float
    fault: str = HEALTHY
    severity: float = 0.0


def draw(motor: Motor, state: State, rng: Rng) -> Signal:
    """(channels, SAMPLES) in the channels' units."""
    t = np.arange(SAMPLES) / RATE_HZ
    turn = 2 * np.pi * state.shaft_hz * t + rng.uniform(0, 2 * np.pi)
    axes = np.stack([_axis(motor, state, rng, turn, axis) for axis in (0, 1)])
    blows = _blows(motor, state, rng, t)
    axes += blows * np.array([[1.0], [0.7]])
    load = 1 + 0.02 * rng.standard_normal() + 0.015 * _imbalanced(state) * np.sin(turn)
    current = motor.amperes * load * np.sin(2 * np.pi * MAINS_HZ * t + rng.uniform(0, 2 * np.pi))
    current += 0.02 * motor.amperes * rng.standard_normal(SAMPLES)
    return np.vstack([axes, current])


def _axis(motor: Motor, state: State, rng: Rng, turn: Signal, axis: int) -> Signal:
    heights = motor.orders[axis] * rng.uniform(0.85, 1.15, 4)
    heights[0] *= 1 + 9 * _imbalanced(state)
    signal = sum(
        height * np.sin(order * turn + rng.uniform(0, 2 * np.pi))
        for order, height in enumerate(heights, start=1)
    )
    if state.fault == "looseness":
        for order in (0.5, 1.5, 2.0, 2.5, 3.0, 4.0):
            height = 0.6 * state.severity * rng.uniform(0.6, 1.4) * (1 if order % 1 else 1.5)
            signal = signal + height * np.sin(order * turn + rng.uniform(0, 2 * np.pi))
    noise = motor.noise * rng.uniform(0.9, 1.1) * rng.standard_normal(SAMPLES)
    return np.asarray(signal + noise, np.float64)


def _imbalanced(state: State) -> float:
    return state.severity if state.fault == "imbalance" else 0.0


def _blows(motor: Motor, state: State, rng: Rng, t: Signal) -> Signal:
    """A ringing for each time a ball meets the damage."""
    orders = {"outer-race": OUTER_ORDER, "inner-race": INNER_ORDER}
    if state.fault not in orders:
        return np.zeros(SAMPLES)
    every = 1 / (orders[state.fault] * state.shaft_hz)
    at, signal = float(rng.uniform(0, every)), np.zeros(SAMPLES)
    while at < t[-1]:
        height = 1.0
        if state.fault == "inner-race":  # it turns through the load with the shaft
            height = 0.35 + 0.65 * max(0.0, np.cos(2 * np.pi * state.shaft_hz * at))
        first = int(np.ceil(at * RATE_HZ))
        after = t[first : first + 256] - at
        ring = np.exp(-motor.damping * after) * np.sin(2 * np.pi * motor.rings_hz * after)
        signal[first : first + 256] += 6 * state.severity * height * ring
        at += every * float(rng.normal(1, 0.006))
    return signal
