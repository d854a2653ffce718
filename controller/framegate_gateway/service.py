"""The gateway's RPCs: frames from cameras, and a read-only view for operators."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, Final

import grpc

from framegate.certificates import Purpose, from_ms, verify_certificate
from framegate.errors import FramegateError, Reason, Refused, Unavailable
from framegate.wire import FrameMetadata
from framegate_gateway.admission.link import Admitted, CameraLink
from framegate_gateway.feed import TrustView
from framegate_gateway.inference.engine import Engine
from framegate_gateway.keys import GatewayKeys
from framegate_gateway.verdicts.journal import Journal
from framegate_gateway.verdicts.maker import VerdictMaker
from framegate_proto.edge import presented_certificate, to_failures, to_status
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc

log = logging.getLogger(__name__)
Context = grpc.aio.ServicerContext[Any, Any]
MAX_SOURCES: Final = 10_000
"""Sources whose last trigger is remembered; their names are the cameras' own choice."""
MAX_GAP: Final = 1_000
"""Missing triggers that one frame may account for; a larger jump is a new count, not a gap."""
MAX_IN_FLIGHT: Final = 64
"""Frames of one connection between admission and verdict; one more is UNINSPECTED at once."""
WATCH_BEAT_S: Final = 1.0


class FramesService(rpc.FramesServicer):
    """Sealed frames in, signed verdicts out: every frame that names this camera gets exactly one answer."""

    def __init__(self, keys: GatewayKeys, view: TrustView, engine: Engine, maker: VerdictMaker) -> None:
        self._keys, self._view, self._engine, self._maker = keys, view, engine, maker
        self._last_trigger: dict[tuple[str, str], int] = {}

    async def Stream(self, request_iterator: Any, context: Context) -> None:  # type: ignore[override]
        """One camera's stream, until it ends or its opening is refused."""
        writing = asyncio.Lock()

        async def write(message: pb.GatewayMessage) -> None:
            async with writing:
                await context.write(message)

        tasks: set[asyncio.Task[None]] = set()
        try:
            link = CameraLink(presented_certificate(context), self._keys, self._view)
            link.standing()
            await write(pb.GatewayMessage(offer=link.offer()))
            while (message := await context.read()) is not grpc.aio.EOF:
                kind = message.WhichOneof("kind")
                if kind == "frame":
                    self._frame(link, message.frame, write, tasks)
                elif kind == "opening":
                    kid = await asyncio.to_thread(link.open, message.opening.opening, message.opening.signature)
                    await write(pb.GatewayMessage(accepted=pb.Accepted(kid=kid)))
                elif kind == "renew":
                    await write(pb.GatewayMessage(offer=link.offer()))
                elif kind == "certificate_refresh":
                    link.refresh(message.certificate_refresh)
                else:
                    raise Refused.of(Reason.MALFORMED, "opening, frame, renew or certificate_refresh", "another message")
            if tasks:
                await asyncio.wait(tasks)
        except FramegateError as error:
            log.info("stream ended: %s", ascii(str(error)))
            await write(pb.GatewayMessage(refusal=pb.Refusal(failures=to_failures(error.failures))))
        except grpc.RpcError:
            log.info("a camera's stream broke off")
        except Exception:
            log.exception("a camera's stream failed")
            fault = Unavailable.of(Reason.INTERNAL, "an answer", "a fault of the gateway, see its log")
            await write(pb.GatewayMessage(refusal=pb.Refusal(failures=to_failures(fault.failures))))
        finally:
            for task in tasks:
                task.cancel()

    def _frame(self, link: CameraLink, frame: pb.SealedFrame, write: Any, tasks: set[asyncio.Task[None]]) -> None:
        """Admit and hand over one frame, or answer UNINSPECTED. A frame that names no part of this camera's ends the stream."""
        try:
            if len(tasks) >= MAX_IN_FLIGHT:
                raise Refused.of(Reason.FRAME_IN_FLIGHT, f"at most {MAX_IN_FLIGHT} frames in flight", len(tasks))
            admitted = link.admit(frame.metadata, frame.sealed)
        except FramegateError as error:
            claimed = link.claimed(frame.metadata)
            if claimed is None:
                raise
            self._account(link, claimed)
            work = self._refuse(claimed, error, write)
        else:
            self._account(link, admitted.metadata)
            work = self._inspect(link, admitted, write)
        task = asyncio.get_running_loop().create_task(work)
        tasks.add(task)
        task.add_done_callback(lambda done: _ended(done, tasks))

    def _account(self, link: CameraLink, metadata: FrameMetadata) -> None:
        """Triggers of this source between the last frame and this one never came: each is UNINSPECTED, on the broker and in the journal.

        A count that goes back is a camera that started again.
        """
        key, now = (link.device, link.source), metadata.trigger_sequence
        before = self._last_trigger.get(key, now)
        if len(self._last_trigger) >= MAX_SOURCES and key not in self._last_trigger:
            self._last_trigger.clear()
        self._last_trigger[key] = now
        if 1 < now - before <= MAX_GAP:
            log.warning("%s: %d frames never came", link.device, now - before - 1)
            for missing in range(before + 1, now):
                self._maker.uninspected(replace(metadata, part="", trigger_sequence=missing), Reason.FRAME_GAP)

    async def _inspect(self, link: CameraLink, admitted: Admitted, write: Any) -> None:
        m = admitted.metadata
        try:
            inspection = await self._engine.inspect(link.device, m.part_type, admitted.image, m.encoding, m.width, m.height)
            link.standing()  # trust that ended while the frame was in the model ends here, not at the next frame
            envelope = self._maker.inspected(admitted, inspection)
        except FramegateError as error:
            await self._refuse(m, error, write, admitted.counter)
            return
        await write(pb.GatewayMessage(answer=pb.FrameAnswer(verdict=envelope)))

    async def _refuse(self, metadata: FrameMetadata, error: FramegateError, write: Any, counter: int = 0) -> None:
        envelope = self._maker.uninspected(metadata, error.reason, counter)
        await write(pb.GatewayMessage(answer=pb.FrameAnswer(verdict=envelope)))


def _ended(task: asyncio.Task[None], tasks: set[asyncio.Task[None]]) -> None:
    tasks.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        log.info("frame: %s", ascii(str(error)))  # the camera is gone; its frame's verdict is in the journal and on the broker


class GatewayOperatorService(rpc.GatewayOperatorServicer):
    """What operators may read: verdicts, pictures of the last defects, status."""

    def __init__(self, keys: GatewayKeys, view: TrustView, engine: Engine, journal: Journal) -> None:
        self._keys, self._view, self._engine, self._journal = keys, view, engine, journal

    async def ListVerdicts(self, request: pb.ListVerdictsRequest, context: Context) -> pb.Verdicts:
        """The latest verdicts, newest first."""
        await self._operator(context)
        rows = [e for v, e in reversed(self._journal.rows) if request.device in {"", v.device} and request.outcome in {"", v.outcome}]
        return pb.Verdicts(verdicts=rows[: min(request.limit or 20, 500)])

    async def WatchVerdicts(self, request: pb.ListVerdictsRequest, context: Context) -> AsyncIterator[pb.Verdicts]:
        """Verdicts as they are made, and an empty message every second."""
        await self._operator(context)
        queue = self._journal.watch()
        try:
            while not queue.full():
                try:
                    verdict, envelope = await asyncio.wait_for(queue.get(), WATCH_BEAT_S)
                except TimeoutError:
                    await self._operator(context)
                    yield pb.Verdicts()
                    continue
                if request.device in {"", verdict.device} and request.outcome in {"", verdict.outcome}:
                    yield pb.Verdicts(verdicts=[envelope])
        finally:
            self._journal.unwatch(queue)

    async def Picture(self, request: pb.PictureRequest, context: Context) -> pb.PictureReply:
        """The picture of a recent defect."""
        await self._operator(context)
        frame = self._journal.frame(request.verdict_id)
        try:
            if frame is None:
                raise Refused.of(Reason.NOT_FOUND, "a DEFECT verdict of the last few", ascii(request.verdict_id[:80]), "framegate verdict list --outcome DEFECT")
            return pb.PictureReply(png=await self._engine.picture(frame.image, frame.encoding, frame.defects))
        except FramegateError as error:
            await _abort(context, error)
            raise

    async def Status(self, request: pb.ListRequest, context: Context) -> pb.GatewayStatus:
        """Counts and health."""
        await self._operator(context)
        credentials = self._keys.credentials
        return pb.GatewayStatus(
            gateway=credentials.device if credentials else "", model_sha256=self._engine.bundle.digest.hex(), outcomes=dict(self._journal.outcomes),
            refusals=dict(self._journal.refusals), gate_open=self._view.open and credentials is not None, isolation=self._engine.isolation,
            last_accept_ms=self._journal.last_accept_ms,
        )  # fmt: skip

    async def _operator(self, context: Context) -> None:
        try:
            credentials = self._keys.credentials
            if credentials is None:
                raise Refused.of(Reason.NOT_TRUSTED, "a gateway's host in standing", self._keys.refused or "no warrant")
            verify_certificate(presented_certificate(context), Purpose.OPERATOR, credentials.authorities, credentials.root, from_ms(self._view.now_ms()))
        except FramegateError as error:
            await _abort(context, error)


async def _abort(context: Context, error: FramegateError) -> None:
    code, details, metadata = to_status(error)
    await context.abort(code, details, trailing_metadata=metadata)
