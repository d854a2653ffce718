"""MLServer from the package index, behind mutual TLS as the mesh it runs in would give it."""

import asyncio
import contextlib
import json
import os
import shutil
import ssl
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.identity.pem import private_pem
from framegate_gateway.inference.remote import Backend
from framegate_proto.v1 import open_inference_pb2 as oip
from framegate_proto.v1 import open_inference_pb2_grpc as oip_rpc
from framegate_simulators.plant.processes import free_port
from support.paths import ROOT, TESTS

HERE = TESTS / "model_server"


INSTALL_S = 300


NAME = "models.plant.example"


@pytest.fixture(scope="module")
def mlserver_python() -> Path:
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
