"""A camera's stream towards gateways that are silent, or answer what was not asked."""

import asyncio
import threading
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from framegate.identity.certificates import Purpose
from framegate_agent.camera import frame_queue, grants
from framegate_agent.camera.heads import HeadSpool
from framegate_agent.camera.session import Demands
from framegate_agent.camera.stream import CameraStream
from framegate_controller.ca.issue import certify
from framegate_controller.ca.keys import SigningKey
from framegate_controller.ca.template import leaf_template
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_simulators.fixtures.frames import passed
from support.frames import CAMERA, HOST, replace_head

pytestmark = pytest.mark.slow  # streams run their clocks out


class Frames:
    """A source of a few frames, of which the last ten wait for `rest`."""

    def __init__(self, count: int) -> None:
        self._count, self.rest = count, asyncio.Event()
        self.rest.set()

    async def frames(self):
        for number in range(1, self._count + 1):
            if number > self._count - 10:
                await self.rest.wait()
            yield replace_head(part=f"p{number}", trigger_sequence=number), b"image%d" % number


class Carrier:
    """The way to a gateway that opens sessions and answers a frame as `answer` says, or not."""

    def __init__(self, door, answer) -> None:
        self._link, self._answer = door.link(), answer
        self._messages: asyncio.Queue = asyncio.Queue()
        self._messages.put_nowait(pb.GatewayMessage(offer=self._link.offer()))

    async def read(self):
        return await self._messages.get()

    async def write(self, message):
        kind = message.WhichOneof("kind")
        if kind == "opening":
            kid = self._link.open(message.opening.opening, message.opening.signature)
            self._messages.put_nowait(pb.GatewayMessage(accepted=pb.Accepted(kid=kid)))
        elif kind == "frame":
            frame = self._link.open_frame(message.frame.metadata, message.frame.sealed)
            verdict = self._answer(frame)
            if verdict is not None:
                self._messages.put_nowait(pb.GatewayMessage(answer=pb.FrameAnswer(verdict=verdict)))
        elif kind == "head":
            taken = self._link.head(message.head.head, message.head.signature, message.head.leaves)
            self._messages.put_nowait(
                pb.GatewayMessage(head_taken=pb.HeadTaken(session=taken.session))
            )


def stream_of(door, folder, count, answer) -> CameraStream:
    fleet = door.fleet

    class Way:
        @asynccontextmanager
        async def to(self, _grant, _certificate):
            yield Carrier(door, answer)

    async def fetch_grants(nonce):
        return [door.grant(nonce, model_sha256="aa")], ()

    spki = b"spki"
    identity = SimpleNamespace(
        state=SimpleNamespace(
            device=CAMERA,
            authority_certificates=tuple(k.certificate for k in fleet.issuing.values()),
            root_certificate=fleet.root.certificate,
            own_certificate=door.certificate,
        ),
        clock=SimpleNamespace(now_ms=door.view.now_ms),
        demands=Demands(),
        masks=b"",
        spool=HeadSpool(folder / "heads", spki),
        key=door.key,
        broker=Way(),
        fetch_grants=fetch_grants,
    )
    return CameraStream(identity, "source-1", Frames(count))


def verdict_on(door, frame, **changes) -> bytes:
    m = frame.metadata
    key = ec.generate_private_key(ec.SECP256R1())
    life, begun = timedelta(minutes=3), datetime.now(UTC)
    template = leaf_template(Purpose.VERDICT, HOST, key.public_key(), life, begun)
    by = SigningKey(key, certify(door.fleet.issuing["gateway-ca"], template))
    about = passed(
        door.view.now_ms(),
        device=m.device,
        part=m.part,
        part_type=m.part_type,
        trigger_sequence=m.trigger_sequence,
        session=m.session.hex(),
        counter=frame.counter,
        model_sha256="aa",
    )
    return replace(about, **changes).seal(by.der, by.sign)


async def test_n133_a_gateway_that_is_silent_costs_no_part_and_no_stream(
    door, tmp_path, monkeypatch
):
    """What does not open is not answered: the camera gives those parts up and goes on."""
    monkeypatch.setattr(frame_queue, "ANSWER_S", 0.2)
    monkeypatch.setattr(frame_queue, "PATIENCE_S", 0.0)
    stream = stream_of(door, tmp_path, 40, lambda _frame: None)
    async with asyncio.timeout(30):
        await stream.run()
    assert stream.tally.outcomes == {"UNINSPECTED": 40}, "parts in = outcomes out"
    assert not stream._frames.sent and not stream._frames.waiting


async def test_n133_frames_that_had_no_answer_stand_so_in_the_head(door, tmp_path, monkeypatch):
    monkeypatch.setattr(frame_queue, "ANSWER_S", 0.2)
    monkeypatch.setattr(frame_queue, "PATIENCE_S", 0.0)
    stream = stream_of(door, tmp_path, 3, lambda _frame: None)
    async with asyncio.timeout(30):
        await stream.run()
    owed = [o for o in stream._identity.spool.owed.values() if o.count]
    assert owed and all(o.unanswered == set(range(o.count)) for o in owed)


async def test_an_answer_on_the_very_frame_counts(door, tmp_path):
    stream = stream_of(door, tmp_path, 5, lambda frame: verdict_on(door, frame))
    async with asyncio.timeout(30):
        await stream.run()
    assert stream.tally.outcomes == {"PASS": 5} and stream.resent == 0


async def test_n128_a_source_that_counts_one_trigger_twice_has_two_answers(door, tmp_path):
    """A frame is known by its session and counter; numbers come again."""
    stream = stream_of(door, tmp_path, 0, lambda frame: verdict_on(door, frame))

    async def twice():
        for image in (b"a", b"b"):
            yield replace_head(part="p1", trigger_sequence=7), image

    stream.capture.frames = twice
    async with asyncio.timeout(30):
        await stream.run()
    assert stream.tally.outcomes == {"PASS": 2}


@pytest.mark.parametrize(
    "change",
    [
        {"part": "p9"},
        {"part_type": "u"},
        {"trigger_sequence": 9},
        {"counter": 7},
        {"session": "00" * 16},
        {"device": "camera.line-1.cam2"},
    ],
)
async def test_n129_an_answer_on_another_frame_part_or_type_is_refused(
    door, tmp_path, monkeypatch, change
):
    monkeypatch.setattr(frame_queue, "PATIENCE_S", 0.0)
    stream = stream_of(door, tmp_path, 1, lambda frame: verdict_on(door, frame, **change))
    async with asyncio.timeout(30):
        await stream.run()
    assert stream.tally.outcomes == {"UNINSPECTED": 1} and stream.problem[0].reason == "verdict"


class SlowKey:
    """A TPM that does not come back from its second signature until it is let."""

    def __init__(self, key) -> None:
        self._key, self.signed, self.let = key, 0, threading.Event()

    def sign_with_tls_key(self, message: bytes) -> bytes:
        self.signed += 1
        if self.signed == 2:
            assert self.let.wait(30)
        return self._key.sign_with_tls_key(message)


class Renewing(Carrier):
    """A gateway that offers another session when it is asked to, and says when it is open."""

    def __init__(self, door, answer, opened) -> None:
        super().__init__(door, answer)
        self._opened, self._accepted = opened, 0

    async def read(self):
        if self._accepted == 2:  # it was read: this is the next
            self._opened.set()
        message = await super().read()
        self._accepted += message.WhichOneof("kind") == "accepted"
        return message

    async def write(self, message):
        if message.WhichOneof("kind") == "renew":
            self._messages.put_nowait(pb.GatewayMessage(offer=self._link.offer()))
        await super().write(message)


async def test_frames_go_on_while_a_slow_tpm_signs_for_the_next_session(
    door, tmp_path, monkeypatch
):
    """Sixteen may be on the way: were answers not read meanwhile, the rest would wait for it."""
    answered = []

    def answer(frame):
        answered.append(frame)
        if len(answered) == 30:
            stream._identity.key.let.set()
        return verdict_on(door, frame)

    stream = stream_of(door, tmp_path, 60, answer)
    stream._identity.key = SlowKey(door.key)
    rest = stream.capture.rest
    rest.clear()

    class Way:
        @asynccontextmanager
        async def to(self, _grant, _certificate):
            yield Renewing(door, answer, rest)

    stream._identity.broker = Way()
    # a grant that was drawn half its life ago is renewed at once
    past = SimpleNamespace(monotonic=lambda: time.monotonic() - 31)
    monkeypatch.setattr(grants, "time", past)
    async with asyncio.timeout(60):
        await stream.run()
    assert stream.tally.outcomes == {"PASS": 60} and stream.resent == 0
    assert len({frame.metadata.session for frame in answered}) == 2, "and then it is used"
    assert stream._identity.key.signed >= 3, "two openings, and a head"


async def test_a_session_that_nobody_opened_is_not_taken_over(door, tmp_path, monkeypatch):
    """A gateway that says `accepted` of nothing ends the conversation."""
    monkeypatch.setattr(frame_queue, "PATIENCE_S", 0.0)

    class Eager(Carrier):
        async def write(self, message):
            await super().write(message)
            if message.WhichOneof("kind") == "frame":
                self._messages.put_nowait(pb.GatewayMessage(accepted=pb.Accepted(kid=9)))

    stream = stream_of(door, tmp_path, 2, lambda _frame: None)

    class Way:
        @asynccontextmanager
        async def to(self, _grant, _certificate):
            yield Eager(door, lambda _frame: None)

    stream._identity.broker = Way()
    async with asyncio.timeout(60):
        await stream.run()
    assert stream.tally.outcomes == {"UNINSPECTED": 2}
