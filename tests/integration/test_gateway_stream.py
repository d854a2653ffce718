"""N106 to N108, N133 at the real door: every frame that opens gets exactly one signed answer, and a
refused one is never PASS. What does not open is counted and gets none.
"""

import asyncio
import os

import grpc
import pytest

from framegate.errors import FramegateError, Reason
from framegate.identity.certificates import load_authorities
from framegate.wire import Captured
from framegate_agent.camera.heads import sign_owed
from framegate_gateway.admission.budget import MAX_IN_FLIGHT
from framegate_proto.edge import from_failures, from_rpc_error
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc
from framegate_simulators.fixtures.access import (
    access_update,
    operator_pair,
    operator_trust,
)
from framegate_simulators.fixtures.frames import captured
from framegate_simulators.fixtures.gateway import CAMERA, HOST
from support.flipped import flipped
from support.gate import Gate
from support.waiting import until


@pytest.fixture
async def gate(keys, tmp_path):
    running = Gate(keys, tmp_path)
    await running.server.start()
    await running.operators.start()
    yield running
    await running.server.stop(0)
    await running.operators.stop(0)
    running.receipts.close()


def head(number: int, **changes) -> Captured:
    return captured(number, 5, **({"captured_at_ms": 1, "uncertainty_ms": 1} | changes))


async def test_n107_every_refused_frame_is_uninspected_with_its_reason(gate):
    async with gate.stream() as channel:
        call = rpc.FramesStub(channel).Stream()
        session = await gate.opened(call)
        send = lambda frame: call.write(pb.CameraMessage(frame=frame))  # noqa: E731
        await send(session.seal(head(1), b"image %d" % 1))
        assert gate.verdict(await call.read()).outcome == "PASS"
        good = session.seal(head(2), b"image %d" % 2)
        for frame, reason in (
            (good, None),
            (session.seal(head(3, part_type="unknown"), b"image %d" % 3), "part-unknown"),
            (session.seal(head(4, width=0), b"image %d" % 4), "image"),
            (session.seal(head(7, part_type="faulty"), b"image 7"), "internal"),
            (session.seal(head(8), b"image 1"), "frame-frozen"),
        ):
            await send(frame)
            verdict = gate.verdict(await call.read())
            assert (verdict.outcome, verdict.reason) == (
                ("UNINSPECTED", reason) if reason else ("PASS", "")
            ), reason
        gate.trust("quarantined")
        await send(session.seal(head(5), b"image %d" % 5))
        assert gate.verdict(await call.read()).reason == "quarantined"
        gate.trust("trusted")
        await send(session.seal(head(6), b"image %d" % 6))
        assert gate.verdict(await call.read()).outcome == "PASS"
    await until(lambda: gate.journal.outcomes == {"PASS": 3, "UNINSPECTED": 7}, 10)


async def test_n107_trust_that_ends_while_the_frame_is_in_the_model(gate):
    async with gate.stream() as channel:
        call = rpc.FramesStub(channel).Stream()
        session = await gate.opened(call)
        gate.engine.go.clear()
        await call.write(pb.CameraMessage(frame=session.seal(head(1), b"image %d" % 1)))
        await until(lambda: gate.engine.taken == 1)
        gate.trust("quarantined")
        gate.engine.go.set()
        verdict = gate.verdict(await call.read())
        assert (verdict.outcome, verdict.reason) == ("UNINSPECTED", "quarantined")


async def test_n108_frames_past_the_limit_are_answered_at_once(gate):
    async with gate.stream() as channel:
        call = rpc.FramesStub(channel).Stream()
        session = await gate.opened(call)
        gate.engine.go.clear()
        for number in range(MAX_IN_FLIGHT + 3):
            await call.write(
                pb.CameraMessage(frame=session.seal(head(number), b"image %d" % number))
            )
        early = [gate.verdict(await call.read()) for _ in range(3)]
        assert {v.reason for v in early} == {"too-many-frames-in-flight"}
        gate.engine.go.set()
        rest = [gate.verdict(await call.read()) for _ in range(MAX_IN_FLIGHT)]
        assert {v.trigger_sequence for v in (*early, *rest)} == set(range(MAX_IN_FLIGHT + 3)), (
            "parts in = verdicts out"
        )


async def test_n106_triggers_that_never_came_are_uninspected(gate):
    async with gate.stream() as channel:
        call = rpc.FramesStub(channel).Stream()
        session = await gate.opened(call)
        for number in (5, 6, 9, 2, 3):
            await call.write(
                pb.CameraMessage(frame=session.seal(head(number), b"image %d" % number))
            )
            assert gate.verdict(await call.read()).trigger_sequence == number
    await until(lambda: gate.journal.refusals["frame-gap"])
    assert gate.journal.outcomes == {"PASS": 5, "UNINSPECTED": 2}
    (gap,) = gate.leaves("gap")  # no verdict: one leaf, however many triggers
    assert (gap["fg"]["first"], gap["fg"]["last"], gap["fg"]["count"]) == (7, 8, 2)
    assert len(gate.leaves("verdict")) == 5


@pytest.mark.parametrize("what", ["garbage", "empty"])
async def test_messages_that_end_the_stream(gate, what):
    async with gate.stream() as channel:
        call = rpc.FramesStub(channel).Stream()
        assert (await call.read()).offer
        message = {
            "garbage": pb.CameraMessage(
                opening=pb.SignedOpening(opening=os.urandom(99), signature=b"x")
            ),
            "empty": pb.CameraMessage(),
        }[what]
        await call.write(message)
        answer = await call.read()
        assert answer.WhichOneof("kind") == "refusal" and from_failures(answer.refusal.failures)
        assert await call.read() is grpc.aio.EOF


async def test_n133_what_does_not_open_is_not_answered_and_what_does_is_still(gate):
    """A flipped byte and a replay, sent by whoever: the good frame after each has its answer as if
    they had not been.
    """
    async with gate.stream() as channel:
        call = rpc.FramesStub(channel).Stream()
        session = await gate.opened(call)
        for number in range(1, 6):
            good = session.seal(head(number), b"image %d" % number)
            spoiled = pb.SealedFrame(metadata=good.metadata, sealed=flipped(good.sealed))
            for frame in (spoiled, good, good):
                await call.write(pb.CameraMessage(frame=frame))
            verdict = gate.verdict(await call.read())
            assert (verdict.outcome, verdict.trigger_sequence) == ("PASS", number)
    assert gate.journal.outcomes == {"PASS": 5} and len(gate.leaves()) == 5
    await until(lambda: sum(gate.journal.unanswered.values()) == 10, 10)
    assert gate.journal.unanswered == {"frame-authentication": 5, "frame-replayed": 5}
    operator = operator_pair(gate.fleet, "anna")
    trust = access_update(gate.fleet, [operator_trust("anna", operator)])
    gate.view.apply(pb.TrustUpdate(revision=gate.view.revision + 1, access=trust))
    async with gate.channel(gate.operator_port, operator) as channel:
        status = await rpc.GatewayOperatorStub(channel).Status(pb.ListRequest())
    assert dict(status.unanswered) == {"frame-authentication": 5, "frame-replayed": 5}
    (kept,) = status.receipts
    assert kept.device == CAMERA and kept.quota == 2**20 and 0 < kept.bytes < kept.quota
    assert kept.oldest_ms and not kept.pruned


async def test_n133_a_stream_without_an_opening_ends_by_itself(gate, monkeypatch):
    monkeypatch.setattr("framegate_gateway.ports.conversation.OPENING_S", 0.2)
    async with gate.stream() as channel:
        call = rpc.FramesStub(channel).Stream()
        assert (await call.read()).WhichOneof("kind") == "offer"
        assert await asyncio.wait_for(call.read(), 20) is grpc.aio.EOF


async def test_an_operators_certificate_sends_no_frames_and_a_cameras_reads_no_verdicts(gate):
    operator = operator_pair(gate.fleet, "anna")
    gate.view.apply(
        pb.TrustUpdate(
            revision=gate.view.revision + 1,
            access=access_update(gate.fleet, [operator_trust("anna", operator)]),
        )
    )
    async with gate.channel(gate.operator_port, operator) as channel:
        status = await rpc.GatewayOperatorStub(channel).Status(pb.ListRequest())
        assert status.gateway == HOST and status.gate_open and status.now_ms and not status.broker
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await rpc.GatewayOperatorStub(channel).Picture(pb.PictureRequest(verdict_id="x\x1b"))
        assert from_rpc_error(caught.value, "").reason == Reason.NOT_FOUND
    async with gate.channel(gate.port, operator) as channel:
        with pytest.raises(grpc.aio.AioRpcError):
            await rpc.FramesStub(channel).Stream().read()
    camera = gate.camera.tls_pair
    async with gate.channel(gate.operator_port, camera) as channel:
        with pytest.raises(grpc.aio.AioRpcError):
            await rpc.GatewayOperatorStub(channel).ListVerdicts(pb.ListVerdictsRequest(), timeout=5)


@pytest.mark.parametrize("in_peace", [True, False])
async def test_a_gateway_tells_what_a_camera_sent_and_how_its_stream_ended(gate, in_peace):
    def row():
        (only,) = gate.journal.traffic.rows(gate.view.now_ms())
        return only

    async with gate.stream() as channel:
        call = rpc.FramesStub(channel).Stream()
        session = await gate.opened(call)
        await call.write(pb.CameraMessage(frame=session.seal(head(1), b"image 1")))
        assert gate.verdict(await call.read()).outcome == "PASS"
        sent = row()
        assert (sent.device, sent.streams, sent.outcomes) == (CAMERA, 1, {"PASS": 1})
        assert sent.last_frame_ms >= sent.begun_ms > 0
        if in_peace:
            await call.write(pb.CameraMessage(head=sign_owed(session.owed, gate.camera, 5)))
            assert (await call.read()).WhichOneof("kind") == "head_taken"
        call.cancel()
    await until(lambda: not row().streams)
    assert row().in_peace is in_peace and row().ended_ms >= sent.last_frame_ms


def test_authorities_that_the_root_did_not_sign(keys, tmp_path):
    from framegate_controller.ca.open import found_fleet

    other = found_fleet(tmp_path / "other", "plant")
    good = [k.der for k in keys.issuing.values()]
    assert len(load_authorities(good, keys.root.certificate)) == 5
    for bad in ([*good, other.issuing["device-ca"].der], [b"junk"]):
        with pytest.raises(FramegateError) as caught:
            load_authorities(bad, keys.root.certificate)
        assert caught.value.reason == Reason.CERTIFICATE


async def test_n30_a_message_that_is_small_on_the_wire_and_huge_inside(gate):
    """Forty megabytes of zeros compress to nothing; the limit counts what comes out."""
    async with gate.stream() as channel:
        call = rpc.FramesStub(channel).Stream(compression=grpc.Compression.Gzip)
        assert (await call.read()).WhichOneof("kind") == "offer"
        await call.write(pb.CameraMessage(frame=pb.SealedFrame(sealed=bytes(40 * 1024 * 1024))))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            while await call.read() is not grpc.aio.EOF:
                pass
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
