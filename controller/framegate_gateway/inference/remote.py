"""A model server elsewhere: any server of the Open Inference Protocol over gRPC with mutual TLS.

The inference child decodes hostile images and draws conclusions, as always; only the tensor goes to
the server. What the server runs is checked by the digest its metadata names, and by the known
answers, at the start and on the timer. One that attests nothing is accepted as such, and receipts
say so (N122); one that is attested signs what it answers (`attested_model`).
"""

from __future__ import annotations

import asyncio
import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc

from framegate.errors import FramegateError, Reason, Refused, Unavailable
from framegate.signed.inference import NamedTensor
from framegate.signed.receipt import BackendResult
from framegate_gateway.inference.bundle import Bundle
from framegate_gateway.inference.engine import ChildTold, Engine, nobody
from framegate_gateway.inference.layouts import Kind
from framegate_gateway.inference.parts import Parts
from framegate_gateway.inference.recipe import BYTES_OF, Recipe, Tensor
from framegate_proto.v1 import open_inference_pb2 as oip
from framegate_proto.v1 import open_inference_pb2_grpc as oip_rpc

INFER_TIMEOUT_S: Final = 5.0
MAX_TENSOR_BYTES: Final = 256 * 1024 * 1024
OPTIONS: Final = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_receive_message_length", MAX_TENSOR_BYTES),
    ("grpc.max_send_message_length", MAX_TENSOR_BYTES),
    ("grpc.use_local_subchannel_pool", 1),
)
DIGEST_DIGITS: Final = 16
"""Digits of the bundle's digest that a server's model name or version must show."""
MAX_VERSIONS: Final = 1000
"""Versions of one model that a server may name."""
STRIDE_PX: Final = 8
"""Pixels of a pair for a cell of either output."""
GEOMETRY: Final = 4
_DATATYPES: Final = {"float32": "FP32", "uint8": "UINT8", "int64": "INT64", "int32": "INT32"}
_CONTENTS: Final = {
    "float32": "fp32_contents",
    "int64": "int64_contents",
    "int32": "int_contents",
}
_CODES: Final = {"float32": "f", "int64": "q", "int32": "i"}
"""Of `array`, whose sizes are these on every machine that Linux runs Python on."""


@dataclass(frozen=True, slots=True)
class Outputs:
    """A server's outputs, in the recipe's order: their shapes, and their bytes one after the
    other; and what an attested one signed.
    """

    shapes: list[list[int]]
    body: bytes
    proof: BackendResult | None = None


@dataclass(frozen=True, slots=True)
class Backend:
    """Where the server is (`host:port`), the model's name there, the certificate name it must have,
    and PEM files: its root, our certificate, our key.
    """

    address: str
    model: str
    server_name: str
    root: Path
    certificate: Path
    key: Path


class RemoteModel:
    """One model, by its name on the server at `address`."""

    def __init__(self, address: str, model: str) -> None:
        self._address, self._model = address, model
        self._channel: grpc.aio.Channel | None = None

    async def open(self, bundle: Bundle) -> None:
        """Connect. The server must be ready, and name the bundle's digest as the model's version or
        in its name. Raises Unavailable or Refused (MODEL).
        """
        await self.close()
        self._channel = self._opened()
        stub, name = self._stub(), self._model
        if not (
            await self._call(
                stub.ModelReady(oip.ModelReadyRequest(name=name), timeout=INFER_TIMEOUT_S)
            )
        ).ready:
            raise Unavailable.of(
                Reason.MODEL, f"the model {name} ready at {self._address}", "not ready"
            )
        model = await self._call(
            stub.ModelMetadata(oip.ModelMetadataRequest(name=name), timeout=INFER_TIMEOUT_S)
        )
        digest = bundle.digest.hex()
        named = [
            v
            for v in (*model.versions[:MAX_VERSIONS], *model.name.split("-"))
            if len(v) >= DIGEST_DIGITS and digest.startswith(v)
        ]
        if not named:
            versions = ", ".join(model.versions)[:200] or "none"
            raise Refused.of(
                Reason.MODEL,
                f"version {digest[:DIGEST_DIGITS]}… of {name}",
                ascii(versions),
                "deploy the approved bundle's model there, its digest as version",
            )

    async def infer(
        self, recipe: Recipe, shape: list[int], tensor: bytes, frame: bytes = b""
    ) -> Outputs:
        """What the network of `recipe` says to one input of this shape, made of the encoded
        `frame`; empty for a known answer's.

        1. the answer has exactly the outputs that were asked for, each once;
        2. each is of the recipe's type and of a shape that it may have for this input;
        3. each has as many bytes as its shape, raw or as numbers, not both;
        4. an attested server signed exactly that.

        That the numbers are finite, the inference child checks. Raises Unavailable (INFERENCE,
        BACKEND).
        """
        wanted = _wanted(recipe, shape)
        request = oip.ModelInferRequest(model_name=self._model)
        _add_inputs(request, recipe, shape, tensor)
        for one in wanted:
            request.outputs.add(name=one.name)
        await self._asking(request, frame)
        answer = await self._call(self._stub().ModelInfer(request, timeout=INFER_TIMEOUT_S))
        names = sorted(output.name for output in answer.outputs)
        raws = answer.raw_output_contents
        if names != sorted(one.name for one in wanted) or len(raws) not in {0, len(wanted)}:  # 1
            raise Unavailable.of(
                Reason.INFERENCE,
                f"the outputs {', '.join(one.name for one in wanted)}",
                ascii(", ".join(names))[:100] if names else "none",
            )
        by_name = {output.name: number for number, output in enumerate(answer.outputs)}
        tensors: list[NamedTensor] = []
        for place, one in enumerate(wanted):
            number = by_name[one.name]
            output = answer.outputs[number]
            sides = tuple(output.shape)
            values = getattr(output.contents, _CONTENTS[one.type])
            size = len(raws[number]) if raws else BYTES_OF[one.type] * len(values)
            if (
                output.datatype != _DATATYPES[one.type]  # 2
                or not _may_be(recipe, place, one, sides)
                or size != BYTES_OF[one.type] * math.prod(sides)  # 3
                or (raws and len(values))
            ):
                raise Unavailable.of(
                    Reason.INFERENCE,
                    f"{one.name} as {_DATATYPES[one.type]} of {list(one.shape)}",
                    f"{ascii(output.datatype)[:20]} {list(sides[:6])}, {size} bytes",
                )
            body = raws[number] if raws else array(_CODES[one.type], values).tobytes()
            tensors.append(NamedTensor(one.name, output.datatype, sides, body))
        proof = self._proof(request, answer, tensors)  # 4
        return Outputs([list(t.shape) for t in tensors], b"".join(t.body for t in tensors), proof)

    def _opened(self) -> grpc.aio.Channel:
        raise Unavailable.of(Reason.INFERENCE, "a way to the backend", "none")

    async def _asking(self, request: oip.ModelInferRequest, frame: bytes) -> None:
        """Just before a request is sent."""

    def _proof(
        self,
        request: oip.ModelInferRequest,
        answer: oip.ModelInferResponse,
        outputs: Sequence[NamedTensor],
    ) -> BackendResult | None:
        """What the server signed of an answer whose outputs were looked at."""
        return None

    async def close(self) -> None:
        """End the connection."""
        if self._channel is not None:
            await self._channel.close()
            self._channel = None

    def _stub(self) -> Any:
        if self._channel is None:
            raise Unavailable.of(Reason.INFERENCE, "a connection to the backend", "none")
        return oip_rpc.GRPCInferenceServiceStub(self._channel)

    async def _call(self, call: Any) -> Any:
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            what = f"{error.code().name}: {error.details()!a}"[:200]
            raise Unavailable.of(
                Reason.INFERENCE,
                f"an answer of the backend {self._address}",
                what,
                "is it running, and does it know our certificate?",
            ) from error


class UnattestedModel(RemoteModel):
    """One model of a server that proves nothing of itself. A connection is made anew where its
    root, our certificate or our key is another file than it was made with: whoever replaces the
    root believes the server of before no longer.
    """

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend.address, backend.model)
        self._backend = backend
        self._with: tuple[tuple[int, ...], ...] = ()
        self._lost = False

    async def _asking(self, request: oip.ModelInferRequest, frame: bytes) -> None:
        same = self._channel is None or self._with == self._files()
        if same and not self._lost:
            return
        await self.close()
        self._lost = True  # and stays so while they cannot be read
        self._channel = self._opened()
        self._lost = False

    def _files(self) -> tuple[tuple[int, ...], ...]:
        """What tells the three files from others, unread; nothing where one is not there."""
        b = self._backend
        try:
            seen = [path.stat() for path in (b.root, b.certificate, b.key)]
        except OSError:
            return ()
        return tuple((s.st_ino, s.st_size, s.st_mtime_ns) for s in seen)

    def _opened(self) -> grpc.aio.Channel:
        b, self._with = self._backend, self._files()
        try:
            credentials = grpc.ssl_channel_credentials(
                b.root.read_bytes(), b.key.read_bytes(), b.certificate.read_bytes()
            )
        except OSError as error:
            raise Unavailable.of(
                Reason.UNAVAILABLE, "the backend's root, our certificate and key", error
            ) from error
        name = ("grpc.ssl_target_name_override", b.server_name)
        return grpc.aio.secure_channel(b.address, credentials, options=(name, *OPTIONS))


def _wanted(recipe: Recipe, shape: list[int]) -> tuple[Tensor, ...]:
    if recipe.kind != Kind.PAIR:
        return recipe.picture_output.tensors
    cells = [side // STRIDE_PX for side in shape[2:]]
    heat, geometry = ((shape[0], channels, *cells) for channels in (len(recipe.classes), GEOMETRY))
    return Tensor("heat", heat), Tensor("geometry", geometry)


def _may_be(recipe: Recipe, place: int, wanted: Tensor, sides: tuple[int, ...]) -> bool:
    if recipe.kind == Kind.PAIR:
        return sides == wanted.shape
    return recipe.takes_output(place, sides)


def _add_inputs(
    request: oip.ModelInferRequest, recipe: Recipe, shape: list[int], tensor: bytes
) -> None:
    name, kind, sizes = "pair", "float32", ""
    if recipe.kind != Kind.PAIR:
        given = recipe.picture_input
        name, kind, sizes = given.name, given.type, given.sizes
    request.inputs.add(name=name, datatype=_DATATYPES[kind], shape=shape)
    request.raw_input_contents.append(tensor)
    if sizes:
        request.inputs.add(name=sizes, datatype="INT64", shape=[1, 2])
        height, width = recipe.picture_input.height, recipe.picture_input.width
        request.raw_input_contents.append(array("q", (height, width)).tobytes())


_BEHIND: Final = ("golden_sha256", "inspected", "limits")
"""What is known of a frame from when it was prepared."""


class RemoteEngine(Engine):
    """An engine whose network runs on a server; decoding, the gate, registration and boxes stay in
    the child.
    """

    def __init__(
        self,
        bundle: Bundle,
        parts: Parts,
        threads: int,
        model: RemoteModel,
        *,
        unconfined: bool = False,
        told: ChildTold = nobody,
    ) -> None:
        super().__init__(bundle, parts, threads, remote=True, unconfined=unconfined, told=told)
        self._remote = model

    async def start(self) -> None:
        """Start the child, connect, and have the server give the known answers. Raises as
        `Engine.start`, and Unavailable where the server does not answer.
        """
        await super().start()
        reading = asyncio.gather(self._send_jobs(), self._read_answers())  # until `run` serves
        try:
            await self._remote.open(self.bundle)
            self.known_answers = await self.prove()
        except FramegateError:
            await self.stop()
            raise
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def stop(self) -> None:
        """End the child and the connection."""
        await super().stop()
        await self._remote.close()

    async def _inspected(self, device: str, head: dict[str, Any], image: bytes) -> dict[str, Any]:
        prepared, pair = await self._submit(device, {**head, "kind": "prepare"}, image)
        if "failed" in prepared:
            return prepared
        said = await self._remote.infer(self.bundle.recipe, prepared["shape"], pair, image)
        sides = {side: head[side] for side in ("width", "height")}
        finished, _ = await self._submit(
            device,
            {"kind": "finish", "of": prepared["id"], **sides, "shapes": said.shapes},
            said.body,
        )
        behind = {name: prepared[name] for name in _BEHIND}
        return {**finished, **behind, "backend": said.proof}

    async def _known_answer(self, number: int) -> dict[str, Any]:
        """As it is, then moved, by way of the server."""
        answer: dict[str, Any] = {}
        for moved in (False, True):
            asked = {"number": number, "moved": moved}
            prepared, tensor = await self._submit("", {"kind": "known-pair", **asked}, b"")
            if "failed" in prepared:
                return prepared
            said = await self._remote.infer(self.bundle.recipe, prepared["shape"], tensor)
            question = {"kind": "known-check", **asked, "shapes": said.shapes}
            answer, _ = await self._submit("", question, said.body)
            if "failed" in answer:
                return answer
        return answer
