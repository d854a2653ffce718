"""A model server whose host is attested: it signs each answer, and an answer without counts for
nothing (N213, N214).

What counts as such a server is not known here: a `BackendStanding` says it, at every request.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

import grpc

from framegate.errors import Reason, Unavailable
from framegate.signed.inference import NamedTensor, tensors_digest
from framegate.signed.receipt import BackendResult
from framegate_gateway.inference.bundle import Bundle
from framegate_gateway.inference.remote import OPTIONS, RemoteModel
from framegate_proto.v1 import open_inference_pb2 as oip

MODEL: Final = "framegate"
"""The model's name on such a server; its version is the digest of a bundle."""
RESULT, AUTHORITIES, FRAME = "framegate_result", "framegate_authorities", "framegate_frame"
"""Parameters of request and answer: the signed result, the issuing CAs of its certificate, and the
frame that the tensors were made of.
"""
NONCE_BYTES: Final = 16
MAX_RESULT_CHARACTERS: Final = 8192
"""An envelope with its certificate takes some 2,000."""
MAX_AUTHORITIES: Final = 4


class BackendTls(NamedTuple):
    """What a connection is made with, in PEM: whom to believe, our key and chain."""

    roots: bytes
    key: bytes
    chain: bytes


class Answered(NamedTuple):
    """What one answer has to be the answer to, in hex."""

    model_sha256: str
    frame_sha256: str
    request: str
    input_sha256: str
    output_sha256: str


class BackendStanding(Protocol):
    """What one attested server is worth at this moment."""

    @property
    def id(self) -> str:
        """The server's id, `backend.<zone>.<name>`."""

    @property
    def server_name(self) -> str:
        """The name that its certificate must have."""

    def tls(self) -> BackendTls:
        """What to connect with now. Raises Unavailable (BACKEND)."""

    def require(self) -> None:
        """That its host stands, as far as is known here. Raises Unavailable (BACKEND)."""

    def verified(self, signed: BackendResult, answered: Answered) -> None:
        """That `signed` is its answer to exactly that. Raises Unavailable (BACKEND)."""


@dataclass(frozen=True, slots=True)
class AttestedBackend:
    """An attested model server: where it is (`host:port`), and what it is worth."""

    address: str
    standing: BackendStanding


class AttestedModel(RemoteModel):
    """One model of an attested server. A connection is made anew where our certificate, or whom we
    believe, is another than it was made with.
    """

    def __init__(self, backend: AttestedBackend) -> None:
        super().__init__(backend.address, MODEL)
        self._standing = backend.standing
        self._with: BackendTls | None = None
        self._digest = ""

    async def open(self, bundle: Bundle) -> None:
        """See `RemoteModel.open`; the server's host must stand. Raises Unavailable or Refused."""
        self._digest = bundle.digest.hex()
        self._standing.require()
        await super().open(bundle)

    def _opened(self) -> grpc.aio.Channel:
        self._with = self._standing.tls()
        tls = grpc.ssl_channel_credentials(self._with.roots, self._with.key, self._with.chain)
        name = ("grpc.ssl_target_name_override", self._standing.server_name)
        return grpc.aio.secure_channel(self._address, tls, options=(name, *OPTIONS))

    async def _asking(self, request: oip.ModelInferRequest, frame: bytes) -> None:
        self._standing.require()
        if self._channel is not None and self._with != self._standing.tls():
            await self.close()
            self._channel = self._opened()
        request.id = secrets.token_hex(NONCE_BYTES)
        request.model_version = self._digest
        request.parameters[FRAME].string_param = hashlib.sha256(frame).hexdigest() if frame else ""

    def _proof(
        self,
        request: oip.ModelInferRequest,
        answer: oip.ModelInferResponse,
        outputs: Sequence[NamedTensor],
    ) -> BackendResult:
        signed = _signed(answer)
        answered = Answered(
            self._digest,
            request.parameters[FRAME].string_param,
            request.id,
            tensors_digest(inputs_of(request)),
            tensors_digest(outputs),
        )
        self._standing.require()  # trust that ended while it computed
        self._standing.verified(signed, answered)
        return signed


def inputs_of(request: oip.ModelInferRequest) -> list[NamedTensor]:
    """The tensors of a request, which are raw. Raises Unavailable (INFERENCE)."""
    if len(request.inputs) != len(request.raw_input_contents):
        raise Unavailable.of(Reason.INFERENCE, "raw inputs", "inputs in another form")
    pairs = zip(request.inputs, request.raw_input_contents, strict=True)
    return [NamedTensor(i.name, i.datatype, tuple(i.shape), body) for i, body in pairs]


def _signed(answer: oip.ModelInferResponse) -> BackendResult:
    envelope = answer.parameters[RESULT].string_param if RESULT in answer.parameters else ""
    listed = answer.parameters[AUTHORITIES].string_param if AUTHORITIES in answer.parameters else ""
    texts = listed.split(",") if listed else []
    sizes = (len(envelope), len(listed))
    if not envelope or max(sizes) > MAX_RESULT_CHARACTERS or len(texts) > MAX_AUTHORITIES:
        raise Unavailable.of(
            Reason.BACKEND,
            "an answer that the backend signed",
            f"{len(envelope)} characters, {len(texts)} authorities",
            "a server that attests nothing is taken with --unattested-backend alone",
        )
    try:
        ders = tuple(base64.b64decode(t.encode("ascii"), validate=True) for t in texts)
    except (ValueError, binascii.Error) as error:
        raise Unavailable.of(Reason.BACKEND, "authorities in base64", "something else") from error
    return BackendResult(envelope.encode(), ders)
