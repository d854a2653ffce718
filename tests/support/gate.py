"""A gateway on loopback with models that answer when they are told to."""

import asyncio
import time

import grpc
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import Reason, Refused
from framegate.identity.certificates import from_ms, load_certificate
from framegate.signed.receipt import parse_leaf
from framegate.signed.report import GatewayReport
from framegate.signed.statement import verify_verdict
from framegate_gateway.admission.link import CameraLink
from framegate_gateway.inference.bundle import DEFAULT_BUNDLE, load_bundle
from framegate_gateway.inference.inspection import Inspection
from framegate_gateway.inference.models import Models
from framegate_gateway.inference.parts import GoldenImages
from framegate_gateway.ports.conversation import Conversations
from framegate_gateway.ports.frames import FramesService
from framegate_gateway.ports.gateway_status import StatusReport
from framegate_gateway.ports.operators import GatewayOperatorService
from framegate_gateway.ports.options import SERVER_OPTIONS
from framegate_gateway.receipts.retention import ReceiptRetention
from framegate_gateway.receipts.rows import stored_leaves
from framegate_gateway.receipts.store import ReceiptStore
from framegate_gateway.reports.sightings import Sightings
from framegate_gateway.vault.archive import Archive
from framegate_gateway.verdicts.journal import Journal
from framegate_gateway.verdicts.maker import VerdictMaker
from framegate_host.report_store import ReportStore
from framegate_host.reporting import Reporter
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc
from framegate_simulators.fixtures.access import (
    facts_text,
)
from framegate_simulators.fixtures.camera import SoftwareCamera
from framegate_simulators.fixtures.gateway import CAMERA, warranted


class SlowModels(Models):
    """Models that answer when they are told to, and find nothing."""

    def __init__(self) -> None:
        super().__init__(load_bundle(DEFAULT_BUNDLE), GoldenImages(()))
        self.go, self.taken = asyncio.Event(), 0
        self.go.set()

    async def inspect(self, digest, frame) -> Inspection:
        self.taken += 1
        await self.go.wait()
        if frame.part_type == "faulty":
            raise ZeroDivisionError("a fault of the gateway's own")
        if frame.part_type == "unknown":
            raise Refused.of(Reason.PART_UNKNOWN, "a known part", "another")
        return Inspection((), "aa", 100)


class Gate:
    """A gateway on loopback with a camera that is trusted, and levers."""

    def __init__(self, keys, folder) -> None:
        self.fleet = keys
        self.camera = SoftwareCamera(folder, keys)
        self.engine = SlowModels()
        self.keys, self.view = warranted(keys, self.camera.certificate, self.engine.bundle.digest)
        store = ReportStore(folder / "gateway")
        self.reporter = Reporter(store, GatewayReport, self.view.now_ms)
        self.journal = Journal(Sightings(self.reporter))
        self.receipts = ReceiptStore(folder / "gateway")
        maker = VerdictMaker(self.keys, self.view, self.engine, self.journal, None, self.receipts)
        self.server, self.operators = (
            grpc.aio.server(options=SERVER_OPTIONS),
            grpc.aio.server(options=SERVER_OPTIONS),
        )
        self.conversations = Conversations(self.view, self.engine, maker, self.receipts)
        rpc.add_FramesServicer_to_server(
            FramesService(self.keys, self.view, self.conversations), self.server
        )
        rpc.add_GatewayOperatorServicer_to_server(
            GatewayOperatorService(
                self.keys,
                self.view,
                self.engine,
                Archive(self.journal, self.receipts),
                report=StatusReport(
                    keys=self.keys,
                    view=self.view,
                    models=self.engine,
                    journal=self.journal,
                    retention=ReceiptRetention(self.receipts, 2**20),
                ),
            ),
            self.operators,
        )
        chain = [self.keys.chain_pem()]
        self.port = self.server.add_secure_port(
            "127.0.0.1:0",
            grpc.ssl_server_credentials(
                chain, keys.issuing["device-ca"].pem, require_client_auth=True
            ),
        )
        self.operator_port = self.operators.add_secure_port(
            "127.0.0.1:0",
            grpc.ssl_server_credentials(
                chain, keys.issuing["operator-ca"].pem, require_client_auth=True
            ),
        )

    def channel(self, port: int, pair) -> grpc.aio.Channel:
        credentials = grpc.ssl_channel_credentials(self.fleet.issuing["gateway-ca"].pem, *pair)
        options = (
            ("grpc.ssl_target_name_override", "gw1.line-1.gateway.framegate"),
            ("grpc.use_local_subchannel_pool", 1),
        )
        return grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, options=options)

    def stream(self):
        pair = self.camera.tls_pair
        return self.channel(self.port, pair)

    def trust(self, state: str) -> None:
        devices = [
            pb.DeviceTrust(
                device=CAMERA,
                state=state,
                remaining_ms=600_000,
                spki_sha256=self.view._devices[CAMERA].spki_sha256,
                facts=facts_text(CAMERA, state=state),
            )
        ]
        self.view.apply(pb.TrustUpdate(revision=self.view.revision + 1, devices=devices))

    async def opened(self, call):
        session = self.camera.session((await call.read()).offer, self.keys.newest.publics)
        await call.write(pb.CameraMessage(opening=session.opening(self.camera)))
        assert (await call.read()).WhichOneof("kind") == "accepted"
        return session

    def findings(self) -> list[tuple[str, str, str, int]]:
        """(kind, reason, device, count) of what would be reported now."""
        self.reporter.gather()
        told = self.reporter.store.waiting(99, 99).findings
        return [(f.kind.value, f.reason, f.device, f.count) for f in told]

    def leaves(self, kind: str = "") -> list[dict]:
        """Claims of the leaves that are on disk, oldest first."""
        self.receipts.settle()
        with self.receipts.reading() as connection:
            rows = list(stored_leaves(connection, "ORDER BY leaves.number", ()))
        claims = [parse_leaf(row.leaf) for row in rows]
        return [c for c in claims if kind in {"", c["kind"]}]

    async def talk(self, messages, certificate=None) -> list[pb.GatewayMessage]:
        """A conversation over a broker: who it is with is a certificate, which is public. Messages
        are the camera's, or functions of what was answered so far; all answers.
        """
        der = (certificate or self.camera.certificate).public_bytes(Encoding.DER)
        answers, todo = [], list(messages)

        async def read():
            if not todo:
                return None
            one = todo.pop(0)
            message = one(answers) if callable(one) else one
            return await message if asyncio.iscoroutine(message) else message

        async def write(message):
            answers.append(message)

        await self.conversations.converse(
            lambda: CameraLink(load_certificate(der), self.keys, self.view), read, write
        )
        return answers

    def verdict(self, message):
        assert message.WhichOneof("kind") == "answer", message
        return verify_verdict(
            message.answer.verdict,
            self.fleet.intermediates,
            self.fleet.root.certificate,
            from_ms(time.time_ns() // 1_000_000),
        )
