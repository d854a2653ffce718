"""One camera's conversation with the gateway, whatever carries it: sealed frames in, signed
verdicts out, exactly one for every frame that opens. What does not open is counted.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from framegate.errors import FramegateError, Reason, Refused, Unavailable
from framegate.wire import FrameHead
from framegate_gateway.admission.admitted import Admitted, OpenedFrame
from framegate_gateway.admission.budget import MAX_IN_FLIGHT, CameraBudget
from framegate_gateway.admission.gaps import TriggerGaps
from framegate_gateway.admission.link import CameraLink
from framegate_gateway.inference.golden_learner import GoldenLearner
from framegate_gateway.inference.inspection import Inspection, Withheld
from framegate_gateway.inference.jobs import CameraFrame, Taken
from framegate_gateway.inference.models import Models
from framegate_gateway.receipts.store import ReceiptStore
from framegate_gateway.trust.feed import TrustView
from framegate_gateway.verdicts.maker import VerdictMaker
from framegate_host.watchdog import Outstanding
from framegate_proto.edge import to_failures
from framegate_proto.v1 import framegate_pb2 as pb

log = logging.getLogger(__name__)
Read = Callable[[], Awaitable[pb.CameraMessage | None]]
"""The camera's next message, None at the end."""
Write = Callable[[pb.GatewayMessage], Awaitable[None]]
OPENING_S: Final = 30.0
"""How long a conversation may go on without an accepted opening: a TPM signs in a second, and who
only brings heads is done sooner.
"""
DRAIN_S: Final = 3.0
"""For frames that were taken before the process was told to end: some hundred, at 30 ms each. With
what follows it ends within five seconds; a service manager would wait for longer.
"""
MAX_UNOPENED: Final = 64
"""Frames of one conversation that did not open; one more ends it. An honest camera opens another,
and has its frames there.
"""


@dataclass
class _Conversation:
    """What a conversation has on the way; frames' tasks end with it, receipts of gaps do not."""

    link: CameraLink
    budget: CameraBudget
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    unopened: int = 0


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
        self.kinds = models.kinds
        self._budgets: dict[str, CameraBudget] = {}
        self.gaps = TriggerGaps(maker.gap)
        self._ending = asyncio.Event()
        self._open = Outstanding("conversations", math.inf)

    async def converse(
        self, link_of: Callable[[], CameraLink], read: Read, write_one: Write
    ) -> None:
        """Until the camera ends it, a message that is refused does, or the gateway. `link_of`
        establishes whose connection this is, or raises.
        """
        with self._open.one():
            await self._converse(link_of, read, write_one)

    async def _converse(
        self, link_of: Callable[[], CameraLink], read: Read, write_one: Write
    ) -> None:
        writing = asyncio.Lock()

        async def write(message: pb.GatewayMessage) -> None:
            async with writing:
                await write_one(message)

        talk: _Conversation | None = None
        link: CameraLink | None = None
        try:
            link = link_of()
            self._maker.traffic.began(link.device, self._view.now_ms())
            link.standing()
            talk = _Conversation(link, self._budgets.setdefault(link.device, CameraBudget()))
            await write(pb.GatewayMessage(offer=link.offer()))
            begun_s = time.monotonic()
            while (message := await self._next(read, link, begun_s)) is not None:
                await self._message(talk, message, write)
            if talk.tasks:
                await asyncio.wait(talk.tasks)
        except FramegateError as error:
            log.info("stream ended: %s", ascii(str(error)))
            if link is not None and not link.opened:
                self._maker.opening_refused(link.device, error)
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
            if link is not None:
                now = self._view.now_ms()
                self._maker.traffic.ended(link.device, now, in_peace=link.signed_off)
            for task in talk.tasks if talk is not None else ():
                task.cancel()

    async def drain(self, within_s: float = DRAIN_S) -> None:
        """Take no frame any more; each that was taken has its answer before its conversation ends,
        or has had `within_s` for it. Cameras send the rest to another gateway, or to the next
        process.
        """
        self._ending.set()
        try:
            await asyncio.wait_for(self._open.none(), within_s)
        except TimeoutError:
            log.error("answers that were due at the end did not come within %g s", within_s)

    async def _next(self, read: Read, link: CameraLink, begun_s: float) -> pb.CameraMessage | None:
        """The next message; None at the end, where no opening was accepted in time, and where the
        gateway ends.
        """
        reading = asyncio.ensure_future(read())
        ending = asyncio.ensure_future(self._ending.wait())
        left_s = None if link.opened else max(0.0, begun_s + OPENING_S - time.monotonic())
        try:
            await asyncio.wait(
                {reading, ending}, timeout=left_s, return_when=asyncio.FIRST_COMPLETED
            )
            if reading.done() and not self._ending.is_set():
                return reading.result()
            if not self._ending.is_set():
                log.info("%s: no opening within %g s", link.device, OPENING_S)
            return None
        finally:
            ending.cancel()
            if not reading.cancel() and not reading.cancelled():
                reading.exception()  # it broke off just as the gateway ends: nobody asks any more

    async def _message(self, talk: _Conversation, message: pb.CameraMessage, write: Write) -> None:
        kind, link = message.WhichOneof("kind"), talk.link
        if kind == "frame":
            self._frame(talk, message.frame, write)
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
            self._receipts.recertified(
                link.opened, link.session_certificate(), link.certified_from_ms
            )
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
        receipts stay without the camera's word. Before an accepted opening that is not told: whose
        conversation this is is then a claim.
        """
        try:
            taken = await asyncio.to_thread(link.head, signed.head, signed.signature, signed.leaves)
        except FramegateError as error:
            log.warning("head of %s refused: %s", link.device, ascii(str(error)))
            if not link.opened:
                self._maker.unanswered(link.device, Reason.FRAME_HEAD)
                return
            session = FrameHead.parse(signed.head).session
            await write(pb.GatewayMessage(head_taken=pb.HeadTaken(session=session, refused=True)))
            return
        await self._receipts.take_head(
            taken.session, link.device, taken.head, taken.signature, taken.tree
        )
        await write(pb.GatewayMessage(head_taken=pb.HeadTaken(session=taken.session)))

    def _frame(self, talk: _Conversation, sealed: pb.SealedFrame, write: Write) -> None:
        """Open, admit and hand over one frame, or answer UNINSPECTED. A frame that does not open
        is counted, and many of them end the conversation; so is a refused one for whose answer the
        camera's budget has no room.
        """
        link, budget = talk.link, talk.budget
        try:
            frame = link.open_frame(sealed.metadata, sealed.sealed)
        except FramegateError as error:
            self._maker.unanswered(link.device, error.reason)
            talk.unopened += 1
            if talk.unopened > MAX_UNOPENED:
                raise
            return
        m = frame.metadata
        self.gaps.seen(link.device, frame.source, m.trigger_sequence, m.session, budget)
        try:
            if budget.full:
                raise Refused.of(
                    Reason.FRAME_IN_FLIGHT,
                    f"at most {MAX_IN_FLIGHT} frames in flight",
                    budget.in_flight,
                )
            admitted = link.admit(frame)
        except FramegateError as error:
            if not budget.spend_refusal():
                self._maker.unanswered(link.device, error.reason)
                return
            work = self._refuse(frame, error, write, model=link.model)
        else:
            work = self._inspect(link, frame, admitted, write)
        task = asyncio.get_running_loop().create_task(work)
        budget.in_flight += 1
        talk.tasks.add(task)
        task.add_done_callback(lambda done: _ended(done, talk))

    async def _inspect(
        self, link: CameraLink, frame: OpenedFrame, admitted: Admitted, write: Write
    ) -> None:
        m, begun = admitted.metadata, time.perf_counter()
        if self._learner is not None:
            self._learner.offer(m.part_type, admitted.image)
        try:
            inspection = await self._models.inspect(
                admitted.grant.model_sha256, _camera_frame(link.device, admitted)
            )
            self._looked_at(link, m.part_type, inspection)
            # trust that ended while the frame was in the model ends here, not at the next frame
            link.standing()
            envelope = await self._maker.inspected(
                admitted, inspection, 1e3 * (time.perf_counter() - begun)
            )
        except Withheld as error:
            self._looked_at(link, m.part_type, error.inspection)
            await self._refuse(frame, error, write, admitted)
            return
        except FramegateError as error:
            await self._refuse(frame, error, write, admitted)
            return
        except Exception:  # whatever fails here, the frame has its answer and the part is diverted
            log.exception("inspection failed")
            fault = Unavailable.of(Reason.INTERNAL, "an inspection", "a fault of the gateway")
            await self._refuse(frame, fault, write, admitted)
            return
        await write(pb.GatewayMessage(answer=pb.FrameAnswer(verdict=envelope)))

    def _looked_at(self, link: CameraLink, part_type: str, inspection: Inspection) -> None:
        """Tell whoever follows second looks: a commission that is on, and drift."""
        self._models.commissioning.offer(link.device, part_type, inspection)
        self._maker.looked_at(link.device, part_type, inspection)

    async def _refuse(
        self,
        frame: OpenedFrame,
        error: FramegateError,
        write: Write,
        admitted: Admitted | None = None,
        model: str = "",
    ) -> None:
        envelope = await self._maker.uninspected(
            frame.metadata, error.reason, frame.counter, admitted, model
        )
        await write(pb.GatewayMessage(answer=pb.FrameAnswer(verdict=envelope)))


def _ended(task: asyncio.Task[None], talk: _Conversation) -> None:
    talk.tasks.discard(task)
    talk.budget.in_flight -= 1
    if not task.cancelled() and (error := task.exception()) is not None:
        log.info(
            "frame: %s", ascii(str(error))
        )  # the camera is gone; its frame's verdict is in the journal and on the broker


def _camera_frame(device: str, admitted: Admitted) -> CameraFrame:
    m, masks = admitted.metadata, admitted.masks
    taken = Taken(m.trigger_sequence, m.captured_at_ms, m.uncertainty_ms)
    return CameraFrame(
        device, m.part_type, admitted.image, m.encoding, m.width, m.height, masks, taken
    )
