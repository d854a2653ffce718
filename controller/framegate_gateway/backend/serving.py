"""A model server whose every answer is signed: the Open Inference Protocol for gateways of this
fleet, and of sites that the host's owner named.

It gets tensors, no frames: frames are decoded where they are admitted.
"""

from __future__ import annotations

import asyncio
import base64
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import grpc
import numpy as np
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import FramegateError, Malformed, Reason, Refused, Unavailable
from framegate.federation.bundle import TrustBundle
from framegate.federation.endpoint import under_any
from framegate.identity.certificates import Purpose, from_ms, verify_certificate
from framegate.signed.inference import InferenceResult, NamedTensor, tensors_digest
from framegate_gateway.inference.attested_model import (
    AUTHORITIES,
    FRAME,
    MODEL,
    NONCE_BYTES,
    RESULT,
    inputs_of,
)
from framegate_gateway.trust.keys import Credentials, GatewayKeys
from framegate_proto.edge import abort, presented_certificate, presented_chain
from framegate_proto.v1 import open_inference_pb2 as oip
from framegate_proto.v1 import open_inference_pb2_grpc as oip_rpc

Context = grpc.aio.ServicerContext[Any, Any]
MAX_WAITING: Final = 32
"""Requests of all gateways at once; each may hold as many bytes as a message may have."""
AT_ONCE: Final = 2
"""Runs of the network at once: while one computes, the other's tensors are taken apart."""
MAX_SIDES: Final = 8
MAX_SIDE: Final = 65_536
MAX_OUTPUTS: Final = 16
_TYPES: Final[Mapping[str, str]] = {
    "FP32": "float32",
    "UINT8": "uint8",
    "INT64": "int64",
    "INT32": "int32",
}
_DATATYPES: Final[Mapping[str, str]] = {name: wire for wire, name in _TYPES.items()}


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A bundle's network, loaded: its digest (hex), and a session of the runtime."""

    digest: str
    session: Any

    def run(self, inputs: Sequence[NamedTensor], outputs: Sequence[str]) -> list[NamedTensor]:
        """The network's outputs of these names. Raises Malformed or Unavailable (INFERENCE)."""
        given = {t.name: _array(t) for t in inputs}
        known = {i.name for i in self.session.get_inputs()}
        offered = {o.name for o in self.session.get_outputs()}
        if set(given) != known or len(given) != len(inputs):
            raise Malformed.of(
                Reason.INFERENCE, f"the inputs {', '.join(sorted(known))}", ascii(sorted(given))
            )
        if not 0 < len(set(outputs)) == len(outputs) <= MAX_OUTPUTS or set(outputs) - offered:
            raise Malformed.of(
                Reason.INFERENCE, f"outputs of {', '.join(sorted(offered))}", ascii(outputs)[:200]
            )
        try:
            arrays = self.session.run(list(outputs), given)
        except Exception as error:  # the runtime's own classes are no part of its interface
            raise Unavailable.of(
                Reason.INFERENCE, "tensors that the network takes", type(error).__name__
            ) from error
        return [_tensor(n, np.asarray(a)) for n, a in zip(outputs, arrays, strict=True)]


def _array(tensor: NamedTensor) -> np.ndarray[Any, Any]:
    kind, sides = _TYPES.get(tensor.datatype), tensor.shape
    good = kind is not None and len(sides) <= MAX_SIDES and all(0 < s <= MAX_SIDE for s in sides)
    if not good or math.prod(sides) * np.dtype(kind).itemsize != len(tensor.body):
        raise Malformed.of(
            Reason.INFERENCE,
            f"a tensor of {', '.join(_TYPES)} whose bytes are those of its sides",
            f"{ascii(tensor.datatype)[:20]} {list(sides[:MAX_SIDES])}, {len(tensor.body)} bytes",
        )
    return np.frombuffer(tensor.body, np.dtype(kind)).reshape(sides)


def _tensor(name: str, array: np.ndarray[Any, Any]) -> NamedTensor:
    datatype = _DATATYPES.get(array.dtype.name)
    if datatype is None:
        raise Unavailable.of(Reason.INFERENCE, "an output of a usual type", array.dtype.name)
    return NamedTensor(name, datatype, array.shape, np.ascontiguousarray(array).tobytes())


class BackendService(oip_rpc.GRPCInferenceServiceServicer):
    """Calls of the protocol; every one but liveness establishes who is calling. `sites` are the
    bundles of other sites whose gateways may ask.
    """

    def __init__(
        self,
        keys: GatewayKeys,
        models: Mapping[str, ServedModel],
        sites: Sequence[TrustBundle] = (),
    ) -> None:
        self._keys, self._models, self._sites = keys, models, tuple(sites)
        self._places, self._running = MAX_WAITING, asyncio.Semaphore(AT_ONCE)
        self.answered = 0

    async def ServerLive(
        self, request: oip.ServerLiveRequest, context: Context
    ) -> oip.ServerLiveResponse:
        """That it answers."""
        return oip.ServerLiveResponse(live=True)

    async def ServerReady(
        self, request: oip.ServerReadyRequest, context: Context
    ) -> oip.ServerReadyResponse:
        """Whether an answer would be signed now."""
        await self._established(context)
        credentials = self._keys.credentials
        ready = credentials is not None and credentials.signs(_now_ms())
        return oip.ServerReadyResponse(ready=ready)

    async def ServerMetadata(
        self, request: oip.ServerMetadataRequest, context: Context
    ) -> oip.ServerMetadataResponse:
        """Name and version."""
        await self._established(context)
        return oip.ServerMetadataResponse(name="framegate-backend", version="1")

    async def ModelReady(
        self, request: oip.ModelReadyRequest, context: Context
    ) -> oip.ModelReadyResponse:
        """Whether the model is here, and this host in standing."""
        await self._established(context)
        there = not request.version or request.version in self._models
        return oip.ModelReadyResponse(ready=request.name == MODEL and there)

    async def ModelMetadata(
        self, request: oip.ModelMetadataRequest, context: Context
    ) -> oip.ModelMetadataResponse:
        """The digests of the bundles that are here, as versions."""
        try:
            self._caller(context)
            if request.name != MODEL:
                raise _no_model(request.name)
        except FramegateError as error:
            await abort(context, error)
        return oip.ModelMetadataResponse(name=MODEL, versions=list(self._models), platform="onnx")

    async def ModelInfer(
        self, request: oip.ModelInferRequest, context: Context
    ) -> oip.ModelInferResponse:
        """The network's outputs, signed, after these checks.

        1. the caller is a gateway of this fleet, or of a site that was named, by a certificate
           that lives;
        2. no more requests wait than the limit;
        3. the model is here, by its digest; the request is named by `NONCE_BYTES` that the asker
           drew;
        4. inputs are raw, of types and sides that account for their bytes;
        5. this host is still in standing when the network has answered: else nothing is signed.
        """
        try:
            self._caller(context)  # 1
            answer = await self._answered(request)  # 2-5
        except FramegateError as error:
            await abort(context, error)
        return answer

    async def _established(self, context: Context) -> None:
        """Ends the call of whoever may not ask."""
        try:
            self._caller(context)
        except FramegateError as error:
            await abort(context, error)

    async def _answered(self, request: oip.ModelInferRequest) -> oip.ModelInferResponse:
        if not self._places:  # 2
            raise Unavailable.of(
                Reason.TOO_MANY_TRIES, f"at most {MAX_WAITING} requests at once", "one more"
            )
        model = self._models.get(request.model_version)  # 3
        if request.model_name != MODEL or model is None:
            raise _no_model(request.model_version or request.model_name)
        frame = request.parameters[FRAME].string_param if FRAME in request.parameters else ""
        if not _is_hex(request.id, NONCE_BYTES) or (frame and not _is_hex(frame, 32)):
            raise Malformed.of(
                Reason.INFERENCE, f"an id of {NONCE_BYTES} bytes in hex", ascii(request.id[:80])
            )
        inputs = inputs_of(request)
        self._places -= 1
        try:
            async with self._running:
                names = [o.name for o in request.outputs]
                outputs = await asyncio.to_thread(model.run, inputs, names)  # 4
        finally:
            self._places += 1
        credentials = self._standing()  # 5
        result = InferenceResult(
            backend=credentials.device,
            result_id=credentials.result_id,
            model_sha256=model.digest,
            frame_sha256=frame,
            request=request.id,
            input_sha256=tensors_digest(inputs),
            output_sha256=tensors_digest(outputs),
            issued_at_ms=_now_ms(),
        )
        self.answered += 1
        return self._signed(result, outputs, credentials)

    def _signed(
        self, result: InferenceResult, outputs: Sequence[NamedTensor], credentials: Credentials
    ) -> oip.ModelInferResponse:
        der = credentials.verdict.public_bytes(Encoding.DER)
        issuer = self._keys.issuer_of(credentials.verdict).public_bytes(Encoding.DER)
        answer = oip.ModelInferResponse(
            model_name=MODEL, model_version=result.model_sha256, id=result.request
        )
        for tensor in outputs:
            answer.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
            answer.raw_output_contents.append(tensor.body)
        envelope = result.seal(der, self._keys.sign_verdict)
        answer.parameters[RESULT].string_param = envelope.decode()
        answer.parameters[AUTHORITIES].string_param = base64.b64encode(issuer).decode()
        return answer

    def _standing(self) -> Credentials:
        credentials = self._keys.credentials
        if credentials is None or not credentials.signs(_now_ms()):
            why = self._keys.refused or "no certificate that lives"
            raise Unavailable.of(Reason.NOT_TRUSTED, "a host in standing", why)
        return credentials

    def _caller(self, context: Context) -> None:
        """That a gateway calls which may. Raises Refused, Unavailable (NOT_TRUSTED)."""
        credentials, now = self._standing(), from_ms(_now_ms())
        leaf = presented_certificate(context)
        try:
            verify_certificate(
                leaf, Purpose.GATEWAY, credentials.authorities, credentials.root, now
            )
        except Refused as refused:
            if not self._of_a_site(leaf, presented_chain(context)):
                raise Refused(refused.failures) from refused

    def _of_a_site(self, leaf: x509.Certificate, chain: Sequence[x509.Certificate]) -> bool:
        for site in self._sites:
            try:
                under_any(site, leaf, Purpose.GATEWAY, chain, from_ms(_now_ms()))
            except FramegateError:
                continue
            return True
        return False


def _is_hex(text: str, size: int) -> bool:
    return len(text) == 2 * size and all(c in "0123456789abcdef" for c in text)


def _no_model(name: str) -> Refused:
    hint = "framegate-gateway backend --models FOLDER, with the bundle that the zone's pin names"
    return Refused.of(Reason.NOT_FOUND, "a model of this server, by its digest", name[:80], hint)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
