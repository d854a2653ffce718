"""The Open Inference Protocol both ways: MLServer, from the package index, as the gateway's
backend; and its stubs as a client of the gateway (N122).
"""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import FramegateError, Reason, Refused, Unavailable
from framegate.identity.pem import private_pem
from framegate_agent.camera.pictures import encoded
from framegate_gateway.inference.bundle import DEFAULT_BUNDLE, MIN_KNOWN, load_bundle
from framegate_gateway.inference.jobs import CameraFrame
from framegate_gateway.inference.models import Models
from framegate_gateway.inference.parts import GoldenImages
from framegate_gateway.inference.remote import UnattestedModel
from framegate_gateway.ports.open_inference import OpenInferenceService
from framegate_gateway.ports.options import SERVER_OPTIONS
from framegate_proto.edge import from_rpc_error
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import open_inference_pb2 as oip
from framegate_proto.v1 import open_inference_pb2_grpc as oip_rpc
from framegate_simulators.boards.boards import draw_board
from framegate_simulators.boards.camera import write_golden
from framegate_simulators.fixtures.camera import SoftwareCamera
from framegate_simulators.fixtures.gateway import CAMERA, warranted
from framegate_simulators.fixtures.networks import network
from support.mlserver import HERE, Papers, Served

pytestmark = pytest.mark.plants  # a server of the protocol, a gateway and its agent


BAD = draw_board(77, design=1, defects=8, clean_capture=True)


async def test_N122_a_real_server_of_the_protocol_is_the_backend_and_receipts_say_where_it_ran(
    mlserver_python, tmp_path
):
    bundle = load_bundle(DEFAULT_BUNDLE)
    write_golden(tmp_path / "golden", [1])
    golden, served = (
        GoldenImages((tmp_path / "golden",)),
        Served(mlserver_python, tmp_path / "served", bundle.model, bundle.digest.hex()),
    )
    here = Models(bundle, golden, 1)
    try:
        backend = await served.up()
        there = Models(bundle, golden, 1, backend)
        await here.start()
        await there.start()
        assert there.engine.known_answers >= MIN_KNOWN
        jpeg, digest = encoded(BAD.frame), bundle.digest.hex()
        frames = [
            there.inspect(digest, CameraFrame(f"cam{n}", "drawn-1", jpeg, 1, 640, 640))
            for n in range(6)
        ]
        same = [
            await here.inspect(digest, CameraFrame("cam", "drawn-1", jpeg, 1, 640, 640)),
            *await asyncio.gather(*frames),
        ]
        assert same[0].defects and all(_alike(same[0], other) for other in same[1:])
        assert (
            there.name_of(digest) == f"{bundle.name} unattested-backend {backend.address}"
            and here.name_of(digest) == bundle.name
        )
        with pytest.raises(Refused) as refused:
            await there.inspect(digest, CameraFrame("cam", "unknown", jpeg, 1, 640, 640))
        assert refused.value.reason == Reason.PART_UNKNOWN
        with pytest.raises(Unavailable):  # a client that the server does not know
            stranger = Papers(tmp_path / "stranger")
            await UnattestedModel(
                replace(
                    backend,
                    certificate=stranger.folder / "client.pem",
                    key=stranger.folder / "client.key",
                )
            ).open(bundle)
        with pytest.raises(Unavailable):  # a server that we do not know
            await UnattestedModel(replace(backend, root=tmp_path / "stranger" / "root.pem")).open(
                bundle
            )
        with pytest.raises(Unavailable):
            await UnattestedModel(replace(backend, model="another")).open(bundle)
        served.kill()
        with pytest.raises(Unavailable) as gone:  # every frame is UNINSPECTED while it is away
            await there.inspect(digest, CameraFrame("cam", "drawn-1", jpeg, 1, 640, 640))
        assert gone.value.reason == Reason.INFERENCE
        await there.stop()
    finally:
        await here.stop()
        if served.process.poll() is None:
            served.kill()


def _alike(one, other) -> bool:
    kinds = [d["kind"] for d in one.defects] == [d["kind"] for d in other.defects]
    return (
        kinds
        and all(
            abs(a["score"] - b["score"]) < 0.02
            for a, b in zip(one.defects, other.defects, strict=True)
        )
        and one.golden_sha256 == other.golden_sha256
    )


@pytest.mark.parametrize("case", ["another version", "another model under the right version"])
async def test_N104_N105_a_backend_that_runs_something_else(mlserver_python, tmp_path, case):
    bundle = load_bundle(DEFAULT_BUNDLE)
    model, version, reason = (
        (bundle.model, "1", Reason.MODEL)
        if case == "another version"
        else (network(), bundle.digest.hex(), Reason.KNOWN_ANSWER)
    )
    served = Served(mlserver_python, tmp_path / "served", model, version)
    try:
        models = Models(bundle, GoldenImages(()), 1, await served.up())
        with pytest.raises(Refused) as caught:
            await models.start()
        assert caught.value.reason == reason
    finally:
        served.kill()


# ---------------------------------------------------------------- the gateway serves it


class Serving:
    """A gateway's Open Inference port on loopback."""

    def __init__(self, fleet, folder: Path) -> None:
        write_golden(folder / "golden", [1])
        self.fleet, self.folder, self.camera = fleet, folder, SoftwareCamera(folder, fleet)
        self.models = Models(load_bundle(DEFAULT_BUNDLE), GoldenImages((folder / "golden",)), 1)
        self.keys, self.view = warranted(fleet, self.camera.certificate, self.models.bundle.digest)
        self.server = grpc.aio.server(options=SERVER_OPTIONS)
        oip_rpc.add_GRPCInferenceServiceServicer_to_server(
            OpenInferenceService(self.keys, self.view, self.models), self.server
        )
        tls = grpc.ssl_server_credentials(
            [self.keys.chain_pem()], fleet.issuing["device-ca"].pem, require_client_auth=True
        )
        self.port = self.server.add_secure_port("127.0.0.1:0", tls)

    def papers(self) -> Path:
        folder = self.folder / "papers"
        folder.mkdir(exist_ok=True)
        (folder / "root.pem").write_bytes(self.fleet.issuing["gateway-ca"].pem)
        (folder / "key.pem").write_bytes(private_pem(self.camera.private))
        (folder / "certificate.pem").write_bytes(
            self.camera.certificate.public_bytes(Encoding.PEM) + self.fleet.issuing["device-ca"].pem
        )
        return folder

    def stub(self):
        folder = self.papers()
        tls = grpc.ssl_channel_credentials(
            *((folder / n).read_bytes() for n in ("root.pem", "key.pem", "certificate.pem"))
        )
        return grpc.aio.secure_channel(
            f"127.0.0.1:{self.port}",
            tls,
            options=(("grpc.ssl_target_name_override", "gw1.line-1.gateway.framegate"),),
        )


@pytest.fixture
async def serving(keys, tmp_path):
    running = Serving(keys, tmp_path)
    await running.models.start()
    await running.server.start()
    yield running
    await running.server.stop(0)
    await running.models.stop()


def infer(frame: bytes, part_type: str = "drawn-1", **changes) -> oip.ModelInferRequest:
    request = oip.ModelInferRequest(model_name="framegate", **changes)
    for name, value in (("frame", frame), ("part_type", part_type.encode())):
        request.inputs.add(name=name, datatype="BYTES", shape=[1]).contents.bytes_contents.append(
            value
        )
    return request


async def test_an_existing_client_inspects_by_the_usual_call(serving, mlserver_python, tmp_path):
    (tmp_path / "frame.jpg").write_bytes(encoded(BAD.frame))
    process = await asyncio.create_subprocess_exec(
        str(mlserver_python),
        str(HERE / "client.py"),
        str(serving.port),
        str(serving.papers()),
        str(tmp_path / "frame.jpg"),
        "drawn-1",
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    body = json.loads(out)
    own = await serving.models.inspect(
        serving.models.bundle.digest.hex(),
        CameraFrame(CAMERA, "drawn-1", encoded(BAD.frame), 1, 640, 640),
    )
    assert (
        body["ready"]
        and body["version"] == serving.models.bundle.digest.hex() == body["versions"][0]
    )
    assert (
        body["classes"] == [d["kind"] for d in own.defects]
        and len(body["boxes"]) == 4 * len(own.defects) > 0
    )


async def test_N100_callers_that_do_not_stand_and_inputs_that_are_none(serving):
    good = encoded(BAD.frame)
    async with serving.stub() as channel:
        stub = oip_rpc.GRPCInferenceServiceStub(channel)
        raw = oip.ModelInferRequest(model_name="framegate")
        for name, value in (("frame", good), ("part_type", b"drawn-1")):
            raw.inputs.add(name=name, datatype="BYTES", shape=[1])
            raw.raw_input_contents.append(len(value).to_bytes(4, "little") + value)
        assert (await stub.ModelInfer(raw, timeout=20)).outputs[0].shape[0] > 0
        short = oip.ModelInferRequest()
        short.CopyFrom(raw)
        short.raw_input_contents[0] = b"\xff\xff\xff\xff" + good
        floats = oip.ModelInferRequest(model_name="framegate")
        floats.inputs.add(name="frame", datatype="FP32", shape=[1])
        cases = [
            (infer(good, "nobody"), Reason.PART_UNKNOWN),
            (infer(b"GIF89a"), Reason.IMAGE),
            (infer(good[:200]), Reason.IMAGE),
            (short, Reason.IMAGE),
            (floats, Reason.IMAGE),
            (oip.ModelInferRequest(model_name="framegate"), Reason.IMAGE),
            (infer(good, model_version="1"), Reason.NOT_FOUND),
            (oip.ModelInferRequest(model_name="x"), Reason.NOT_FOUND),
        ]
        for request, reason in cases:
            assert (await refusal(stub, request)).reason == reason
        serving.view.apply(
            pb.TrustUpdate(
                revision=serving.view.revision + 1,
                devices=[pb.DeviceTrust(device=CAMERA, state="quarantined", remaining_ms=600_000)],
            )
        )
        assert (await refusal(stub, infer(good))).reason == Reason.QUARANTINED
        assert (
            await refusal(stub, oip.ModelMetadataRequest(name="framegate"), "ModelMetadata")
        ).reason == Reason.QUARANTINED
    async with grpc.aio.secure_channel(
        f"127.0.0.1:{serving.port}",
        grpc.ssl_channel_credentials(serving.fleet.issuing["gateway-ca"].pem),
    ) as channel:
        with pytest.raises(grpc.aio.AioRpcError):
            await oip_rpc.GRPCInferenceServiceStub(channel).ServerLive(
                oip.ServerLiveRequest(), timeout=3
            )


async def refusal(stub, request, method: str = "ModelInfer") -> FramegateError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await getattr(stub, method)(request, timeout=20)
    return from_rpc_error(caught.value, "")
