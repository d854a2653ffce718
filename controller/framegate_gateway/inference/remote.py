"""A model server elsewhere as the backend: any server of the Open Inference Protocol over gRPC with
mutual TLS.

The inference child decodes hostile images and draws conclusions, as always; only the tensor goes to
the server. What the server runs is checked by the digest its metadata names, and by the known
answers, at the start and on the timer. It attests nothing: receipts say so (N122).
"""

from __future__ import annotations

import asyncio
import math
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc

from framegate.errors import FramegateError, Reason, Refused, Unavailable
from framegate_gateway.inference.answers import FLOAT_BYTES
from framegate_gateway.inference.bundle import Bundle
from framegate_gateway.inference.engine import ChildTold, Engine, nobody
from framegate_gateway.inference.parts import Parts
from framegate_proto.v1 import open_inference_pb2 as oip
from framegate_proto.v1 import open_inference_pb2_grpc as oip_rpc

INFER_TIMEOUT_S: Final = 5.0
MAX_TENSOR_BYTES: Final = 256 * 1024 * 1024
DIGEST_DIGITS: Final = 16
"""Digits of the bundle's digest that a server's model name or version must show."""
MAX_VERSIONS: Final = 1000
"""Versions of one model that a server may name."""
OUTPUTS: Final = ("heat", "geometry")
STRIDE_PX: Final = 8
"""Pixels of the input for a cell of either output."""


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
    """One model of one server."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._channel: grpc.aio.Channel | None = None

    async def open(self, bundle: Bundle) -> None:
        """Connect. The server must be ready, and name the bundle's digest as the model's version or
        in its name. Raises Unavailable or Refused (MODEL).
        """
        b = self._backend
        try:
            credentials = grpc.ssl_channel_credentials(
                b.root.read_bytes(), b.key.read_bytes(), b.certificate.read_bytes()
            )
        except OSError as error:
            raise Unavailable.of(
                Reason.UNAVAILABLE, "the backend's root, our certificate and key", error
            ) from error
        options = (
            ("grpc.ssl_target_name_override", b.server_name),
            ("grpc.enable_http_proxy", 0),
            ("grpc.max_receive_message_length", MAX_TENSOR_BYTES),
            ("grpc.max_send_message_length", MAX_TENSOR_BYTES),
            ("grpc.use_local_subchannel_pool", 1),
        )
        await self.close()
        self._channel = grpc.aio.secure_channel(b.address, credentials, options=options)
        stub = self._stub()
        if not (
            await self._call(
                stub.ModelReady(oip.ModelReadyRequest(name=b.model), timeout=INFER_TIMEOUT_S)
            )
        ).ready:
            raise Unavailable.of(
                Reason.MODEL, f"the model {b.model} ready at {b.address}", "not ready"
            )
        model = await self._call(
            stub.ModelMetadata(oip.ModelMetadataRequest(name=b.model), timeout=INFER_TIMEOUT_S)
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
                f"version {digest[:DIGEST_DIGITS]}… of {b.model}",
                ascii(versions),
                "deploy the approved bundle's model there, its digest as version",
            )

    async def infer(
        self, shape: list[int], pair: bytes, classes: int
    ) -> tuple[dict[str, Any], bytes]:
        """Heat and geometry of one pair (n, 2, h, w), float32 as bytes: ({shapes: both}, bytes of
        both).

        1. the answer is of our model and has exactly the two outputs, each once;
        2. each is FP32 and of the shape that the input's demands;
        3. each has as many bytes as its shape, raw or as numbers, not both.

        That the numbers are finite, the inference child checks. Raises Unavailable (INFERENCE).
        """
        request = oip.ModelInferRequest(model_name=self._backend.model, raw_input_contents=[pair])
        request.inputs.add(name="pair", datatype="FP32", shape=shape)
        for name in OUTPUTS:
            request.outputs.add(name=name)
        answer = await self._call(self._stub().ModelInfer(request, timeout=INFER_TIMEOUT_S))
        names = sorted(output.name for output in answer.outputs)
        raws = answer.raw_output_contents
        if names != sorted(OUTPUTS) or len(raws) not in {0, len(OUTPUTS)}:  # 1
            raise Unavailable.of(
                Reason.INFERENCE,
                f"the outputs {', '.join(OUTPUTS)}",
                ascii(", ".join(names))[:100] if names else "none",
            )
        cells = [side // STRIDE_PX for side in shape[2:]]
        wanted = {"heat": [shape[0], classes, *cells], "geometry": [shape[0], 4, *cells]}
        tensors: dict[str, bytes] = {}
        for number, output in enumerate(answer.outputs):
            sides = list(output.shape)
            values = output.contents.fp32_contents
            size = len(raws[number]) if raws else FLOAT_BYTES * len(values)
            if (
                output.datatype != "FP32"  # 2
                or sides != wanted[output.name]
                or size != FLOAT_BYTES * math.prod(sides)  # 3
                or (raws and len(values))
            ):
                raise Unavailable.of(
                    Reason.INFERENCE,
                    f"{output.name} as FP32 of {wanted[output.name]}",
                    f"{ascii(output.datatype)[:20]} {sides[:6]}, {size} bytes",
                )
            tensors[output.name] = raws[number] if raws else array("f", values).tobytes()
        return {"shapes": [wanted[name] for name in OUTPUTS]}, b"".join(
            tensors[name] for name in OUTPUTS
        )

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
                f"an answer of the backend {self._backend.address}",
                what,
                "is it running, and does it know our certificate?",
            ) from error


class RemoteEngine(Engine):
    """An engine whose network runs on a server; decoding, the gate, registration and boxes stay in
    the child.
    """

    def __init__(
        self,
        bundle: Bundle,
        parts: Parts,
        threads: int,
        backend: Backend,
        *,
        unconfined: bool = False,
        told: ChildTold = nobody,
    ) -> None:
        super().__init__(bundle, parts, threads, remote=True, unconfined=unconfined, told=told)
        self._remote = RemoteModel(backend)

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
        shapes, maps = await self._remote.infer(
            prepared["shape"], pair, len(self.bundle.recipe.classes)
        )
        sides = {side: head[side] for side in ("width", "height")}
        finished, _ = await self._submit(
            device, {"kind": "finish", "of": prepared["id"], **sides, **shapes}, maps
        )
        behind = {name: prepared[name] for name in ("golden_sha256", "inspected_percent")}
        return {**finished, **behind}

    async def _known_answers(self) -> int:
        """The known answers, by way of the server. Raises Refused (KNOWN_ANSWER) or Unavailable."""
        for number in range(len(self.bundle.known)):
            prepared, pair = await self._submit("", {"kind": "known-pair", "number": number}, b"")
            shapes, maps = await self._remote.infer(
                prepared["shape"], pair, len(self.bundle.recipe.classes)
            )
            checked, _ = await self._submit(
                "", {"kind": "known-check", "number": number, **shapes}, maps
            )
            if "failed" in checked:
                raise Refused.of(Reason(checked["failed"]), "the known answers", checked["why"])
        return len(self.bundle.known)
