"""The Open Inference Protocol both ways: MLServer, from the package index, as the gateway's
backend; and its stubs as a client of the gateway (N122).
"""

import asyncio
import contextlib
import json
import os
import shutil
import ssl
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import FramegateError, Reason, Refused, Unavailable
from framegate.identity.pem import private_pem
from framegate_agent.camera.sources import encoded
from framegate_gateway.inference.bundle import DEFAULT_BUNDLE, MIN_KNOWN, load_bundle
from framegate_gateway.inference.models import Models
from framegate_gateway.inference.parts import GoldenImages
from framegate_gateway.inference.remote import Backend, RemoteModel
from framegate_gateway.ports.open_inference import OpenInferenceService
from framegate_gateway.server import SERVER_OPTIONS
from framegate_proto.edge import from_rpc_error
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import open_inference_pb2 as oip
from framegate_proto.v1 import open_inference_pb2_grpc as oip_rpc
from framegate_simulators.boards.boards import draw_board
from framegate_simulators.boards.camera import write_golden
from framegate_simulators.fixtures.camera import SoftwareCamera
from framegate_simulators.fixtures.gateway import CAMERA, warranted
from framegate_simulators.fixtures.networks import network
from framegate_simulators.plant.plant import free_port
from support.paths import ROOT, TESTS

pytestmark = pytest.mark.slow
HERE = TESTS / "model_server"
INSTALL_S = 300
NAME = "models.plant.example"
BAD = draw_board(77, design=1, defects=8, clean_capture=True)


@pytest.fixture(scope="module")
def python() -> Path:
    """An environment with MLServer; made once, kept under build/, skipped where the package
    index is out of reach.
    """
    root = ROOT
    venv = root / "build" / "model-server"
    ready = venv / "ready"
    if not ready.exists():
        shutil.rmtree(venv, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        argv = [
            str(venv / "bin" / "python"),
            "-m",
            "pip",
            "install",
            "-q",
            "--disable-pip-version-check",
            "--no-deps",
            "--no-compile",
            "--require-hashes",
            "-r",
            str(HERE / "requirements.txt"),
        ]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=INSTALL_S, check=False)
        if done.returncode:
            pytest.skip(
                f"MLServer cannot be installed here: {done.stderr.strip().splitlines()[-1:]}"
            )
        ready.touch()
    return venv / "bin" / "python"


class Papers:
    """A CA with a server's and a client's certificate for mutual TLS."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self._key = folder, ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "models")])
        (folder / "root.pem").write_bytes(
            self._sign(self._name, self._key, x509.BasicConstraints(True, None))
        )
        for who, name in (("server", NAME), ("client", "gw1")):
            key = ec.generate_private_key(ec.SECP256R1())
            (folder / f"{who}.key").write_bytes(private_pem(key))
            subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
            (folder / f"{who}.pem").write_bytes(
                self._sign(subject, key, x509.SubjectAlternativeName([x509.DNSName(name)]))
            )

    def _sign(self, subject, key, extension) -> bytes:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
        )
        builder = (
            builder.not_valid_before(now - timedelta(minutes=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(extension, critical=False)
        )
        return builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)

    def backend(self, port: int) -> Backend:
        return Backend(
            f"127.0.0.1:{port}",
            "board-defects",
            NAME,
            self.folder / "root.pem",
            self.folder / "client.pem",
            self.folder / "client.key",
        )


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def tls_in_front(papers: Papers, port: int) -> asyncio.Server:
    """Mutual TLS before a server that speaks none: MLServer leaves that to the mesh it runs in."""
    context = ssl.create_default_context(
        ssl.Purpose.CLIENT_AUTH, cafile=str(papers.folder / "root.pem")
    )
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(papers.folder / "server.pem", papers.folder / "server.key")
    context.set_alpn_protocols(["h2"])

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up, down = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.close()
            return
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(pump(reader, down), pump(up, writer))

    return await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)


class Served:
    """MLServer with one model, behind mutual TLS."""

    def __init__(self, python: Path, folder: Path, model: bytes, version: str) -> None:
        folder.mkdir(parents=True)
        self.port, self.papers, self._python, self.folder = (
            free_port(),
            Papers(folder / "tls"),
            python,
            folder,
        )
        (folder / "model.onnx").write_bytes(model)
        shutil.copy(HERE / "onnx_runtime.py", folder)
        settings = {
            "name": "board-defects",
            "versions": [version],
            "implementation": "onnx_runtime.OnnxModel",
            "parameters": {"uri": str(folder / "model.onnx"), "version": version},
        }
        (folder / "model-settings.json").write_text(json.dumps(settings))
        general = {
            "host": "127.0.0.1",
            "grpc_port": self.port,
            "http_port": free_port(),
            "metrics_port": free_port(),
            "parallel_workers": 0,
            "grpc_max_message_length": 64 * 2**20,
        }
        (folder / "settings.json").write_text(json.dumps(general))
        self.log = (folder / "log").open("wb")
        environment = {**os.environ, "PYTHONPATH": str(folder)}
        argv = [str(python.parent / "mlserver"), "start", str(folder)]
        self.process = subprocess.Popen(
            argv, cwd=folder, env=environment, stdout=self.log, stderr=self.log
        )

    async def up(self) -> Backend:
        for _ in range(600):
            try:
                async with grpc.aio.insecure_channel(f"127.0.0.1:{self.port}") as channel:
                    if (
                        await oip_rpc.GRPCInferenceServiceStub(channel).ModelReady(
                            oip.ModelReadyRequest(name="board-defects"), timeout=2
                        )
                    ).ready:
                        break
            except grpc.aio.AioRpcError:
                assert self.process.poll() is None, (self.folder / "log").read_text()[-2000:]
                await asyncio.sleep(0.1)
        self.front = await tls_in_front(self.papers, self.port)
        return self.papers.backend(self.front.sockets[0].getsockname()[1])

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.log.close()


async def test_N122_a_real_server_of_the_protocol_is_the_backend_and_receipts_say_where_it_ran(
    python, tmp_path
):
    bundle = load_bundle(DEFAULT_BUNDLE)
    write_golden(tmp_path / "golden", [1])
    golden, served = (
        GoldenImages((tmp_path / "golden",)),
        Served(python, tmp_path / "served", bundle.model, bundle.digest.hex()),
    )
    here = Models(bundle, golden, 1)
    try:
        backend = await served.up()
        there = Models(bundle, golden, 1, backend)
        await here.start()
        await there.start()
        assert there.engine.known_answers >= MIN_KNOWN
        jpeg, digest = encoded(BAD.frame), bundle.digest.hex()
        frames = [there.inspect(digest, f"cam{n}", "drawn-1", jpeg, 1, 640, 640) for n in range(6)]
        same = [
            await here.inspect(digest, "cam", "drawn-1", jpeg, 1, 640, 640),
            *await asyncio.gather(*frames),
        ]
        assert same[0].defects and all(_alike(same[0], other) for other in same[1:])
        assert (
            there.name_of(digest) == f"{bundle.name} unattested-backend {backend.address}"
            and here.name_of(digest) == bundle.name
        )
        with pytest.raises(Refused) as refused:
            await there.inspect(digest, "cam", "unknown", jpeg, 1, 640, 640)
        assert refused.value.reason == Reason.PART_UNKNOWN
        with pytest.raises(Unavailable):  # a client that the server does not know
            stranger = Papers(tmp_path / "stranger")
            await RemoteModel(
                replace(
                    backend,
                    certificate=stranger.folder / "client.pem",
                    key=stranger.folder / "client.key",
                )
            ).open(bundle)
        with pytest.raises(Unavailable):  # a server that we do not know
            await RemoteModel(replace(backend, root=tmp_path / "stranger" / "root.pem")).open(
                bundle
            )
        with pytest.raises(Unavailable):
            await RemoteModel(replace(backend, model="another")).open(bundle)
        served.kill()
        with pytest.raises(Unavailable) as gone:  # every frame is UNINSPECTED while it is away
            await there.inspect(digest, "cam", "drawn-1", jpeg, 1, 640, 640)
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
async def test_N104_N105_a_backend_that_runs_something_else(python, tmp_path, case):
    bundle = load_bundle(DEFAULT_BUNDLE)
    model, version, reason = (
        (bundle.model, "1", Reason.MODEL)
        if case == "another version"
        else (network(), bundle.digest.hex(), Reason.KNOWN_ANSWER)
    )
    served = Served(python, tmp_path / "served", model, version)
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
    made = Serving(keys, tmp_path)
    await made.models.start()
    await made.server.start()
    yield made
    await made.server.stop(0)
    await made.models.stop()


def infer(frame: bytes, part_type: str = "drawn-1", **changes) -> oip.ModelInferRequest:
    request = oip.ModelInferRequest(model_name="framegate", **changes)
    for name, value in (("frame", frame), ("part_type", part_type.encode())):
        request.inputs.add(name=name, datatype="BYTES", shape=[1]).contents.bytes_contents.append(
            value
        )
    return request


async def test_an_existing_client_inspects_by_the_usual_call(serving, python, tmp_path):
    (tmp_path / "frame.jpg").write_bytes(encoded(BAD.frame))
    process = await asyncio.create_subprocess_exec(
        str(python),
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
        serving.models.bundle.digest.hex(), CAMERA, "drawn-1", encoded(BAD.frame), 1, 640, 640
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
