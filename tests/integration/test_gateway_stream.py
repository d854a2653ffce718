"""N106 to N108 at the real door: every frame that names this camera gets exactly one signed
answer, and a refused one is never PASS.
"""

import asyncio
import os
from dataclasses import replace

import grpc
import pytest

from framegate.errors import FramegateError, Reason
from framegate.identity.certificates import load_authorities
from framegate.wire import Captured, FrameMetadata
from framegate_gateway.ports.conversation import MAX_IN_FLIGHT
from framegate_proto.edge import from_failures, from_rpc_error
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc
from framegate_simulators.fixtures.access import (
    access_update,
    operator_pair,
    operator_trust,
)
from framegate_simulators.fixtures.gateway import HOST
from support.gate import Gate


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
    captured = Captured(
        part=f"p{number}",
        part_type="t",
        trigger_sequence=number,
        captured_at_ms=1,
        uncertainty_ms=1,
        encoding=1,
        width=640,
        height=640,
        mask_version=0,
        mask_sha256=b"",
        size=5,
    )
    return replace(captured, **changes)


async def test_n107_every_refused_frame_is_uninspected_with_its_reason(gate):
    async with gate.stream() as channel:
        call = rpc.FramesStub(channel).Stream()
        session = await gate.opened(call)
        send = lambda frame: call.write(pb.CameraMessage(frame=frame))  # noqa: E731
        await send(session.seal(head(1), b"image %d" % 1))
        assert gate.verdict(await call.read()).outcome == "PASS"
        good = session.seal(head(2), b"image %d" % 2)
        for frame, reason in (
            (
                pb.SealedFrame(metadata=good.metadata, sealed=good.sealed[:-1] + b"\0"),
                "frame-authentication",
            ),
            (good, None),
            (good, "frame-replayed"),
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
    assert gate.journal.outcomes == {"PASS": 3, "UNINSPECTED": 9}


async def test_n107_trust_that_ends_while_the_frame_is_in_the_model(gate):
    async with gate.stream() as channel:
        call = rpc.FramesStub(channel).Stream()
        session = await gate.opened(call)
        gate.engine.go.clear()
        await call.write(pb.CameraMessage(frame=session.seal(head(1), b"image %d" % 1)))
        await asyncio.sleep(0.2)
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
    gaps = [v for v, _ in gate.journal.rows if v.reason == "frame-gap"]
    assert [(v.trigger_sequence, v.part, v.outcome) for v in gaps] == [
        (7, "", "UNINSPECTED"),
        (8, "", "UNINSPECTED"),
    ]


@pytest.mark.parametrize(
    "what", ["frame before opening", "another camera's frame", "garbage", "empty"]
)
async def test_messages_that_end_the_stream(gate, what):
    async with gate.stream() as channel:
        call = rpc.FramesStub(channel).Stream()
        offer = (await call.read()).offer
        session = gate.camera.session(offer, gate.keys.newest.publics)
        other = FrameMetadata(
            session=bytes(16),
            device="camera.line-1.cam9",
            part="p",
            part_type="t",
            trigger_sequence=1,
            captured_at_ms=1,
            uncertainty_ms=1,
            encoding=1,
            width=1,
            height=1,
            mask_version=0,
            mask_sha256=b"",
        ).marshal()
        message = {
            "frame before opening": pb.CameraMessage(frame=session.seal(head(1), b"image %d" % 1)),
            "another camera's frame": pb.CameraMessage(
                frame=pb.SealedFrame(metadata=other, sealed=b"\0")
            ),
            "garbage": pb.CameraMessage(
                opening=pb.SignedOpening(opening=os.urandom(99), signature=b"x")
            ),
            "empty": pb.CameraMessage(),
        }[what]
        await call.write(message)
        answer = await call.read()
        if what == "frame before opening":
            assert gate.verdict(answer).reason == "frame-session"
        else:
            assert answer.WhichOneof("kind") == "refusal" and from_failures(answer.refusal.failures)
            assert await call.read() is grpc.aio.EOF


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
        assert status.gateway == HOST and status.gate_open
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
