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
import os
import time
from pathlib import Path
from typing import Any, Final

import grpc
from cryptography import x509

from framegate.wire import FrameMetadata
from framegate_controller.ca.open import load_fleet
from framegate_gateway.admission.admitted import Admitted, OpenedFrame
from framegate_gateway.admission.link import CameraLink
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

ADMITTED: Final = "admitted.txt"
"""Where a gateway that is timed writes the ms of each frame, a line each."""
THREADS: Final = 2
"""Of the model, as a gateway has them that is told nothing else."""
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


def time_admission(path: Path) -> None:
    """From a sealed frame's message to its admission, each; both are done in one go, with nothing
    else of this process between.
    """
    open_frame, admit = CameraLink.open_frame, CameraLink.admit
    out, begun = path.open("a", buffering=1), [0.0]

    def opened(self: CameraLink, metadata_bytes: bytes, sealed: bytes) -> OpenedFrame:
        begun[0] = time.perf_counter()
        return open_frame(self, metadata_bytes, sealed)

    def admitted(self: CameraLink, frame: OpenedFrame) -> Admitted:
        done = admit(self, frame)
        out.write(f"{1e3 * (time.perf_counter() - begun[0]):.4f}\n")
        return done

    CameraLink.open_frame, CameraLink.admit = opened, admitted  # type: ignore[method-assign]


async def serve(mode: str, folder: Path, threads: int, *, timed: bool = False) -> None:
    """Serve until killed, the model with so many threads; writes `<mode>.json` with the port and,
    for the protected one, its publics.
    """
    if timed:
        time_admission(folder / ADMITTED)
    models = Models(
        load_bundle(DEFAULT_BUNDLE), GoldenImages((folder / "golden",)), threads=threads
    )
    await models.start()
    server = grpc.aio.server(options=OPTIONS)
    body: dict[str, Any] = {"pid": os.getpid()}
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
        body |= {
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
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--timed", action="store_true")
    args = parser.parse_args()
    asyncio.run(serve(args.mode, args.folder, args.threads, timed=args.timed))
