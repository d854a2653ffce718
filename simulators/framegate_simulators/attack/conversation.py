"""One stream of a forged camera to a running gateway, message by message."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

import grpc

from framegate.signed.statement import Verdict
from framegate.wire import Captured
from framegate_agent.camera.session import FrameSession, HeldGrant
from framegate_proto.edge import from_failures
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc
from framegate_simulators.fixtures.frames import captured

ANSWER_S: Final = 30.0
"""An inspection on a machine that is busy with attacks."""


class Signer(Protocol):
    """A camera's key, name and public key."""

    device: str

    def sign_with_tls_key(self, message: bytes) -> bytes:
        """As its TPM would."""

    @property
    def spki(self) -> bytes:
        """Its public key."""


class Conversation:
    """Messages to the gateway, and what it answers, in order."""

    def __init__(
        self,
        channel: grpc.Channel,
        camera: Signer,
        lease: HeldGrant,
        read_verdict: Callable[[bytes], Verdict],
    ) -> None:
        self._camera, self.lease, self._verdict = camera, lease, read_verdict
        self._out: queue.SimpleQueue[pb.CameraMessage | None] = queue.SimpleQueue()
        self._in: queue.SimpleQueue[pb.GatewayMessage | None] = queue.SimpleQueue()
        self._call: Any = rpc.FramesStub(channel).Stream(iter(self._messages()))
        threading.Thread(target=self._read, daemon=True).start()

    def send(self, **message: Any) -> None:
        """A message, `frame=`, `opening=`, …"""
        self._out.put(pb.CameraMessage(**message))

    def answer(self, timeout_s: float = ANSWER_S) -> pb.GatewayMessage | None:
        """The next message, None at the stream's end. Raises TimeoutError where nothing comes."""
        try:
            return self._in.get(timeout=timeout_s)
        except queue.Empty:
            raise TimeoutError(f"no answer in {timeout_s:g} s") from None

    def offered(self) -> FrameSession:
        """A session on the gateway's offer, not opened. Raises RuntimeError where none comes."""
        message = self.answer()
        if message is None or message.WhichOneof("kind") != "offer":
            raise RuntimeError(f"no offer: {message}")
        return FrameSession(
            self.lease, message.offer, "source-1", self._camera.device, self._camera.spki
        )

    def open(self, session: FrameSession | None = None) -> FrameSession:
        """An accepted session: `session`, or one on the next offer. Raises RuntimeError where the
        gateway refuses.
        """
        session = session or self.offered()
        self.send(opening=session.opening(self._camera))
        message = self.answer()
        if message is None or message.WhichOneof("kind") != "accepted":
            raise RuntimeError(f"not accepted: {message}")
        return session

    def verdict(self, timeout_s: float = ANSWER_S) -> Verdict:
        """The next verdict. Raises RuntimeError where something else comes."""
        message = self.answer(timeout_s)
        if message is None or message.WhichOneof("kind") != "answer":
            raise RuntimeError(f"no verdict: {message}")
        return self._verdict(message.answer.verdict)

    def said(self, timeout_s: float = ANSWER_S) -> str:
        """The next message in a word: outcome or reason of a verdict, reasons of a refusal, `end`,
        or `nothing`.
        """
        try:
            message = self.answer(timeout_s)
        except TimeoutError:
            return "nothing"
        if message is None:
            return "end"
        if message.WhichOneof("kind") == "answer":
            verdict = self._verdict(message.answer.verdict)
            return verdict.reason or str(verdict.outcome)
        if message.WhichOneof("kind") == "refusal":
            return ", ".join(f.reason.value for f in from_failures(message.refusal.failures))
        return str(message.WhichOneof("kind"))

    def finish(self) -> None:
        """Say that nothing more comes, and wait until the gateway has read it all."""
        self._out.put(None)
        while self.answer() is not None:
            pass

    def close(self) -> None:
        """End the stream."""
        self._out.put(None)
        self._call.cancel()

    def _messages(self) -> Iterator[pb.CameraMessage]:
        while (message := self._out.get()) is not None:
            yield message

    def _read(self) -> None:
        try:
            for message in self._call:
                self._in.put(message)
        except grpc.RpcError:
            pass
        self._in.put(None)


def head(number: int, image: bytes, **changes: Any) -> Captured:
    """The head of a frame that was taken now."""
    members = {"part_type": "drawn-1", "captured_at_ms": time.time_ns() // 1_000_000}
    return captured(number, len(image), **(members | {"uncertainty_ms": 50} | changes))
