"""Payloads that are no pictures, through the engine and its confined child."""

import os
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from framegate.errors import Reason, Refused
from framegate.payload.contract import FIRST_OWN
from framegate.payload.series.form import marshal_series
from framegate_gateway.inference.inspection import Inspection
from framegate_gateway.inference.jobs import CameraFrame, Taken
from framegate_gateway.inference.parts import Part
from framegate_simulators.vibration.machine_signal import FAULTS
from framegate_simulators.vibration.sensor import troubled
from support.payload_record.form import marshal_record
from support.payloads import (
    COLUMNS,
    USUAL,
    Windows,
    motor_bundle,
    motor_part,
    record_bundle,
    running,
)

pytestmark = pytest.mark.slow  # the child and its network are real


async def test_a_sound_motor_passes_each_fault_is_named_and_a_bad_sensor_is_no_pass():
    async with running(motor_bundle(), motor_part()) as engine:
        windows = Windows(engine)
        said = await windows.inspected(windows.next())
        assert (said.defects, said.inspected_percent) == ((), 100)
        for fault in FAULTS:
            (defect,) = (await windows.inspected(windows.next(fault))).defects
            assert defect["kind"] == fault
            x1, y1, x2, y2 = defect["box"]
            assert (x1, x2, y2 - y1) == (0, 4096, 1), "the whole window, of one channel"
        for trouble, reason in {
            "clipped": Reason.SERIES_CLIPPED,
            "flat": Reason.SERIES_FLAT,
            "dropout": Reason.SERIES_DROPOUT,
            "wrong-rate": Reason.SERIES_RATE,
            "gap": Reason.SERIES_GAP,
        }.items():
            with pytest.raises(Refused) as caught:
                await windows.inspected(troubled(windows.next(), trouble))
            assert caught.value.reason == reason
        assert await engine.prove() == 8, "known answers, as they are and varied"
        window = marshal_series(windows.next("inner-race"))
        picture = await engine.picture(window, 3, (defect,), ["a line"])
        assert cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR) is not None


async def test_thresholds_of_a_part_count_and_rules_of_pictures_are_refused():
    strict = motor_part(thresholds={"imbalance": 0.95})
    async with running(motor_bundle(), strict) as engine:
        windows = Windows(engine)
        assert (await windows.inspected(windows.next("imbalance", 0.9))).defects
    regions = motor_part(ignore=(((0.0, 0.0), (0.1, 0.0), (0.1, 0.1)),))
    async with running(motor_bundle(), regions) as engine:
        windows = Windows(engine)
        with pytest.raises(Refused) as caught:
            await windows.inspected(windows.next())
        assert caught.value.reason == Reason.PART


async def _record(engine, masked=(), **columns) -> Inspection:
    now = Taken(1, time.time_ns() // 1_000_000, 50)
    data = marshal_record(dict.fromkeys(COLUMNS, 10.0) | columns)
    return await engine.inspect(CameraFrame("till", "shop", data, FIRST_OWN, 3, 1, masked, now))


async def test_a_third_kind_is_one_folder_and_no_change_here(monkeypatch):
    tests = str(Path(__file__).parents[3])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([tests, os.environ.get("PYTHONPATH", "")]))
    async with running(record_bundle(), Part("shop", (USUAL,))) as engine:
        assert (await _record(engine)).defects == ()
        (defect,) = (await _record(engine, amount=200.0)).defects
        assert (defect["kind"], defect["box"]) == ("fraud", [0.0, 0.0, 1.0, 1.0])
        masked = await _record(engine, ("distance",), distance=0)
        assert masked.inspected_percent == 66
        with pytest.raises(Refused) as caught:
            await _record(engine, ("distance",), distance=5)
        assert caught.value.reason == Reason.MASK
        with pytest.raises(Refused) as caught:
            await _record(engine, ("distance", "amount"), distance=0, amount=0)
        assert caught.value.reason == Reason.INSPECTED_SHARE
