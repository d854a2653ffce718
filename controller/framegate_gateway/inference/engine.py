"""The parent's side of inference: asks the child one frame at a time, shares it fairly, replaces it
when it dies.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from framegate.errors import FramegateError, Reason, Refused, Unavailable
from framegate.findings.kinds import FindingKind
from framegate.payload.kinds import further_of
from framegate.receipt_verifier import UNCONFINED
from framegate_gateway.inference.answers import (
    LESSON,
    BadAnswer,
    Refusal,
    asked,
    verify_answer,
    verify_start,
)
from framegate_gateway.inference.bundle import Bundle
from framegate_gateway.inference.child import InferenceChild
from framegate_gateway.inference.inspection import Inspection, inspection_of
from framegate_gateway.inference.jobs import CameraFrame, Job, Sent, fail
from framegate_gateway.inference.parts import Parts, digest_of, least_left
from framegate_gateway.inference.payload_share import left_of_frame
from framegate_gateway.inference.providers import CPU
from framegate_gateway.inference.steadiness import Steadiness
from framegate_gateway.inference.turns import Turns

log = logging.getLogger(__name__)
START_TIMEOUT_S: Final = 30.0
LESSON_HINT: Final = (
    "let good parts of this one type go by, laid down alike, in one light; a part that varies is "
    "learned from pictures: framegate-models learn"
)
ANSWER_TIMEOUT_S: Final = 10.0
"""A frame takes some tens of ms; a child that is silent this long is stuck and is replaced."""
DEPTH: Final = 2
"""Frames with the child at once: while it works on one the next is already there, so that it never
waits for us; more would only queue unfairly.
"""
GOLDEN_KEPT: Final = 64
"""Part types whose golden images the child keeps decoded: 130 MB at 640 x 640 with what
registration needs of them.
"""
WATCH_S: Final = 60.0
"""How often known answers are asked again and the bundle's bytes hashed again: 24 small frames take
a fifth of a second, with frames of cameras between them.
"""


ChildTold = Callable[[FindingKind, str], None]
"""Who is told that the child died, or runs and is confined again, and in which way."""


def nobody(_kind: FindingKind, _said: str) -> None:
    """Nobody is told."""


class Engine:
    """Inference as a service of this process. Devices take turns, so that none starves another
    (N108).
    """

    def __init__(
        self,
        bundle: Bundle,
        parts: Parts,
        threads: int = 2,
        *,
        remote: bool = False,
        unconfined: bool = False,
        told: ChildTold = nobody,
        provider: str = CPU,
    ) -> None:
        self.bundle, self._parts, self._threads, self._elsewhere = bundle, parts, threads, remote
        self.provider = "" if remote else provider
        self._unconfined, self.told = unconfined, told
        self.isolation, self.known_answers = "", 0
        self.stopped: FramegateError | None = None
        self._turns = Turns()
        self._flying: deque[Job] = deque()
        self._work, self._room, self._sent = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._known: OrderedDict[str, Sent] = OrderedDict()
        self._child: InferenceChild | None = None
        self._ids = 0

    async def start(self) -> None:
        """Start the child, give it the model, have it prove itself by its known answers. Raises
        Unavailable (MODEL, UNCONFINED) or Refused (MODEL, MODEL_GRAPH, KNOWN_ANSWER).
        """
        child = self._child = await InferenceChild.spawn(self._threads, unconfined=self._unconfined)
        self._known.clear()
        files = [(name, data) for name, data in self.bundle.files.items()]
        head = {"files": [(name, len(data)) for name, data in files], "elsewhere": self._elsewhere}
        head["provider"] = self.provider
        head["payloads"] = further_of(self.bundle.recipe.examined)
        try:
            await child.send(head, tuple(data for _, data in files))
            answer, body = await asyncio.wait_for(child.receive(None), START_TIMEOUT_S)
            started = verify_start(answer, body, len(self.bundle.known), self.provider)
        except (EOFError, OSError, TimeoutError, BadAnswer) as error:
            self._kill()
            wanted, hint = "an inference child that loads the model", "see its message above"
            raise Unavailable.of(Reason.MODEL, wanted, type(error).__name__, hint) from error
        if isinstance(started, Refusal):
            self._kill()
            raise started.error("a model that may run")
        accepted = f"{UNCONFINED}: " if self._unconfined else ""
        self.isolation, self.known_answers = accepted + started.isolation, started.known_answers

    async def run(self) -> None:
        """Serve jobs forever. A child that dies or hangs is replaced; the frames it had are errors,
        never verdicts.
        """
        while True:
            tasks = [
                asyncio.create_task(self._send_jobs()),
                asyncio.create_task(self._read_answers()),
            ]
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
                error = next((e for t in done if (e := t.exception()) is not None), None)
            finally:
                for task in tasks:
                    task.cancel()
            if not isinstance(error, EOFError | OSError | TimeoutError | BadAnswer):
                raise error or RuntimeError("the engine's loops end only by an error")
            log.error("inference child: %s %s", type(error).__name__, error)
            self._kill()
            self.told(FindingKind.CHILD_DIED, f"{type(error).__name__} {error}")
            try:
                await self.start()
                self.told(FindingKind.CHILD_CONFINED, self.isolation)
            except Refused as refused:
                self.stopped = refused
                self.told(FindingKind.MODEL_REFUSED, str(refused))
            except Unavailable as unavailable:
                log.error("inference child: %s", unavailable)

    async def watch(
        self, failed: Callable[[FramegateError], Awaitable[None]], every_s: float = WATCH_S
    ) -> None:
        """Forever: hash the bundle's bytes and ask the known answers again. A deviation stops this
        engine for good and tells `failed` (N105).
        """
        while self.stopped is None:
            await asyncio.sleep(every_s)
            try:
                await self.prove()
            except Refused as error:
                self.stopped = error
                log.error("the model is stopped: %s", error)
                await failed(error)
            except FramegateError as error:
                log.info(
                    "known answers put off: %s", error
                )  # the child was being replaced: it proves itself when it starts

    async def prove(self) -> int:
        """How many known answers the model gave as it must, its bytes unchanged. Raises Refused
        (MODEL, KNOWN_ANSWER, INFERENCE).
        """
        if not await asyncio.to_thread(self.bundle.rehash):
            raise Refused.of(
                Reason.MODEL,
                f"the model {self.bundle.digest.hex()[:16]} in memory",
                "other bytes",
                "restart this host; if it happens again, look at its memory",
            )
        return await self._known_answers()

    async def _known_answers(self) -> int:
        """One after the other, so that frames of cameras get their turn between two of them."""
        steadiness = Steadiness()
        for number, known in steadiness.rounds(self.bundle.known):
            answer = await self._known_answer(number)
            if "failed" in answer:
                raise Refused.of(Reason(answer["failed"]), "the known answers", answer["why"])
            steadiness.count(known, steady=answer["steady"])
        return len(self.bundle.known)

    async def _known_answer(self, number: int) -> dict[str, Any]:
        return (await self._submit("", {"kind": "known", "number": number}, b""))[0]

    async def learn(self, frames: Sequence[bytes]) -> tuple[bytes, dict[str, Any]]:
        """(PNG, facts) of a golden image learnt from good frames; see `learning.learn_golden`.
        Raises Refused.
        """
        answer, png = await self._submit(
            "", {"kind": "learn", "sizes": [len(f) for f in frames]}, b"".join(frames)
        )
        if "failed" in answer:
            wanted = "good frames of one part"
            raise Refused.of(Reason(answer["failed"]), wanted, answer["why"], LESSON_HINT)
        return png, {name: answer[name] for name in LESSON}

    async def inspect(self, frame: CameraFrame, *, measure: int = 0) -> Inspection:
        """Inspect one frame; the golden image gets its masks too. With `measure`, the number of
        a commission, second looks are taken of a part without limits, too.

        Raises Refused (PAYLOAD, PART_UNKNOWN, IMAGE, IMAGE_COVERED, IMAGE_EXPOSURE, IMAGE_DEFOCUS,
        REGISTRATION, MASK, INSPECTED_SHARE, KNOWN_ANSWER), `Withheld`, or Unavailable (INFERENCE).
        """
        if self.stopped is not None:
            raise Refused(self.stopped.failures)
        self.bundle.recipe.require_payload(frame.encoding)
        if frame.part_type not in self._parts:
            raise Refused.of(
                Reason.PART_UNKNOWN,
                "a part type with a golden image",
                ascii(frame.part_type),
                "framegate part add",
            )
        head = {
            "kind": "inspect",
            "part_type": frame.part_type,
            "encoding": frame.encoding,
            "width": frame.width,
            "height": frame.height,
            "masks": frame.masks,
            "camera": frame.device,
            "measure": measure,
        }
        head |= frame.taken.members if self.bundle.recipe.examined else {}
        answer = await self._inspected(frame.device, head, frame.image)
        if "failed" in answer:
            raise Refused.of(
                Reason(answer["failed"]), "an image the model can inspect", answer["why"]
            )
        if self.stopped is not None:  # it deviated while this frame was on its way
            raise Refused(self.stopped.failures)
        return inspection_of(answer, answer["limits"])

    async def _inspected(self, device: str, head: dict[str, Any], image: bytes) -> dict[str, Any]:
        return (await self._submit(device, head, image))[0]

    async def picture(
        self,
        image: bytes,
        encoding: int,
        defects: tuple[dict[str, Any], ...],
        lines: Sequence[str] = (),
    ) -> bytes:
        """A PNG of the frame with its boxes drawn in, over `lines` in a strip below it."""
        head = {"kind": "picture", "encoding": encoding, "defects": defects, "lines": list(lines)}
        return await self._drawn(head, image)

    async def card(
        self,
        image: bytes,
        encoding: int,
        defects: tuple[dict[str, Any], ...],
        part_type: str,
        outcome: str,
        lines: list[str],
    ) -> bytes:
        """A PNG of golden image and frame side by side, the frame with its boxes, under `lines`."""
        known = self.bundle.recipe.examined is None and part_type in self._parts
        golden = self._parts.get(part_type).goldens[0] if known else b""
        head = {"kind": "card", "encoding": encoding, "defects": defects, "outcome": outcome}
        head |= {"golden_size": len(golden), "lines": lines}
        return await self._drawn(head, golden + image)

    async def marked(self, image: bytes, encoding: int, lines: list[str]) -> bytes:
        """A PNG of the frame with `lines` in a strip below it, which does not cover a pixel."""
        return await self._drawn({"kind": "marked", "encoding": encoding, "lines": lines}, image)

    async def _drawn(self, head: dict[str, Any], body: bytes) -> bytes:
        answer, png = await self._submit("", head, body)
        if "failed" in answer:
            raise Refused.of(Reason.IMAGE, "an image that can be drawn", answer["why"])
        return png

    async def stop(self) -> None:
        """End the child and every waiting job."""
        self._kill()
        while (job := self._turns.next()) is not None:
            fail(job, Unavailable.of(Reason.INFERENCE, "a running gateway", "stopping"))

    async def _send_jobs(self) -> None:
        while True:
            await self._work.wait()
            job = None
            if len(self._flying) < DEPTH:
                job = self._turns.next({flying.device for flying in self._flying})
            if not self._turns and job is None:
                self._work.clear()
            elif job is None:  # until an answer, or a frame of another camera, comes
                self._room.clear()
                await self._room.wait()
            elif not job.done.cancelled():
                try:
                    message = self._prepared(job)
                except FramegateError as error:
                    fail(job, error)
                    continue
                self._flying.append(job)
                self._sent.set()
                await self._running().send(*message)

    async def _read_answers(self) -> None:
        while True:
            if not self._flying:
                self._sent.clear()
                await self._sent.wait()
            question = asked(self.bundle, self._flying[0].head, len(self._flying[0].goldens))
            head, body = await asyncio.wait_for(self._running().receive(question), ANSWER_TIMEOUT_S)
            verify_answer(question, head, body)  # where it is none, the child ends with all it has
            job = self._flying.popleft()
            self._room.set()
            part_type = job.head.get("part_type", "")
            if job.golden_sent and not head.get("golden_taken"):
                self._known.pop(part_type, None)
            if not job.done.done():
                golden = job.goldens[head.get("golden", 0)] if job.goldens else ""
                left = least_left(job.left, head.get("part_percent"))
                behind = {"golden_sha256": golden, "inspected": left, "limits": job.limits}
                job.done.set_result(({**head, **behind}, body))

    def _prepared(self, job: Job) -> tuple[dict[str, Any], tuple[bytes, ...]]:
        """The message for a job; the golden image goes along where the child does not have it,
        decided now because jobs change places.
        """
        if job.head["kind"] not in {"inspect", "prepare"}:
            return job.head, (job.body,)
        part_type, forget, recipe = job.head["part_type"], [], self.bundle.recipe
        goldens: tuple[bytes, ...] = ()
        try:
            key, sent = self._parts.key(part_type), self._known.get(part_type)
            if sent is None or sent.key != key:
                part = self._parts.get(part_type)
                job.left = left_of_frame(recipe, job.head, part.rules, part.outline)
                goldens, job.golden_sent = part.goldens, True
                self._known.pop(part_type, None)
                if len(self._known) >= GOLDEN_KEPT:
                    forget.append(self._known.popitem(last=False)[0])
                sent = self._known[part_type] = Sent(
                    key, digest_of(goldens), part.rules, part.outline
                )
            else:
                job.left = left_of_frame(recipe, job.head, sent.rules, sent.outline)
        except KeyError as error:
            raise Refused.of(
                Reason.PART_UNKNOWN,
                "a part type with a golden image",
                ascii(part_type),
                "it was taken away a moment ago",
            ) from error
        job.goldens, job.limits = sent.goldens, sent.rules["looks"]
        head = {
            **job.head,
            "golden_bytes": [len(g) for g in goldens],
            "forget": forget,
            "rules": sent.rules,
        }
        return head, (*goldens, job.body)

    async def _submit(
        self, device: str, head: dict[str, Any], body: bytes
    ) -> tuple[dict[str, Any], bytes]:
        self._ids += 1
        done = asyncio.get_running_loop().create_future()
        job = Job({"id": self._ids, **head}, body, done, device)
        self._turns.add(job)
        self._work.set()
        self._room.set()
        return await job.done

    def _running(self) -> InferenceChild:
        if self._child is None:
            raise EOFError
        return self._child

    def _kill(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child = None
        self._known.clear()
        for job in self._flying:
            ended = "the inference child ended"
            fail(job, Unavailable.of(Reason.INFERENCE, "an answer of the model", ended))
        self._flying.clear()
