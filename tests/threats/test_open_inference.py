"""N147: the Open Inference Protocol port, called by a camera's certificate without a network."""

import asyncio
import struct
import time

import cv2
import numpy as np
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import FramegateError, Reason
from framegate.signed.mask import MaskStatement
from framegate_agent.camera.pictures import encoded
from framegate_gateway.inference.bundle import DEFAULT_BUNDLE, load_bundle
from framegate_gateway.inference.inspection import Inspection
from framegate_gateway.inference.models import Models
from framegate_gateway.inference.parts import GoldenImages
from framegate_gateway.ports import open_inference
from framegate_gateway.ports.open_inference import (
    MAX_IN_FLIGHT,
    MAX_IN_FLIGHT_ALL,
    OpenInferenceService,
)
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import open_inference_pb2 as oip
from framegate_proto.v1 import open_inference_pb2_grpc as oip_rpc
from framegate_simulators.boards.boards import draw_board
from framegate_simulators.boards.camera import write_golden
from framegate_simulators.fixtures.access import facts_text
from framegate_simulators.fixtures.camera import SoftwareCamera
from framegate_simulators.fixtures.gateway import CAMERA, warranted

BOARD = draw_board(77, design=1, defects=8, clean_capture=True)
REGION = {"points": [[0.0, 0.0], [0.25, 0.0], [0.25, 0.25], [0.0, 0.25]]}


class Call:
    """A call's context: TLS 1.3 with this certificate. An abort raises the error it tells of."""

    def __init__(self, certificate) -> None:
        self._pem = certificate.public_bytes(Encoding.PEM)

    def auth_context(self):
        return {"ssl_tls_version": [b"TLSv1.3"], "x509_pem_cert": [self._pem]}


def asked_about(frame: bytes) -> oip.ModelInferRequest:
    """The usual call for one frame of a part."""
    request = oip.ModelInferRequest(model_name="framegate")
    for name, value in (("frame", frame), ("part_type", b"drawn-1")):
        tensor = request.inputs.add(name=name, datatype="BYTES", shape=[1])
        tensor.contents.bytes_contents.append(value)
    return request


def claiming(width: int, height: int) -> bytes:
    """A small picture whose header says that it is of this size."""
    png = cv2.imencode(".png", np.zeros((8, 8), np.uint8))[1].tobytes()
    return png[:16] + struct.pack(">II", width, height) + png[24:]


class Port:
    """The port of a gateway with a real inference child, and a camera that calls it."""

    def __init__(self, fleet, folder) -> None:
        write_golden(folder / "golden", [1])
        self.fleet, self.camera = fleet, SoftwareCamera(folder, fleet)
        self.models = Models(load_bundle(DEFAULT_BUNDLE), GoldenImages((folder / "golden",)), 1)
        keys, self.view = warranted(fleet, self.camera.certificate, self.models.bundle.digest)
        self.service = OpenInferenceService(keys, self.view, self.models)

    async def infer(self, image: np.ndarray):
        request = asked_about(encoded(image))
        return await self.service.ModelInfer(request, Call(self.camera.certificate))

    async def refused(self, image: np.ndarray) -> Reason:
        with pytest.raises(FramegateError) as caught:
            await self.infer(image)
        return caught.value.reason

    def masked(self, envelope: bytes) -> None:
        """The feed says that these masks are in force."""
        before = self.view.require(CAMERA)
        device = pb.DeviceTrust(
            device=CAMERA,
            state="trusted",
            remaining_ms=600_000,
            spki_sha256=before.spki_sha256,
            facts=facts_text(CAMERA),
            masks=envelope,
        )
        self.view.apply(pb.TrustUpdate(revision=self.view.revision + 1, devices=[device]))

    def masks(self, camera: str = CAMERA, signer: str = "mask") -> bytes:
        now = time.time_ns() // 1_000_000
        key = self.fleet.signing[signer]
        return MaskStatement(camera, 1, (REGION,), now).seal(key.der, key.sign)


@pytest.fixture
def idle(keys, tmp_path, monkeypatch):
    """A port whose model was not started."""

    async def abort(context, error):
        raise error

    monkeypatch.setattr(open_inference, "abort", abort)
    return Port(keys, tmp_path)


@pytest.fixture
async def port(idle):
    await idle.models.start()
    yield idle
    await idle.models.stop()


def blanked(image: np.ndarray) -> np.ndarray:
    black = image.copy()
    h, w = black.shape
    cv2.rectangle(black, (0, 0), (w // 4, h // 4), 0, -1)
    return black


async def test_n147_masks_in_force_hold_here_too(port):
    everything = (await port.infer(BOARD.frame)).outputs[0].shape[0]
    assert everything > 0
    port.masked(port.masks())
    assert await port.refused(BOARD.frame) == Reason.MASK
    answer = await port.infer(blanked(BOARD.frame))
    boxes = np.array(answer.outputs[0].contents.fp32_contents).reshape(-1, 4)
    assert len(boxes) and not (boxes[:, 2:].max(axis=1) < BOARD.frame.shape[0] / 4).any(), (
        "the golden image is blanked alike: what is masked is no defect"
    )


async def test_n147_masks_that_do_not_verify_let_nothing_through(port):
    for envelope in (
        port.masks(camera="camera.line-1.cam2"),
        port.masks(signer="grant"),
        port.masks()[:-40],
        b"\0",
    ):
        port.masked(envelope)
        assert await port.refused(blanked(BOARD.frame)) in {
            Reason.MASK,
            Reason.CERTIFICATE,
            Reason.ENVELOPE,
            Reason.MALFORMED,
            Reason.SIGNATURE,
        }
    port.masked(b"")
    assert await port.infer(BOARD.frame)


CALLS = {
    "ServerReady": oip.ServerReadyRequest(),
    "ModelReady": oip.ModelReadyRequest(name="framegate"),
    "ServerMetadata": oip.ServerMetadataRequest(),
    "ModelMetadata": oip.ModelMetadataRequest(name="framegate"),
    "ModelInfer": oip.ModelInferRequest(model_name="framegate"),
}
"""Every call of the protocol but liveness, which tells nobody anything."""


def test_n147_the_calls_that_are_tried_are_all_there_are():
    offered = {name for name in vars(oip_rpc.GRPCInferenceServiceServicer) if name[0] != "_"}
    assert offered == {*CALLS, "ServerLive"}


@pytest.mark.parametrize("call", CALLS)
async def test_n147_whoever_does_not_stand_is_told_nothing(idle, north, tmp_path, call):
    method, request = getattr(idle.service, call), CALLS[call]
    if call != "ModelInfer":
        assert await method(request, Call(idle.camera.certificate))
    stranger = SoftwareCamera(tmp_path, north).certificate
    for certificate, reason in (
        (stranger, Reason.CERTIFICATE),
        (idle.fleet.signing["mask"].certificate, Reason.CERTIFICATE),
    ):
        with pytest.raises(FramegateError) as caught:
            await method(request, Call(certificate))
        assert caught.value.reason == reason
    device = pb.DeviceTrust(device=CAMERA, state="quarantined")
    idle.view.apply(pb.TrustUpdate(revision=idle.view.revision + 1, devices=[device]))
    with pytest.raises(FramegateError) as caught:
        await method(request, Call(idle.camera.certificate))
    assert caught.value.reason == Reason.QUARANTINED


@pytest.mark.parametrize("size", [(60_000, 60_000), (0, 640), (640, 0), (8_193, 8_192)])
async def test_n147_a_claim_of_too_many_pixels_never_reaches_the_child(idle, monkeypatch, size):
    """A few hundred bytes; what the image's own header claims is looked at before it is decoded."""

    async def inspect(*_):
        raise AssertionError("handed over")

    monkeypatch.setattr(idle.models, "inspect", inspect)
    request = asked_about(claiming(*size))
    with pytest.raises(FramegateError) as caught:
        await idle.service.ModelInfer(request, Call(idle.camera.certificate))
    assert caught.value.reason == Reason.IMAGE
    assert idle.service._in_flight.total() == 0


async def test_n147_in_flight_limits(port, monkeypatch):
    go, inside = asyncio.Event(), asyncio.Semaphore(0)

    async def inspect(*_):
        inside.release()
        await go.wait()
        return Inspection((), "aa", 100)

    monkeypatch.setattr(port.models, "inspect", inspect)
    flying = [asyncio.create_task(port.infer(BOARD.frame)) for _ in range(MAX_IN_FLIGHT)]
    for _ in flying:
        await inside.acquire()
    assert await port.refused(BOARD.frame) == Reason.FRAME_IN_FLIGHT
    go.set()
    assert len(await asyncio.gather(*flying)) == MAX_IN_FLIGHT
    assert await port.infer(BOARD.frame), "there is room again"
    # others fill the port: this camera waits too
    monkeypatch.setitem(port.service._in_flight, "others", MAX_IN_FLIGHT_ALL)
    assert await port.refused(BOARD.frame) == Reason.FRAME_IN_FLIGHT


async def test_n147_a_refused_frame_leaves_its_place(port):
    for _ in range(MAX_IN_FLIGHT + 1):
        assert await port.refused(np.zeros((64, 64), np.uint8)) == Reason.IMAGE
    assert port.service._in_flight.total() == 0


async def test_n147_trust_that_ended_while_the_frame_was_in_the_model_ends_the_answer(
    port, monkeypatch
):
    async def inspect(_digest, _frame) -> Inspection:
        revision = port.view.revision + 1
        device = pb.DeviceTrust(device=CAMERA, state="quarantined")
        port.view.apply(pb.TrustUpdate(revision=revision, devices=[device]))
        return Inspection((), "aa", 100)

    monkeypatch.setattr(port.models, "inspect", inspect)
    assert await port.refused(BOARD.frame) == Reason.QUARANTINED
