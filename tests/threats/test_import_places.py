"""N104: weights of a foreign network that lie outside its file, wherever in it they stand."""

import onnx
import pytest
from onnx import TensorProto, helper

from framegate.errors import Malformed
from framegate_models.foreign_graph import read_graph


def outside(name: str, place: str) -> TensorProto:
    """One float that lies in another file."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[1])
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", place), ("offset", "0"), ("length", "4")):
        tensor.external_data.add(key=key, value=value)
    return tensor


def network(constant: str):
    """y = x + weight + constant, both outside of the file."""
    value = helper.make_tensor_value_info
    nodes = [
        helper.make_node("Constant", [], ["c"], value=outside("c", constant)),
        helper.make_node("Add", ["x", "w"], ["s"]),
        helper.make_node("Add", ["s", "c"], ["y"]),
    ]
    shape = [1]
    graph = helper.make_graph(
        nodes,
        "g",
        [value("x", TensorProto.FLOAT, shape)],
        [value("y", TensorProto.FLOAT, shape)],
        [outside("w", "weights.bin")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])


@pytest.mark.parametrize("place", ["../secret", "/etc/hostname", "link", "folder", "", "fifo/x"])
def test_n104_a_constants_place_is_looked_at_like_a_weights(tmp_path, place):
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(b"\0" * 4)
    (folder / "weights.bin").write_bytes(b"\0" * 4)
    (folder / "folder").mkdir()
    (folder / "link").symlink_to(tmp_path / "secret")
    onnx.save_model(network(place), folder / "m.onnx")
    with pytest.raises(Malformed):
        read_graph(folder / "m.onnx")


def test_n104_weights_and_constants_beside_the_file_come_along(tmp_path):
    (tmp_path / "weights.bin").write_bytes(b"\0" * 4)
    (tmp_path / "constant.bin").write_bytes(b"\0" * 4)
    onnx.save_model(network("constant.bin"), tmp_path / "m.onnx")
    assert read_graph(tmp_path / "m.onnx").changes
