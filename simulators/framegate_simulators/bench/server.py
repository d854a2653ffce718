"""The two gateways that the benchmark compares, each in a process of its own: the real one with every check, and a plain one with none.

Both use the same engine, model and inference child. The protected one is the product's own service, admission and verdicts, with a
warrant and a trust feed made here, so that nothing but the frame path is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.identity.certificates import spki_of
from framegate.identity.names import DeviceId
from framegate.wire import FrameMetadata, GatewayPublics, Warrant, sha256
from framegate_controller.ca.issuance import issue_gateway
from framegate_controller.ca.keys import FleetKeys, load_fleet
from framegate_gateway.admission.conversation import Conversations
from framegate_gateway.inference.bundle import DEFAULT_BUNDLE, load_bundle
from framegate_gateway.inference.engine import Engine
from framegate_gateway.inference.models import Models
from framegate_gateway.inference.parts import GoldenImages
from framegate_gateway.ports.frames import FramesService
from framegate_gateway.receipts.batches import sign_batches
from framegate_gateway.receipts.store import ReceiptStore
from framegate_gateway.trust.access import AccessView
from framegate_gateway.trust.feed import TrustView
from framegate_gateway.trust.keys import GatewayKeys
from framegate_gateway.verdicts.journal import Journal
from framegate_gateway.verdicts.maker import VerdictMaker
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc
from framegate_simulators.fixtures.access import access_update, facts_text

HOST, CAMERA = DeviceId("gateway.line-1.gw1"), "camera.line-1.cam1"
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
            found = await self._engine.inspect(m.device, m.part_type, frame.sealed, m.encoding, m.width, m.height)
            async with writing:
                await context.write(pb.GatewayMessage(answer=pb.FrameAnswer(verdict=json.dumps(found.defects).encode())))

        while (message := await context.read()) is not grpc.aio.EOF:
            task = asyncio.get_running_loop().create_task(one(message.frame))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        if tasks:
            await asyncio.wait(tasks)


def warrant_for(fleet: FleetKeys, publics: bytes) -> Warrant:
    """The warrant that a trusted host's agent would hand to the process with these publics."""
    tls, verdict = issue_gateway(fleet, HOST, GatewayPublics.parse(publics), timedelta(minutes=10), datetime.now(UTC))
    return Warrant(
        device=HOST, zone="line-1", tls_certificate=tls.public_bytes(Encoding.DER), verdict_certificate=verdict.public_bytes(Encoding.DER), root=fleet.root.der,
        authorities=tuple(fleet.authorities), result_id="bench", fleet_address="", server_name="", reason="",
    )  # fmt: skip


def warranted(fleet: FleetKeys, camera: x509.Certificate, bundle_digest: bytes) -> tuple[GatewayKeys, TrustView]:
    """A gateway's keys with a warrant, and a feed that trusts `camera`."""
    keys = GatewayKeys("127.0.0.1:0", "127.0.0.1:0", bundle_digest)
    raw = keys.newest.publics
    keys.accept(warrant_for(fleet, raw), raw)
    view = TrustView(None, AccessView(None, lambda: fleet.root.certificate))
    spki = sha256(spki_of(camera.public_key()))  # type: ignore[arg-type]
    devices = [pb.DeviceTrust(device=d, state="trusted", remaining_ms=600_000, result_id="bench", spki_sha256=spki, facts=facts_text(d)) for d in (CAMERA, HOST)]
    view.apply(pb.TrustUpdate(revision=1, snapshot=True, devices=devices, now_ms=time.time_ns() // 1_000_000, access=access_update(fleet, grace=True)))
    return keys, view


async def serve(mode: str, folder: Path) -> None:
    """Serve until killed; writes `<mode>.json` with the port and, for the protected one, its publics."""
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
        keys, view = warranted(fleet, camera, models.bundle.digest)
        receipts = ReceiptStore(folder / "gateway")
        maker = VerdictMaker(keys, view, models, Journal(), None, receipts)
        rpc.add_FramesServicer_to_server(FramesService(keys, view, Conversations(view, models, maker, receipts)), server)
        background.add(asyncio.create_task(sign_batches(receipts, keys, view.now_ms, asyncio.Event())))
        credentials = grpc.ssl_server_credentials([keys.chain_pem()], fleet.issuing["device-ca"].pem, require_client_auth=True)
        body = {"port": server.add_secure_port("127.0.0.1:0", credentials), "publics": keys.newest.publics.hex()}
    await server.start()
    (folder / f"{mode}.tmp").write_text(json.dumps(body))
    (folder / f"{mode}.tmp").rename(folder / f"{mode}.json")
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("mode", choices=["plain", "protected"])
    parser.add_argument("folder", type=Path)
    args = parser.parse_args()
    asyncio.run(serve(args.mode, args.folder))
