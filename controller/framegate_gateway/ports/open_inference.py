"""The gateway as a server of the Open Inference Protocol: existing clients inspect a frame by the
usual call.

A client is a camera of this zone: mutual TLS with its device certificate, trusted now, allowed by
policy, like any sender of frames; its masks in force hold here too, and so do limits on what it has
in flight. What it gets are boxes, no verdict: nothing is signed, no receipt is made, and no line
acts on it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import grpc

from framegate.errors import FramegateError, Malformed, Reason, Refused
from framegate.identity.certificates import Purpose, from_ms, verify_certificate
from framegate.image_header import encoding_of, image_size
from framegate.signed.inspected import Polygon
from framegate.signed.mask import verify_masks
from framegate.wire import MAX_FRAME_BYTES, MAX_FRAME_PIXELS, sha256
from framegate_gateway.inference.inspection import Inspection
from framegate_gateway.inference.jobs import CameraFrame
from framegate_gateway.inference.models import Models
from framegate_gateway.trust.feed import Standing, TrustView
from framegate_gateway.trust.keys import GatewayKeys
from framegate_proto.edge import abort, presented_certificate
from framegate_proto.v1 import open_inference_pb2 as oip
from framegate_proto.v1 import open_inference_pb2_grpc as oip_rpc

Context = grpc.aio.ServicerContext[Any, Any]
MODEL: Final = "framegate"
"""The model's name towards clients; its version is the digest of the bundle in force."""


MAX_IN_FLIGHT: Final = 8
"""Frames of one camera in this port at once: by the usual call a client waits for each answer."""
MAX_IN_FLIGHT_ALL: Final = 64
"""Frames of all clients: 2 GiB where each is as large as a frame may be."""


@dataclass(frozen=True, slots=True)
class _Client:
    """A camera that stands, and its trust as the feed has it."""

    device: str
    standing: Standing


class OpenInferenceService(oip_rpc.GRPCInferenceServiceServicer):
    """Calls of the protocol. Every one but liveness establishes who is calling."""

    def __init__(self, keys: GatewayKeys, view: TrustView, models: Models) -> None:
        self._keys, self._view, self._models = keys, view, models
        self._in_flight: Counter[str] = Counter()

    async def ServerLive(
        self, request: oip.ServerLiveRequest, context: Context
    ) -> oip.ServerLiveResponse:
        """That it answers."""
        return oip.ServerLiveResponse(live=True)

    async def ServerReady(
        self, request: oip.ServerReadyRequest, context: Context
    ) -> oip.ServerReadyResponse:
        """Whether a frame of the caller would be inspected now."""
        await self._established(context)
        return oip.ServerReadyResponse(ready=self._ready())

    async def ModelReady(
        self, request: oip.ModelReadyRequest, context: Context
    ) -> oip.ModelReadyResponse:
        """Whether the model in force is the one asked for, and runs."""
        await self._established(context)
        return oip.ModelReadyResponse(
            ready=request.name == MODEL and request.version in {"", self._digest} and self._ready()
        )

    async def ServerMetadata(
        self, request: oip.ServerMetadataRequest, context: Context
    ) -> oip.ServerMetadataResponse:
        """Name and version."""
        await self._established(context)
        return oip.ServerMetadataResponse(name="framegate-gateway", version="1")

    async def ModelMetadata(
        self, request: oip.ModelMetadataRequest, context: Context
    ) -> oip.ModelMetadataResponse:
        """Digest, inputs and outputs."""
        try:
            self._caller(context)
            self._named(request.name, request.version)
        except FramegateError as error:
            await abort(context, error)
        answer = oip.ModelMetadataResponse(
            name=MODEL, versions=[self._digest], platform="framegate"
        )
        for name in ("frame", "part_type"):
            answer.inputs.add(name=name, datatype="BYTES", shape=[1])
        for name, kind, shape in (
            ("boxes", "FP32", [-1, 4]),
            ("scores", "FP32", [-1]),
            ("classes", "BYTES", [-1]),
        ):
            answer.outputs.add(name=name, datatype=kind, shape=shape)
        return answer

    async def ModelInfer(
        self, request: oip.ModelInferRequest, context: Context
    ) -> oip.ModelInferResponse:
        """Boxes of one encoded frame of a part type, after these checks.

        1. the caller stands, and may have this model asked;
        2. neither it nor all clients together have more in flight than the limits;
        3. model, version, inputs, and the dimensions in the image's own header;
        4. the frame is black where the camera's masks in force say so: golden images are blanked
           alike, and another frame is refused in the inference child;
        5. the caller still stands when the model has answered.
        """
        try:
            client = self._caller(context)  # 1
            digest = self._digest
            with self._place(client.device):  # 2
                inspection = await self._inspected(client, digest, request)
            self._caller(context)  # 5: trust that ended while the frame was in the model
        except FramegateError as error:
            await abort(context, error)
        answer = oip.ModelInferResponse(model_name=MODEL, model_version=digest, id=request.id)
        answer.parameters["golden_sha256"].string_param = inspection.golden_sha256
        n = len(inspection.defects)
        answer.outputs.add(
            name="boxes", datatype="FP32", shape=[n, 4]
        ).contents.fp32_contents.extend(side for d in inspection.defects for side in d["box"])
        answer.outputs.add(name="scores", datatype="FP32", shape=[n]).contents.fp32_contents.extend(
            d["score"] for d in inspection.defects
        )
        answer.outputs.add(
            name="classes", datatype="BYTES", shape=[n]
        ).contents.bytes_contents.extend(d["kind"].encode() for d in inspection.defects)
        return answer

    async def _established(self, context: Context) -> None:
        """Ends the call of whoever does not stand."""
        try:
            self._caller(context)
        except FramegateError as error:
            await abort(context, error)

    async def _inspected(
        self, client: _Client, digest: str, request: oip.ModelInferRequest
    ) -> Inspection:
        self._named(request.model_name, request.model_version)  # 3
        frame, part_type = self._inputs(request)
        encoding = encoding_of(frame)
        width, height = image_size(frame, encoding)
        if not 0 < width * height <= MAX_FRAME_PIXELS:
            raise Malformed.of(
                Reason.IMAGE, f"at most {MAX_FRAME_PIXELS} pixels", f"{width}x{height}"
            )
        masks = self._masks(client)  # 4
        return await self._models.inspect(
            digest,
            CameraFrame(client.device, part_type, frame, encoding, width, height, masks),
        )

    @contextmanager
    def _place(self, device: str) -> Iterator[None]:
        """Room for one frame of `device`. Raises Refused (FRAME_IN_FLIGHT)."""
        own, everybody = self._in_flight[device], self._in_flight.total()
        if own >= MAX_IN_FLIGHT or everybody >= MAX_IN_FLIGHT_ALL:
            raise Refused.of(
                Reason.FRAME_IN_FLIGHT,
                f"at most {MAX_IN_FLIGHT} frames in flight, {MAX_IN_FLIGHT_ALL} of all clients",
                f"{own} and {everybody}",
                "wait for an answer",
            )
        self._in_flight[device] += 1
        try:
            yield
        finally:
            self._in_flight[device] -= 1
            if not self._in_flight[device]:
                del self._in_flight[device]

    def _masks(self, client: _Client) -> tuple[Polygon, ...]:
        """The camera's masks in force, of the feed, verified. Raises Malformed or Refused."""
        credentials = self._keys.credentials
        if not client.standing.masks or credentials is None:
            return ()
        return verify_masks(
            client.standing.masks,
            client.device,
            0,
            credentials.authorities,
            credentials.root,
            from_ms(self._view.now_ms()),
        ).polygons

    @property
    def _digest(self) -> str:
        return self._models.bundle.digest.hex()

    def _ready(self) -> bool:
        return (
            self._view.open and self._keys.credentials is not None and self._models.barred is None
        )

    def _named(self, name: str, version: str) -> None:
        if name != MODEL or version not in {"", self._digest}:
            raise Refused.of(
                Reason.NOT_FOUND,
                f"the model {MODEL}, version {self._digest[:16]}…",
                ascii(f"{name} {version}")[:100],
            )

    def _caller(self, context: Context) -> _Client:
        """A camera that stands: certificate, trust, policy. Raises Refused."""
        credentials = self._keys.credentials
        if credentials is None:
            raise Refused.of(
                Reason.NOT_TRUSTED,
                "a gateway's host in standing",
                self._keys.refused or "no warrant",
            )
        now = from_ms(self._view.now_ms())
        identity = verify_certificate(
            presented_certificate(context),
            Purpose.DEVICE,
            credentials.authorities,
            credentials.root,
            now,
        )
        self._view.require(credentials.device)
        standing = self._view.require(identity.common_name, sha256(identity.spki))
        self._view.access.inspect(
            identity.common_name, standing.facts, self._digest, credentials.zone
        )
        return _Client(identity.common_name, standing)

    @staticmethod
    def _inputs(request: oip.ModelInferRequest) -> tuple[bytes, str]:
        """(encoded frame, part type). Raises Malformed."""
        inputs: dict[str, bytes] = {}
        for number, tensor in enumerate(request.inputs):
            if tensor.datatype != "BYTES" or list(tensor.shape) not in ([1], [1, 1]):
                raise Malformed.of(
                    Reason.IMAGE,
                    f"{ascii(tensor.name)[:40]} as BYTES of shape [1]",
                    f"{tensor.datatype} {list(tensor.shape)[:6]}",
                )
            if number < len(request.raw_input_contents):
                raw = request.raw_input_contents[
                    number
                ]  # one element: its length in four bytes, little-endian, then the bytes
                size = int.from_bytes(raw[:4], "little")
                if len(raw) != size + 4:
                    raise Malformed.of(
                        Reason.IMAGE,
                        f"{ascii(tensor.name)[:40]}: a length and as many bytes",
                        f"{size} and {len(raw) - 4}",
                    )
                inputs[tensor.name] = raw[4:]
            elif len(tensor.contents.bytes_contents) == 1:
                inputs[tensor.name] = tensor.contents.bytes_contents[0]
        if set(inputs) != {"frame", "part_type"} or len(inputs["frame"]) > MAX_FRAME_BYTES:
            raise Malformed.of(
                Reason.IMAGE,
                f"the inputs frame (at most {MAX_FRAME_BYTES} bytes) and part_type",
                ", ".join(sorted(inputs))[:100] or "none",
            )
        return inputs["frame"], inputs["part_type"].decode(errors="replace")[:256]
