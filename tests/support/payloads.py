"""Engines, parts and bundles of payloads that are no pictures."""

import asyncio
import json
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from framegate.payload.kinds import Kinds
from framegate.payload.series.form import ENCODING_SERIES, marshal_series
from framegate.wire import sha256
from framegate_gateway.inference.bundle import load_bundle, parse_bundle
from framegate_gateway.inference.engine import Engine
from framegate_gateway.inference.jobs import CameraFrame, Taken
from framegate_gateway.inference.parts import Part
from framegate_simulators.vibration.machine_signal import CHANNELS, SAMPLES
from framegate_simulators.vibration.sensor import Sensor, golden, window
from framegate_simulators.vibration.train import SHIPPED
from support.payload_record.form import marshal_record
from support.payload_record.kind import KIND

SECOND_US = 1_000_000


@dataclass
class OnePart:
    """A part as the engine asks for parts."""

    part: Part

    def __contains__(self, part_type):
        return part_type == self.part.part_type

    def key(self, _part_type):
        return "one"

    def get(self, _part_type):
        return self.part


@asynccontextmanager
async def running(bundle, part):
    """An engine with its confined child."""
    engine = Engine(bundle, OnePart(part), threads=1)
    await engine.start()
    serving = asyncio.create_task(engine.run())
    try:
        yield engine
    finally:
        serving.cancel()
        await engine.stop()


def motor_bundle():
    return load_bundle(SHIPPED)


def motor_part(**rules):
    return Part("motor-1", (golden(1),), **rules)


class Windows:
    """Windows of a drawn motor, one after the other, as an engine takes them."""

    def __init__(self, engine, motor=1):
        self.engine, self.motor, self.number = engine, motor, 0
        self.last_us = time.time_ns() // 1000

    def next(self, fault="healthy", severity=0.7):
        self.number += 1
        self.last_us += SECOND_US
        return window(Sensor(self.motor, fault=fault, severity=severity), self.number, self.last_us)

    async def said(self, data, masked=(), **taken):
        """What becomes of a window's bytes: an Inspection; raises what the engine raises."""
        facts = {
            "trigger_sequence": self.number,
            "captured_at_ms": self.last_us // 1000,
            "uncertainty_ms": 50,
        }
        when, sides = Taken(**(facts | taken)), (SAMPLES, len(CHANNELS))
        frame = CameraFrame("cam", "motor-1", data, ENCODING_SERIES, *sides, masked, when)
        return await self.engine.inspect(frame)

    async def inspected(self, series, masked=(), **taken):
        return await self.said(marshal_series(series), masked, **taken)


COLUMNS = ("amount", "per-hour", "distance")
USUAL = marshal_record(dict.fromkeys(COLUMNS, 10.0))


def record_bundle():
    """A bundle of the double: fraud where a column is far above its usual."""
    weights = np.array([[-2.0, 2.0]] * len(COLUMNS), np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["row", "weights", "bias"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["scores"], axis=1),
        ],
        "fraud",
        [helper.make_tensor_value_info("row", TensorProto.FLOAT, [1, len(COLUMNS)])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 2])],
        [
            numpy_helper.from_array(weights, "weights"),
            numpy_helper.from_array(np.array([10.0, -10.0], np.float32), "bias"),
        ],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    proto.ir_version = 8
    model = proto.SerializeToString()
    recipe = {
        "name": "fraud",
        "version": 1,
        "payload": "record",
        "classes": ["usual", "fraud"],
        "good": ["usual"],
        "threshold": 0.5,
        "calibration": [1.0, 0.0],
        "model_sha256": sha256(model).hex(),
        "input": {"name": "row", "values": len(COLUMNS), "columns": list(COLUMNS)},
        "output": {"name": "scores", "activation": "none"},
    }
    files, answers = {"model.onnx": model, "recipe.json": json.dumps(recipe).encode()}, []
    for number in range(8):
        columns = dict.fromkeys(COLUMNS, 10.0)
        defects = []
        if number >= 4:
            columns["amount"] = 100.0
            defects = [{"kind": "fraud", "score": 1.0, "box": [0.0, 0.0, 1.0, 1.0]}]
        files[f"known/{number:02d}_test.bin"] = marshal_record(columns)
        files[f"known/{number:02d}_temp.bin"] = USUAL
        answers.append({"name": f"{number:02d}", "defects": defects})
    files["known-answers.json"] = json.dumps(answers).encode()
    return parse_bundle(files, kinds=Kinds([KIND]))
