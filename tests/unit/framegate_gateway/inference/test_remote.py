"""N122, N145: which model server is asked, and what it answers is input."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from framegate.errors import Reason, Refused, Unavailable
from framegate_gateway.inference import remote
from framegate_gateway.inference.recipe import Recipe
from framegate_gateway.inference.remote import (
    DIGEST_DIGITS,
    MAX_VERSIONS,
    Backend,
    UnattestedModel,
)
from framegate_proto.v1 import open_inference_pb2 as oip

HERE = Path("none")
DIGEST = bytes(range(1, 33))
RECIPE = Recipe("boards", 1, ("short", "open", "spur"), 0.5, 32)
SHAPE = [1, 2, 64, 96]
HEAT, GEOMETRY = [1, 3, 8, 12], [1, 4, 8, 12]


def answer(*outputs, raw: list[bytes] | None = None) -> oip.ModelInferResponse:
    response = oip.ModelInferResponse()
    for name, shape, values, kind in outputs:
        tensor = response.outputs.add(name=name, datatype=kind, shape=shape)
        tensor.contents.fp32_contents.extend(values)
    response.raw_output_contents.extend(raw or [])
    return response


def tensor(name: str, shape: list[int], *, kind: str = "FP32", raw: bool = True):
    return name, shape, [] if raw else [0.5] * int(np.prod(shape)), kind


def sizes(*shapes: list[int]) -> list[bytes]:
    return [bytes(4 * int(np.prod(shape))) for shape in shapes]


async def inferred(monkeypatch, response):
    class Stub:
        async def ModelInfer(self, request, **_):
            return response

    model = UnattestedModel(Backend("127.0.0.1:1", "m", "n", HERE, HERE, HERE))
    monkeypatch.setattr(model, "_stub", Stub)
    return await model.infer(RECIPE, SHAPE, b"")


async def test_two_tensors_of_the_right_shape_are_taken(monkeypatch):
    heat, geometry = tensor("heat", HEAT), tensor("geometry", GEOMETRY)
    said = await inferred(monkeypatch, answer(heat, geometry, raw=sizes(HEAT, GEOMETRY)))
    assert said.shapes == [HEAT, GEOMETRY] and len(said.body) == 4 * 8 * 12 * 7
    # in the other order, and as numbers
    outputs = tensor("geometry", GEOMETRY, raw=False), tensor("heat", HEAT, raw=False)
    said = await inferred(monkeypatch, answer(*outputs))
    assert said.shapes == [HEAT, GEOMETRY] and len(said.body) == 4 * 8 * 12 * 7


GOOD = tensor("heat", HEAT), tensor("geometry", GEOMETRY)
BAD = {
    "nothing": answer(),
    "one output": answer(GOOD[0], raw=sizes(HEAT)),
    "an output twice": answer(*GOOD, GOOD[0], raw=sizes(HEAT, GEOMETRY, HEAT)),
    "an output more": answer(*GOOD, tensor("x", HEAT), raw=sizes(HEAT, GEOMETRY, HEAT)),
    "a name of its own": answer(GOOD[0], tensor("\x1b[2J", GEOMETRY), raw=sizes(HEAT, GEOMETRY)),
    "another type": answer(tensor("heat", HEAT, kind="INT64"), GOOD[1], raw=sizes(HEAT, GEOMETRY)),
    "a class more": answer(
        tensor("heat", [1, 4, 8, 12]), GOOD[1], raw=sizes([1, 4, 8, 12], GEOMETRY)
    ),
    "sides changed": answer(tensor("heat", [1, 3, 12, 8]), GOOD[1], raw=sizes(HEAT, GEOMETRY)),
    "a negative side": answer(tensor("heat", [1, 3, -8, -12]), GOOD[1], raw=sizes(HEAT, GEOMETRY)),
    "a huge side": answer(tensor("heat", [1, 3, 2**40, 12]), GOOD[1], raw=sizes(HEAT, GEOMETRY)),
    "too few bytes": answer(*GOOD, raw=[b"", *sizes(GEOMETRY)]),
    "too many bytes": answer(*GOOD, raw=[*sizes(HEAT), bytes(4 * 8 * 12 * 4 + 1)]),
    "raw for one alone": answer(*GOOD, raw=sizes(HEAT)),
    "raw and numbers": answer(tensor("heat", HEAT, raw=False), GOOD[1], raw=sizes(HEAT, GEOMETRY)),
}


@pytest.mark.parametrize("case", BAD)
async def test_n145_another_answer_is_none(monkeypatch, case):
    with pytest.raises(Unavailable) as caught:
        await inferred(monkeypatch, BAD[case])
    assert caught.value.reason == Reason.INFERENCE
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("versions", "name", "named"),
    [
        ([DIGEST.hex()], "n", True),
        ([DIGEST.hex()[:DIGEST_DIGITS]], "n", True),
        ([], f"n-{DIGEST.hex()[:DIGEST_DIGITS]}", True),
        ([DIGEST.hex()[: DIGEST_DIGITS - 1]], "n", False),
        (["1", ""], "n", False),
        ([DIGEST.hex()[1:]], "n", False),
        ([DIGEST.hex() + "0"], "n", False),
        ([], "n", False),
        (["0"] * MAX_VERSIONS + [DIGEST.hex()], "n", False),
    ],
)
async def test_n122_a_server_that_does_not_name_the_bundles_digest_is_not_asked(
    monkeypatch, versions, name, named
):
    class Stub:
        async def ModelReady(self, request, **_):
            return oip.ModelReadyResponse(ready=True)

        async def ModelMetadata(self, request, **_):
            return oip.ModelMetadataResponse(name=name, versions=versions)

    model = UnattestedModel(Backend("127.0.0.1:1", "m", "n", HERE, HERE, HERE))
    monkeypatch.setattr(model, "_stub", Stub)
    monkeypatch.setattr(model, "_opened", lambda: None)
    bundle = SimpleNamespace(digest=DIGEST)
    if named:
        await model.open(bundle)
        return
    with pytest.raises(Refused) as caught:
        await model.open(bundle)
    assert caught.value.reason == Reason.MODEL


class Channels:
    """Channels that were opened, each with the root that it was opened with, and closed ones."""

    def __init__(self, monkeypatch) -> None:
        self.opened, self.closed = [], []
        monkeypatch.setattr(remote.grpc, "ssl_channel_credentials", lambda root, *_: root)
        monkeypatch.setattr(remote.grpc.aio, "secure_channel", self.open)

    def open(self, _address, root, **_how):
        async def close():
            self.closed.append(root)

        self.opened.append(root)
        return SimpleNamespace(close=close, root=root)


@pytest.fixture
def tls(tmp_path):
    """A folder with root, certificate and key, and the server that it is for."""
    for name in ("root", "certificate", "key"):
        (tmp_path / f"{name}.pem").write_bytes(name.encode())
    files = (tmp_path / f"{name}.pem" for name in ("root", "certificate", "key"))
    return tmp_path, Backend("127.0.0.1:1", "m", "n", *files)


def replaced(path, data: bytes) -> None:
    """As whoever renews it does: another file in its place."""
    beside = path.with_name("beside")
    beside.write_bytes(data)
    beside.replace(path)


async def test_a_connection_goes_on_while_its_files_are_the_same(tls, monkeypatch):
    channels, model = Channels(monkeypatch), UnattestedModel(tls[1])
    model._channel = model._opened()
    for _ in range(3):
        await model._asking(oip.ModelInferRequest(), b"")
    assert channels.opened == [b"root"] and not channels.closed


@pytest.mark.parametrize("name", ["root", "certificate", "key"])
async def test_another_file_is_another_connection(tls, monkeypatch, name):
    channels, model = Channels(monkeypatch), UnattestedModel(tls[1])
    model._channel = model._opened()
    replaced(tls[0] / f"{name}.pem", b"other")
    await model._asking(oip.ModelInferRequest(), b"")
    assert len(channels.opened) == 2 and channels.closed == [b"root"]
    await model._asking(oip.ModelInferRequest(), b"")
    assert len(channels.opened) == 2, "once"


async def test_where_the_root_was_taken_away_nothing_is_asked_until_there_is_one(tls, monkeypatch):
    channels, model = Channels(monkeypatch), UnattestedModel(tls[1])
    model._channel = model._opened()
    (tls[0] / "root.pem").unlink()
    for _ in range(2):
        with pytest.raises(Unavailable):
            await model._asking(oip.ModelInferRequest(), b"")
        assert channels.closed == [b"root"] and model._channel is None
    (tls[0] / "root.pem").write_bytes(b"other")
    await model._asking(oip.ModelInferRequest(), b"")
    assert channels.opened == [b"root", b"other"]
