"""N104, N105: graphs that no runtime gets to see, and models that answer otherwise."""

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from framegate.errors import Malformed, Reason, Refused
from framegate.wire import sha256
from framegate_gateway.inference.bundle import (
    DEFAULT_BUNDLE,
    MIN_KNOWN,
    load_bundle,
    parse_bundle,
    read_bundle_files,
)
from framegate_gateway.inference.engine import Engine
from framegate_gateway.inference.graph import verify_graph
from framegate_gateway.inference.parts import GoldenImages
from framegate_simulators.fixtures.networks import network, value

# ---------------------------------------------------------------- graphs


def external() -> bytes:
    model = onnx.load_model_from_string(network())
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../../etc/shadow"
    return model.SerializeToString()


def with_nan() -> bytes:
    weights = np.zeros((6, 2, 8, 8), np.float32)
    weights[3, 1, 2, 2] = np.nan
    return network(
        initializers=[
            numpy_helper.from_array(weights, "wh"),
            numpy_helper.from_array(np.zeros((4, 2, 8, 8), np.float32), "wg"),
        ]
    )


def hidden_in_a_branch() -> bytes:
    evil = helper.make_node("Evil", ["pair"], ["z"], domain="com.mallory")
    branch = helper.make_graph([evil], "b", [], [value("z", 6)])
    conv = [
        helper.make_node("Conv", ["pair", w], [o], kernel_shape=[8, 8], strides=[8, 8])
        for w, o in (("wh", "heat"), ("wg", "geometry"))
    ]
    return network(
        [*conv, helper.make_node("If", ["c"], ["unused"], then_branch=branch, else_branch=branch)]
    )


BAD_GRAPHS = {
    "no-onnx": (b"x" * 100, "an ONNX model|nodes"),
    "empty": (b"", "nodes"),
    "name-is-no-text": (network().replace(b"Conv", b"\x80onv"), "names of operators as text"),
    "custom-domain": (
        network(
            [
                helper.make_node("Evil", ["pair"], ["heat"], domain="com.mallory"),
                helper.make_node("Identity", ["pair"], ["geometry"]),
            ],
            domains=(("", 17), ("com.mallory", 1)),
        ),
        "custom operator",
    ),
    "unused-domain": (network(domains=(("", 17), ("com.mallory", 1))), "custom operator"),
    "unknown-operator": (
        network(
            [
                helper.make_node("NoSuchThing", ["pair"], ["heat"]),
                helper.make_node("Identity", ["pair"], ["geometry"]),
            ]
        ),
        "custom operator",
    ),
    "in-a-branch": (hidden_in_a_branch(), "custom operator"),
    "external-data": (external(), r"a path, '../../../etc/shadow'"),
    "nan": (with_nan(), "NaN or infinity"),
    "two-inputs": (network(inputs=[value("pair", 2), value("more", 1)]), "the input pair"),
    "another-input": (network(inputs=[value("image", 2)]), "the input pair"),
    "another-output": (
        network(outputs=[value("heat", 6), value("geometry", 4), value("more", 1)]),
        "the outputs heat",
    ),
    "five-classes": (network(outputs=[value("heat", 5), value("geometry", 4)]), "heat as float32"),
    "doubles": (network(inputs=[value("pair", 2, TensorProto.DOUBLE)]), "pair as float32"),
}


@pytest.mark.parametrize("case", BAD_GRAPHS)
def test_N104_graphs_that_are_refused_by_name(case):
    data, message = BAD_GRAPHS[case]
    with pytest.raises(Malformed, match=message) as caught:
        verify_graph(data, 6)
    assert caught.value.reason == Reason.MODEL_GRAPH


def with_model(model: bytes):
    files, _ = read_bundle_files(DEFAULT_BUNDLE)
    recipe = {**json.loads(files["recipe.json"]), "model_sha256": sha256(model).hex()}
    return parse_bundle({**files, "model.onnx": model, "recipe.json": json.dumps(recipe).encode()})


@pytest.mark.parametrize("case", ["external-data", "custom-domain", "nan", "no-onnx"])
async def test_N104_the_child_refuses_a_bad_graph_before_the_runtime_sees_it(case, tmp_path):
    engine = Engine(with_model(BAD_GRAPHS[case][0]), GoldenImages(()), threads=1)
    with pytest.raises(Refused) as caught:
        await engine.start()
    assert caught.value.reason == Reason.MODEL_GRAPH


async def test_N105_another_model_than_the_one_that_gave_the_known_answers(tmp_path):
    for model in (network(), load_bundle(DEFAULT_BUNDLE).files["model.onnx"]):
        engine = Engine(with_model(model), GoldenImages(()), threads=1)
        if model == load_bundle(DEFAULT_BUNDLE).model:
            await engine.start()
            assert engine.known_answers >= MIN_KNOWN
        else:
            with pytest.raises(Refused) as caught:
                await engine.start()
            assert caught.value.reason == Reason.KNOWN_ANSWER
        await engine.stop()
