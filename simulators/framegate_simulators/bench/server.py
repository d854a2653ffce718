"""The two gateways that the benchmark compares, each in a process of its own: the real one with
every check, and a plain one with none.

Both use the same engine, model and inference child. The protected one is the product's own service,
admission and verdicts, with a warrant and a trust feed made here, so that nothing but the frame
path is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from pathlib import Path
from typing import Any

import grpc
from cryptography import x509

from framegate.wire import FrameMetadata
from framegate_controller.ca.open import load_fleet
from framegate_gateway.inference.bundle import DEFAULT_BUNDLE, load_bundle
from framegate_gateway.inference.engine import Engine
from framegate_gateway.inference.jobs import CameraFrame
from framegate_gateway.inference.models import Models
from framegate_gateway.inference.parts import GoldenImages
from framegate_gateway.ports.conversation import Conversations
from framegate_gateway.ports.frames import FramesService
from framegate_gateway.receipts.batches import sign_batches
from framegate_gateway.receipts.store import ReceiptStore
from framegate_gateway.verdicts.journal import Journal
from framegate_gateway.verdicts.maker import VerdictMaker
from framegate_host.ready_file import write_ready
from framegate_host.watchdog import Promise
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc
from framegate_simulators.fixtures.gateway import warranted

OPTIONS = (("grpc.max_receive_message_length", 64 * 1024 * 1024), ("grpc.so_reuseport", 0))


class PlainFrames(rpc.FramesServicer):
    """Frames in, what the model found out: no identity, no sealing, no admission, no signature."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def Stream(self, request_iterator: Any, context: Any) -> None:  # type: ignore[override]
        writing = asyncio.Lock()
        tasks: set[asyncio.Task[None]] = set()

        async def one(frame: pb.SealedFrame) -> None:
            m = FrameMetadata.parse(frame.metadata)
            inspection = await self._engine.inspect(
                CameraFrame(m.device, m.part_type, frame.sealed, m.encoding, m.width, m.height)
            )
            async with writing:
                await context.write(
                    pb.GatewayMessage(
                        answer=pb.FrameAnswer(verdict=json.dumps(inspection.defects).encode())
                    )
                )

        while (message := await context.read()) is not grpc.aio.EOF:
            task = asyncio.get_running_loop().create_task(one(message.frame))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        if tasks:
            await asyncio.wait(tasks)


async def serve(mode: str, folder: Path) -> None:
    """Serve until killed; writes `<mode>.json` with the port and, for the protected one, its
    publics.
    """
    models = Models(load_bundle(DEFAULT_BUNDLE), GoldenImages((folder / "golden",)), threads=2)
    await models.start()
    server = grpc.aio.server(options=OPTIONS)
    body: dict[str, Any] = {}
    background: set[asyncio.Task[None]] = set()
    if mode == "plain":
        rpc.add_FramesServicer_to_server(PlainFrames(models.engine), server)
        body["port"] = server.add_insecure_port("127.0.0.1:0")
    else:
        fleet = load_fleet(folder / "keys")
        camera = x509.load_pem_x509_certificate((folder / "camera.pem").read_bytes())
        others = [
            x509.load_pem_x509_certificate(file.read_bytes())
            for file in sorted(folder.glob("camera.*.*.pem"))
        ]
        keys, view = warranted(fleet, camera, models.bundle.digest, *others)
        receipts = ReceiptStore(folder / "gateway")
        maker = VerdictMaker(keys, view, models, Journal(), None, receipts)
        rpc.add_FramesServicer_to_server(
            FramesService(keys, view, Conversations(view, models, maker, receipts)), server
        )
        signing = sign_batches(receipts, keys, view.now_ms, asyncio.Event(), Promise("signing"))
        background.add(asyncio.create_task(signing))
        credentials = grpc.ssl_server_credentials(
            [keys.chain_pem()], fleet.issuing["device-ca"].pem, require_client_auth=True
        )
        body = {
            "port": server.add_secure_port("127.0.0.1:0", credentials),
            "publics": keys.newest.publics.hex(),
        }
    await server.start()
    write_ready(folder / f"{mode}.json", body)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("mode", choices=["plain", "protected"])
    parser.add_argument("folder", type=Path)
    args = parser.parse_args()
    asyncio.run(serve(args.mode, args.folder))
