"""A running gateway: its engine, its two ports, its link to the agent and its trust feed."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import secrets
from typing import Any, NamedTuple

import grpc
from cryptography import x509

from framegate.errors import FramegateError, Reason, Refused, Unavailable
from framegate.identity.certificates import from_ms
from framegate.pilot.word import STAGES_TOPIC
from framegate.signed.report import GatewayReport
from framegate_gateway.inference.bundle import DEFAULT_BUNDLE, Bundle, load_bundle
from framegate_gateway.inference.fleet_parts import FleetParts
from framegate_gateway.inference.golden_learner import GoldenLearner
from framegate_gateway.inference.models import Models
from framegate_gateway.inference.pinned_model import PinnedModel
from framegate_gateway.inference.providers import Host
from framegate_gateway.inference.starting import start_elsewhere, start_model
from framegate_gateway.metrics import INSPECTION, GatewayMetrics
from framegate_gateway.ports.addresses import require_free
from framegate_gateway.ports.conversation import Conversations
from framegate_gateway.ports.frames import FramesService
from framegate_gateway.ports.gateway_status import StatusReport
from framegate_gateway.ports.mqtt_frames import MqttFrames
from framegate_gateway.ports.open_inference import OpenInferenceService
from framegate_gateway.ports.operators import GatewayOperatorService
from framegate_gateway.ports.options import (
    CROWDED,
    DESCRIPTORS,
    MAX_CONNECTIONS,
    SERVER_OPTIONS,
)
from framegate_gateway.receipts.batches import follow_log, sign_batches, sign_rest
from framegate_gateway.receipts.retention import ReceiptRetention, keep_within_quota
from framegate_gateway.receipts.store import ReceiptStore
from framegate_gateway.reports.delivery import deliver_reports, gather_and_sign, sign_reports
from framegate_gateway.reports.line_reports import HEARD as REPORTS_HEARD
from framegate_gateway.reports.line_reports import LineReports
from framegate_gateway.reports.sightings import Sightings
from framegate_gateway.settings import GatewaySettings, backend_of, golden_of
from framegate_gateway.trust.access import AccessView
from framegate_gateway.trust.decided import decided_view
from framegate_gateway.trust.decisions_feed import follow_decisions
from framegate_gateway.trust.feed import TrustView, follow_feed
from framegate_gateway.trust.host_link import follow_agent
from framegate_gateway.trust.keys import Credentials, GatewayKeys
from framegate_gateway.trust.log_view import LogView
from framegate_gateway.vault.archive import Archive
from framegate_gateway.vault.egress import Egress, EgressRules
from framegate_gateway.vault.frames import FrameVault, keep_expiring
from framegate_gateway.vault.keys import open_keys
from framegate_gateway.verdicts.journal import Journal
from framegate_gateway.verdicts.lines import HEARD, Lines
from framegate_gateway.verdicts.maker import VerdictMaker
from framegate_gateway.verdicts.publish import Publisher
from framegate_host.descriptors import require_descriptors
from framegate_host.logs import started
from framegate_host.payload_kinds import load_kinds
from framegate_host.private_files import state_folder
from framegate_host.report_store import ReportStore
from framegate_host.reporting import Reporter
from framegate_host.service_manager import NOBODY, ServiceManager
from framegate_host.telemetry.listener import Watched, watching
from framegate_host.watchdog import Promise, watched_over
from framegate_proto.call_context import OutlivingContexts
from framegate_proto.caller_share import CallerShares
from framegate_proto.health_service import HealthService
from framegate_proto.port_crowd import Crowd, Crowds
from framegate_proto.server_tls import ChangingTls, ServerTls
from framegate_proto.traces import traces_to
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc
from framegate_proto.v1 import open_inference_pb2_grpc as oip_rpc

log = logging.getLogger(__name__)


class _Port(NamedTuple):
    """A server that is not open yet, and who gives way there."""

    server: grpc.aio.Server
    crowd: Crowd


class GatewayProcess:
    """Runs until cancelled."""

    def __init__(self, settings: GatewaySettings, manager: ServiceManager = NOBODY) -> None:
        self.settings, self._manager, self._batches = settings, manager, Promise("signing")
        require_descriptors(DESCRIPTORS, "the gateway's ports")
        try:
            state_folder(settings.state)  # before anything in it is read
        except OSError as error:
            raise Unavailable.of(
                Reason.UNAVAILABLE,
                f"a folder {settings.state} for receipts",
                error.strerror or error,
                "name one this user may write: --state DIR",
            ) from error
        shipped = settings.bundle or DEFAULT_BUNDLE
        kinds = load_kinds(settings.payload)
        bundle = load_bundle(shipped, kinds)
        self.parts = FleetParts(settings.state / "golden", golden_of(settings, kinds))
        host, port = settings.reached
        operators = f"{host}:{settings.operator_port}"
        self.keys = GatewayKeys(f"{host}:{port}", operators, bundle.digest, settings.payload)
        access = AccessView(settings.state, self._root)
        self.view = TrustView(
            settings.state / "feed-revision",
            access,
            close=settings.feed_silence == "close",
            authorities=self.keys.know,
            inspection=self._inspection,
            log=LogView(settings.state / "record-head", self._root, self._record_again),
        )
        self.view.decided = decided_view(settings.state, settings.demanded, self._root)
        backend = backend_of(settings, self.keys, self.view)
        self.models = Models(
            bundle,
            self.parts,
            settings.threads,
            backend,
            self._model_failed,
            host=Host(settings.provider, settings.unconfined, kinds),
        )
        self.pinned = PinnedModel(
            settings.state,
            (shipped, *settings.models),
            self.models,
            self.keys.use_model,
            self._model_event,
            lambda: from_ms(self.view.now_ms()),
        )
        reports = ReportStore(settings.state)
        self.reporter = Reporter(reports, GatewayReport, self.view.now_ms)
        self.sightings = Sightings(self.reporter)
        self.models.told = self.sightings.child
        self.line_reports = LineReports(self.keys, self.view.now_ms)
        self.journal = Journal(self.sightings)
        self.publisher = (
            Publisher(settings.broker, settings.broker_name, self.keys) if settings.broker else None
        )
        self.lines = Lines(self.keys, self.view.now_ms)
        if self.publisher is not None:
            self.publisher.hear(HEARD, self.lines.take)
            self.publisher.hear(REPORTS_HEARD, self.line_reports.take)
            self.publisher.trouble = self.sightings.broker
        self.receipts = ReceiptStore(settings.state)
        self.vault, self.locked = self._open_vault()
        self.retention = ReceiptRetention(
            self.receipts,
            settings.receipt_quota * 2**20,
            self.vault.holds if self.vault is not None else lambda _ids: set(),
            self.sightings.filling,
        )
        self.maker = VerdictMaker(
            self.keys,
            self.view,
            self.models,
            self.journal,
            self.publisher,
            self.receipts,
            self.vault,
        )
        self.learner = GoldenLearner()
        self.report = StatusReport(
            keys=self.keys,
            view=self.view,
            models=self.models,
            journal=self.journal,
            pinned=self.pinned,
            parts=self.parts,
            broker=self.publisher,
            lines=self.lines,
            retention=self.retention,
        )
        self.metrics = GatewayMetrics(
            report=self.report,
            receipts=self.receipts,
            vault_open=self.vault is not None,
            traces=traces_to(settings.traces, "gateway"),
        )
        self.journal.took = self.metrics.exposition.timings(INSPECTION).took
        self._health = HealthService(lambda: self.metrics.checks.look().ready)
        self.conversations = Conversations(
            self.view, self.models, self.maker, self.receipts, self.learner
        )
        self._first, self._signed = asyncio.Event(), asyncio.Event()
        self._mqtt: MqttFrames | None = None

    def _root(self) -> x509.Certificate | None:
        return self.keys.credentials.root if self.keys.credentials else None

    def _record_again(self, first_lost: int) -> None:
        """The controller's record lost its entries from `first_lost` on: hand over anew what this
        host has of them.
        """
        again = self.receipts.forget_logs(first_lost)
        self.reporter.store.forget_taken(first_lost)
        if again:
            log.warning("%d batches of receipts are recorded again", again)
            self._signed.set()

    async def run(self) -> None:
        """Start the engine, wait for the first warrant, open the ports, serve."""
        at = self.settings
        for port in filter(None, (at.port, at.operator_port, at.inference_port)):
            require_free(at.host, port)
        if not self.models.needs_standing:
            await start_model(self.models, len(self.parts))
        servers: list[grpc.aio.Server] = []
        watched = Watched(
            "gateway", self.metrics.exposition, self.metrics.checks, self.metrics.read
        )
        try:
            async with (
                watching(at.metrics, at.metrics_tls, watched),
                self._health.told(),
                watched_over(self._manager, lambda: (self.models.under_way, self._batches)),
                asyncio.TaskGroup() as group,
            ):
                self._manager.ready("waits for the agent of this host")
                group.create_task(
                    follow_agent(self.settings.agent_socket, self.keys, self._changed)
                )
                await self._first.wait()
                group.create_task(self.pinned.follow())
                group.create_task(self.parts.follow(self.keys))
                group.create_task(follow_feed(self.view, self.keys))
                group.create_task(follow_decisions(self.view, self.keys))
                group.create_task(
                    sign_batches(
                        self.receipts, self.keys, self.view.now_ms, self._signed, self._batches
                    )
                )
                group.create_task(
                    follow_log(self.receipts, self.keys, self.view.now_ms, self._signed)
                )
                group.create_task(keep_within_quota(self.retention, self.maker.event))
                group.create_task(sign_reports(self.reporter, self.keys, self.view.now_ms))
                group.create_task(
                    deliver_reports(self.reporter, self.line_reports, self.keys, self._send)
                )
                if self.publisher is not None:
                    group.create_task(self.publisher.watch_certificate())
                if self.vault is not None:
                    group.create_task(keep_expiring(self.vault, self.view.now_ms))
                if self.models.needs_standing:
                    await start_elsewhere(self.models, len(self.parts))
                servers, crowds = await self._serve()
                group.create_task(crowds.keep_room())
        finally:
            await asyncio.gather(*(server.stop(0.5) for server in servers))
            await self.conversations.gaps.close()
            await self.models.stop()
            if self.publisher is not None:
                self.publisher.stop()
            if self.vault is not None:
                await asyncio.to_thread(self.vault.close)
            with contextlib.suppress(Exception):
                await asyncio.to_thread(sign_rest, self.receipts, self.keys, self.view.now_ms)
                await asyncio.to_thread(gather_and_sign, self.reporter, self.keys, self.view.now_ms)
            await asyncio.to_thread(self.receipts.close)
            await asyncio.to_thread(self.reporter.store.close)
            await asyncio.to_thread(self.metrics.traces.close)

    async def _model_failed(self, bundle: Bundle, error: FramegateError) -> None:
        """A model deviated and is stopped: a leaf among the receipts says so, beside the
        UNINSPECTED verdicts that follow.
        """
        await self._model_event(
            "model-stopped",
            {
                "model_sha256": bundle.digest.hex(),
                "reason": error.reason.value,
                "what": str(error)[:400],
            },
        )

    async def _model_event(self, event: str, detail: dict[str, Any]) -> None:
        self.sightings.model(event, detail)
        with contextlib.suppress(FramegateError):
            await self.maker.event(secrets.token_hex(16), event, "gateway", detail)

    def _inspection(self, update: pb.TrustUpdate) -> None:
        """Model pin and parts of the trust feed. Raises Malformed or Refused: the feed is then
        worth nothing.
        """
        credentials = self.keys.credentials
        if credentials is None:
            return
        if update.HasField("access"):
            self.pinned.apply(update.access.model_pin, credentials.zone, credentials.root)
        if update.HasField("parts"):
            self.parts.apply(
                list(update.parts.parts), credentials.root, from_ms(self.view.now_ms())
            )
        if update.stage:  # for lines, who go by the controller's signature and not by ours
            self._send(STAGES_TOPIC.format(gateway=credentials.device), update.stage)

    def _send(self, topic: str, payload: bytes) -> None:
        if self.publisher is not None:
            self.publisher.send(topic, payload)

    def _open_vault(self) -> tuple[FrameVault | None, str]:
        """The host's vault, or why there is none. A vault that does not open never stops
        inspection: frames are then not kept, and it says so.
        """
        folder = self.settings.state / "vault"
        if not (folder / "vault.json").exists():
            return None, "none: framegate-gateway vault init"
        try:
            return (
                FrameVault(
                    folder, open_keys(folder, self.settings.agent_socket), self.settings.keep
                ),
                "",
            )
        except FramegateError as error:
            log.error("the vault stays shut, frames are not kept: %s", error)
            return None, f"shut: {error}"

    def _changed(self, credentials: Credentials | None) -> None:
        if credentials is None:
            log.warning("the host lost its standing: %s", self.keys.refused)
            self._manager.status(f"admits nothing: the host has no standing, {self.keys.refused}")
            return
        self._manager.status(f"serves zone {credentials.zone} on {credentials.device}")
        if not self._first.is_set():
            started.info("warranted by %s, zone %s", credentials.device, credentials.zone)
            self._first.set()
        if self.publisher is not None and (
            self._mqtt is not None or not self.settings.frames_over_broker
        ):
            self.publisher.renewed(credentials)

    async def _serve(self) -> tuple[list[grpc.aio.Server], Crowds]:
        s = self.settings
        frames, operators = self._port(), self._port()
        rpc.add_FramesServicer_to_server(
            FramesService(self.keys, self.view, self.conversations), frames.server
        )
        rules = EgressRules(frozenset(s.export_to), s.export_quota)
        archive = Archive(self.journal, self.receipts, self.vault, self.locked)
        egress = (
            Egress(
                archive,
                self.maker,
                self.models,
                self.keys,
                rules,
                self.view.now_ms,
                lambda request, frames: self.sightings.exported(
                    request.actor, frames, dataset=not request.identifier
                ),
            )
            if self.vault is not None
            else None
        )
        service = GatewayOperatorService(
            self.keys, self.view, self.models, archive, egress, self.learner, self.report
        )
        self._health.add_to(operators.server)
        rpc.add_GatewayOperatorServicer_to_server(service, operators.server)
        if self.publisher is not None and s.frames_over_broker:
            self._mqtt = MqttFrames(self.keys, self.view, self.conversations, self.publisher)
            self.publisher.renewed(self.keys.credentials)
        ports = [(frames, s.port, "device-ca"), (operators, s.operator_port, "operator-ca")]
        if s.inference_port:
            usual = self._port()
            inference = OpenInferenceService(self.keys, self.view, self.models)
            oip_rpc.add_GRPCInferenceServiceServicer_to_server(inference, usual.server)
            ports.append((usual, s.inference_port, "device-ca"))
        for (server, crowd), port, clients in ports:
            tls = ChangingTls(functools.partial(self._configuration, clients))
            crowd.port = server.add_secure_port(f"{s.host}:{port}", tls.credentials())
            await server.start()
        return [p.server for p, _, _ in ports], Crowds([p.crowd for p, _, _ in ports])

    def _port(self) -> _Port:
        crowd = Crowd(CROWDED, MAX_CONNECTIONS)
        beside = (OutlivingContexts(), crowd.interceptor(), self.metrics.calls, CallerShares())
        return _Port(grpc.aio.server(options=SERVER_OPTIONS, interceptors=beside), crowd)

    def _configuration(self, clients: str) -> ServerTls:
        """Present key and chain for new connections. Raises Refused while the host has no standing;
        gRPC then keeps the last, whose time runs out.
        """
        credentials = self.keys.credentials
        if credentials is None:
            why = self.keys.refused or "no warrant"
            raise Refused.of(Reason.NOT_TRUSTED, "a host in standing", why)
        return ServerTls(*self.keys.chain_pem(), credentials.authority(clients))
