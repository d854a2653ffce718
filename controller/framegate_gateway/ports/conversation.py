"""One camera's conversation with the gateway, whatever carries it: sealed frames in, signed
verdicts out, exactly one for every frame.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

from framegate.errors import FramegateError, Malformed, Reason, Refused, Unavailable
from framegate.sframe import parse_header
from framegate.wire import FrameHead, FrameMetadata
from framegate_gateway.admission.admitted import Admitted
from framegate_gateway.admission.link import CameraLink
from framegate_gateway.inference.golden_learner import GoldenLearner
from framegate_gateway.inference.models import Models
from framegate_gateway.receipts.store import ReceiptStore
from framegate_gateway.trust.feed import TrustView
from framegate_gateway.verdicts.maker import VerdictMaker
from framegate_proto.edge import to_failures
from framegate_proto.v1 import framegate_pb2 as pb

log = logging.getLogger(__name__)
Read = Callable[[], Awaitable[pb.CameraMessage | None]]
"""The camera's next message, None at the end."""
Write = Callable[[pb.GatewayMessage], Awaitable[None]]
MAX_SOURCES: Final = 10_000
"""Sources whose last trigger is remembered; their names are the cameras' own choice."""
MAX_GAP: Final = 1_000
"""Missing triggers that one frame may account for; a larger jump is a new count, not a gap."""
MAX_IN_FLIGHT: Final = 64
"""Frames of one connection between admission and verdict; one more is UNINSPECTED at once."""


class Conversations:
    """All cameras' conversations of one gateway process."""

    def __init__(
        self,
        view: TrustView,
        models: Models,
        maker: VerdictMaker,
        receipts: ReceiptStore,
        learner: GoldenLearner | None = None,
    ) -> None:
        self._view, self._models, self._maker, self._receipts, self._learner = (
            view,
            models,
            maker,
            receipts,
            learner,
        )
        self._last_trigger: dict[tuple[str, str], int] = {}
        self._gaps: set[asyncio.Task[bytes]] = set()

    async def converse(
        self, link_of: Callable[[], CameraLink], read: Read, write_one: Write
    ) -> None:
        """Until the camera ends it, or a message that is refused does. `link_of` establishes whose
        connection this is, or raises.
        """
        writing = asyncio.Lock()

        async def write(message: pb.GatewayMessage) -> None:
            async with writing:
                await write_one(message)

        tasks: set[asyncio.Task[None]] = set()
        try:
            link = link_of()
            link.standing()
            await write(pb.GatewayMessage(offer=link.offer()))
            while (message := await read()) is not None:
                await self._message(link, message, write, tasks)
            if tasks:
                await asyncio.wait(tasks)
        except FramegateError as error:
            log.info("stream ended: %s", ascii(str(error)))
            await write(pb.GatewayMessage(refusal=pb.Refusal(failures=to_failures(error.failures))))
        except (ConnectionError, EOFError):
            log.info("a camera's stream broke off")
        except Exception:
            log.exception("a camera's stream failed")
            fault = Unavailable.of(
                Reason.INTERNAL, "an answer", "a fault of the gateway, see its log"
            )
            await write(pb.GatewayMessage(refusal=pb.Refusal(failures=to_failures(fault.failures))))
        finally:
            for task in tasks:
                task.cancel()

    async def _message(
        self,
        link: CameraLink,
        message: pb.CameraMessage,
        write: Write,
        tasks: set[asyncio.Task[None]],
    ) -> None:
        kind = message.WhichOneof("kind")
        if kind == "frame":
            self._frame(link, message.frame, write, tasks)
        elif kind == "opening":
            kid = await asyncio.to_thread(
                link.open, message.opening.opening, message.opening.signature
            )
            self._receipts.opened(
                link.opened, link.device, link.session_certificate(), self._view.now_ms()
            )
            await write(pb.GatewayMessage(accepted=pb.Accepted(kid=kid)))
        elif kind == "renew":
            await write(pb.GatewayMessage(offer=link.offer()))
        elif kind == "certificate_refresh":
            link.refresh(message.certificate_refresh)
        elif kind == "masks":
            link.take_masks(message.masks)
        elif kind == "head":
            await self._head(link, message.head, write)
        else:
            raise Refused.of(
                Reason.MALFORMED,
                "opening, frame, renew, masks, head or certificate_refresh",
                "another message",
            )

    async def _head(self, link: CameraLink, signed: pb.SignedHead, write: Write) -> None:
        """Keep a head. One that does not hold is refused for good and ends nothing: its frames'
        receipts stay without the camera's word.
        """
        try:
            taken = await asyncio.to_thread(link.head, signed.head, signed.signature, signed.leaves)
        except FramegateError as error:
            log.warning("head of %s refused: %s", link.device, ascii(str(error)))
            session = FrameHead.parse(signed.head).session
            await write(pb.GatewayMessage(head_taken=pb.HeadTaken(session=session, refused=True)))
            return
        await self._receipts.take_head(
            taken.session, link.device, taken.head, taken.signature, taken.tree
        )
        await write(pb.GatewayMessage(head_taken=pb.HeadTaken(session=taken.session)))

    def _frame(
        self, link: CameraLink, frame: pb.SealedFrame, write: Write, tasks: set[asyncio.Task[None]]
    ) -> None:
        """Admit and hand over one frame, or answer UNINSPECTED. A frame that names no part of this
        camera's ends the stream.
        """
        try:
            if len(tasks) >= MAX_IN_FLIGHT:
                raise Refused.of(
                    Reason.FRAME_IN_FLIGHT, f"at most {MAX_IN_FLIGHT} frames in flight", len(tasks)
                )
            admitted = link.admit(frame.metadata, frame.sealed)
        except FramegateError as error:
            claimed = link.claimed(frame.metadata)
            if claimed is None:
                raise
            self._account(link, claimed)
            work = self._refuse(
                claimed, error, write, _claimed_counter(frame.sealed), model=link.model
            )
        else:
            self._account(link, admitted.metadata)
            work = self._inspect(link, admitted, write)
        task = asyncio.get_running_loop().create_task(work)
        tasks.add(task)
        task.add_done_callback(lambda done: _ended(done, tasks))

    def _account(self, link: CameraLink, metadata: FrameMetadata) -> None:
        """Triggers of this source between the last frame and this one never came: each is
        UNINSPECTED, on the broker and in the journal.

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
                gap = replace(
                    metadata, part="", trigger_sequence=missing, session=bytes(16)
                )  # no session sealed it: it is nobody's frame
                task = asyncio.get_running_loop().create_task(
                    self._maker.uninspected(gap, Reason.FRAME_GAP)
                )
                self._gaps.add(task)
                task.add_done_callback(self._gaps.discard)

    async def _inspect(self, link: CameraLink, admitted: Admitted, write: Write) -> None:
        m, begun = admitted.metadata, time.perf_counter()
        if self._learner is not None:
            self._learner.offer(m.part_type, admitted.image)
        try:
            inspection = await self._models.inspect(
                admitted.grant.model_sha256,
                link.device,
                m.part_type,
                admitted.image,
                m.encoding,
                m.width,
                m.height,
                admitted.masks,
            )
            # trust that ended while the frame was in the model ends here, not at the next frame
            link.standing()
            envelope = await self._maker.inspected(
                admitted, inspection, 1e3 * (time.perf_counter() - begun)
            )
        except FramegateError as error:
            await self._refuse(m, error, write, admitted.counter, admitted)
            return
        except Exception:  # whatever fails here, the frame has its answer and the part is diverted
            log.exception("inspection failed")
            await self._refuse(
                m,
                Unavailable.of(Reason.INTERNAL, "an inspection", "a fault of the gateway"),
                write,
                admitted.counter,
                admitted,
            )
            return
        await write(pb.GatewayMessage(answer=pb.FrameAnswer(verdict=envelope)))

    async def _refuse(
        self,
        metadata: FrameMetadata,
        error: FramegateError,
        write: Write,
        counter: int = 0,
        admitted: Admitted | None = None,
        model: str = "",
    ) -> None:
        envelope = await self._maker.uninspected(metadata, error.reason, counter, admitted, model)
        await write(pb.GatewayMessage(answer=pb.FrameAnswer(verdict=envelope)))


def _claimed_counter(sealed: bytes) -> int:
    try:
        return parse_header(sealed[:17]).counter
    except Malformed:
        return 0


def _ended(task: asyncio.Task[None], tasks: set[asyncio.Task[None]]) -> None:
    tasks.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        log.info(
            "frame: %s", ascii(str(error))
        )  # the camera is gone; its frame's verdict is in the journal and on the broker
