"""N200 to N202: windows that are none, or old, and masks that leave too little, before a running
inference child in its cage; one kind passed off as another, before the floor's own gateway.
"""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Sequence
from dataclasses import dataclass

from framegate.errors import FramegateError
from framegate.payload.kinds import BUILT_IN
from framegate.payload.series.form import ENCODING_SERIES, marshal_series
from framegate_agent.camera.capture import mask_line
from framegate_agent.camera.masking import Masker
from framegate_agent.camera.sealing import Sealer
from framegate_agent.camera.sources import relay
from framegate_gateway.inference.bundle import load_bundle
from framegate_gateway.inference.engine import Engine
from framegate_gateway.inference.jobs import CameraFrame, Taken
from framegate_gateway.inference.parts import Part
from framegate_simulators.attack.floor import Floor
from framegate_simulators.attack.frames import FloorCamera
from framegate_simulators.attack.looks import OnePart
from framegate_simulators.attack.target import Seen, Target, attempt
from framegate_simulators.vibration.machine_signal import CHANNELS, SAMPLES
from framegate_simulators.vibration.sensor import (
    Sensor,
    golden,
    part_type,
    window,
    write_window,
)
from framegate_simulators.vibration.train import SHIPPED

MOTOR = 1
FAULTY = Sensor(MOTOR, fault="outer-race")


@dataclass(frozen=True, slots=True)
class _Sent:
    """A window's bytes, as its sensor sends them."""

    data: bytes
    trigger: int
    at_ms: int
    masked: tuple[str, ...] = ()


def _said(windows: Sequence[_Sent]) -> list[str]:
    """What becomes of each, by one child that has the shipped model of motors."""
    return asyncio.run(_inspected(windows))


async def _inspected(windows: Sequence[_Sent]) -> list[str]:
    part = Part(part_type(MOTOR), (golden(MOTOR),))
    engine = Engine(load_bundle(SHIPPED), OnePart(part), threads=1)
    await engine.start()
    serving, said = asyncio.create_task(engine.run()), []
    for sent in windows:
        try:
            inspection = await engine.inspect(_frame(sent))
            said.append("DEFECT" if inspection.defects else "PASS")
        except FramegateError as error:
            said.append(error.reason.value)
    serving.cancel()
    await engine.stop()
    return said


def _frame(sent: _Sent) -> CameraFrame:
    return CameraFrame(
        "sensor",
        part_type(MOTOR),
        sent.data,
        ENCODING_SERIES,
        SAMPLES,
        len(CHANNELS),
        sent.masked,
        Taken(sent.trigger, sent.at_ms, 50),
    )


@attempt("N200", "bytes that are no series, and a sound window again once the motor is damaged")
def n200(_target: Target) -> Seen:
    now_us = time.time_ns() // 1000
    sound = marshal_series(window(Sensor(MOTOR), 1, now_us))
    worn = marshal_series(window(FAULTY, 2, now_us + 10**6))
    at_ms = now_us // 1000
    said = _said(
        [
            _Sent(sound[:-2], 1, at_ms),
            _Sent(sound, 1, at_ms),
            _Sent(worn, 2, at_ms + 1000),
            _Sent(sound, 3, at_ms),
            _Sent(sound, 3, at_ms + 60_000),
        ]
    )
    wanted = ["payload", "PASS", "DEFECT", "payload-replayed", "payload-replayed"]
    return Seen(said == wanted, ", ".join(said))


@attempt("N201", "masks that leave one channel of three, and a channel that only says it is masked")
def n201(_target: Target) -> Seen:
    now_us = time.time_ns() // 1000
    one, two = ("current",), ("current", "vibration-y")
    sent = []
    for number, (done, told) in enumerate([(one, one), (two, two), ((), one)], start=1):
        data = marshal_series(window(FAULTY, number, now_us + number * 10**6))
        sent.append(_Sent(_sealed(data, done), number, now_us // 1000 + number * 1000, told))
    said = _said(sent)
    return Seen(said == ["DEFECT", "inspected-share", "mask"], ", ".join(said))


def _sealed(data: bytes, channels: tuple[str, ...]) -> bytes:
    """What an agent seals of a window under masks of these channels."""
    return _relayed(data, mask_line(1, bytes(32), (), channels))[-len(data) :]


def _relayed(data: bytes, masks: bytes) -> bytes:
    masker, given, out = Masker(), io.BytesIO(), io.BytesIO()
    masker.take(masks)
    write_window(given, Sensor(MOTOR), 1, data, time.time_ns() // 1_000_000)
    given.seek(0)
    relay(given, out, Sealer(masker, BUILT_IN))
    return out.getvalue()


@attempt(
    "N202",
    "a picture that calls itself a series, past a mask of pictures and before a model of pictures",
    control="frame",
)
def n202(t: Target) -> Seen:
    corner = ((0.0, 0.0), (0.2, 0.0), (0.2, 0.2))
    left = _relayed(golden(MOTOR), mask_line(1, bytes(32), (corner,)))
    floor = t.once(Floor)
    with floor.conversation() as talk:
        camera = FloorCamera(floor, talk)
        now = time.time_ns() // 1_000_000
        as_series = camera.gets(
            encoding=ENCODING_SERIES, width=SAMPLES, height=len(CHANNELS), captured_at_ms=now
        )
        seen = [as_series, camera.gets(encoding=200)]
        after = camera.gets()
    said = f"{len(left)} bytes left the sensor; {', '.join(seen)}: each UNINSPECTED; then {after}"
    return Seen(not left and seen == ["payload", "payload"] and after == "PASS", said)
