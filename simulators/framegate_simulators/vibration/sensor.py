"""A simulated sensor on a motor: windows of drawn vibration and current, written as a capture child
writes frames (`exec:framegate-sim sensor …`), and the golden window of its motor.
"""

from __future__ import annotations

import struct
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np

from framegate.payload.series.form import (
    ENCODING_SERIES,
    INT16,
    Channel,
    Series,
    marshal_series,
)
from framegate.wire import Captured
from framegate_simulators.vibration.machine_signal import (
    CHANNELS,
    HEALTHY,
    RATE_HZ,
    SAMPLES,
    Motor,
    Signal,
    State,
    draw,
)

FULL_SCALE: Final = (160.0, 160.0, 40.0)
"""What 32,767 counts are: 16 g, and 40 A."""
SEVERITY: Final = 0.7
WINDOW_US: Final = round((SAMPLES - 1) * 1e6 / RATE_HZ)
UNCERTAINTY_MS: Final = 50
TROUBLES: Final = ("", "clipped", "flat", "dropout", "wrong-rate", "gap", "replayed", "picture")


@dataclass(frozen=True, slots=True)
class Sensor:
    """A sensor on motor number `motor`: `fault` from window `faulty_from` on (0: from the first);
    `trouble` is what is wrong with the sensor itself, one of `TROUBLES`.
    """

    motor: int
    shaft_hz: float = 29.0
    fault: str = HEALTHY
    severity: float = SEVERITY
    faulty_from: int = 0
    trouble: str = ""


def part_type(motor: int) -> str:
    """What the windows of a drawn motor are called."""
    return f"motor-{motor}"


def window(sensor: Sensor, number: int, last_us: int) -> Series:
    """Window `number` of the sensor, whose last sample is of `last_us`."""
    faulty = number >= sensor.faulty_from
    rng = np.random.default_rng([0x5E, sensor.motor, number])
    speed = sensor.shaft_hz * float(rng.uniform(0.98, 1.02))
    state = State(speed, sensor.fault, sensor.severity) if faulty else State(speed)
    drawn = draw(Motor.drawn(sensor.motor), state, rng)
    return as_series(drawn, speed, last_us)


def as_series(drawn: Signal, shaft_hz: float, last_us: int) -> Series:
    """(channels, SAMPLES) in their units, as a converter of 16 bits gives them."""
    channels = []
    for (name, unit), full, row in zip(CHANNELS, FULL_SCALE, drawn, strict=True):
        counts = np.clip(np.round(row / full * 32_767), -32_768, 32_767).astype("<i2")
        count = float(np.float32(full / 32_767))
        channels.append(Channel(name, unit, count, counts.tobytes()))
    return Series(
        INT16,
        RATE_HZ,
        SAMPLES,
        last_us - WINDOW_US,
        last_us,
        round(shaft_hz * 1000) / 1000,
        tuple(channels),
    )


def troubled(series: Series, trouble: str) -> Series:
    """What a sensor with this trouble gives instead; the first channel bears what is wrong with
    one. Of `replayed` and `picture` see `write_windows`.
    """
    counts = np.frombuffer(series.channels[0].samples, "<i2").copy()
    if trouble == "clipped":
        top = int(np.quantile(np.abs(counts), 0.9))
        counts = np.clip(counts, -top, top)
    elif trouble == "flat":
        counts = counts % 2
    elif trouble == "dropout":
        counts[1000:1200] = counts[1000]
    elif trouble == "wrong-rate":
        return replace(series, rate_hz=RATE_HZ / 2, first_us=series.last_us - 2 * WINDOW_US)
    elif trouble == "gap":
        return replace(series, first_us=series.first_us - 100_000)
    first = replace(series.channels[0], samples=counts.astype("<i2").tobytes())
    return replace(series, channels=(first, *series.channels[1:]))


def write_windows(sensor: Sensor, out: BinaryIO, *, rate: float, count: int = 0) -> None:
    """Windows of the sensor at `rate` a second, each as it was just measured; endless unless
    `count` is given.
    """
    number, due = 0, time.monotonic()
    old: Series | None = None
    while not count or number < count:
        time.sleep(max(0.0, due - time.monotonic()))
        due = max(due + 1 / rate, time.monotonic() - 1)
        now_us = time.time_ns() // 1000
        series = window(sensor, number, now_us)
        if sensor.trouble == "replayed" and old is not None:  # recorded before, dated before
            series = replace(old, last_us=old.last_us + 1)
        old = old or series
        data = marshal_series(troubled(series, sensor.trouble))
        if sensor.trouble == "picture":
            data = b"\x89PNG\r\n\x1a\n" + data[8:]
        write_window(out, sensor, number + 1, data, now_us // 1000)
        number += 1


def write_window(out: BinaryIO, sensor: Sensor, sequence: int, data: bytes, at_ms: int) -> None:
    """One `captured` record with its payload."""
    head = Captured(
        part=f"{part_type(sensor.motor)}-{sequence:05d}",
        part_type=part_type(sensor.motor),
        trigger_sequence=sequence,
        captured_at_ms=at_ms,
        uncertainty_ms=UNCERTAINTY_MS,
        encoding=ENCODING_SERIES,
        width=SAMPLES,
        height=len(CHANNELS),
        mask_version=0,
        mask_sha256=b"",
        size=len(data),
    ).marshal()
    out.write(struct.pack(">I", len(head)) + head + data)
    out.flush()


def golden(motor: int, shaft_hz: float = 29.0) -> bytes:
    """A window of the motor when it was known to be sound, for the gateway's --golden folder."""
    rng = np.random.default_rng([0xBA, motor])
    drawn = draw(Motor.drawn(motor), State(shaft_hz), rng)
    return marshal_series(as_series(drawn, shaft_hz, WINDOW_US))


def write_golden_windows(folder: Path, motors: list[int]) -> None:
    """Baselines as files TYPE.series."""
    folder.mkdir(parents=True, exist_ok=True)
    for motor in motors:
        (folder / f"{part_type(motor)}.series").write_bytes(golden(motor))
