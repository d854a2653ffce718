"""A running attested model server: bundles in memory, keys that its host's agent has certified, and
one port.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import Reason, Refused
from framegate.federation.bundle import TrustBundle
from framegate.identity.certificates import Purpose
from framegate_gateway.backend.serving import MAX_WAITING, BackendService, ServedModel
from framegate_gateway.inference.bundle import DEFAULT_BUNDLE, load_bundle
from framegate_gateway.inference.graph import verify_network
from framegate_gateway.inference.remote import MAX_TENSOR_BYTES
from framegate_gateway.inference.session import new_session
from framegate_gateway.trust.host_link import follow_agent
from framegate_gateway.trust.keys import Credentials, GatewayKeys
from framegate_host.logs import started
from framegate_host.service_manager import NOBODY, ServiceManager
from framegate_proto.call_context import OutlivingContexts
from framegate_proto.caller_share import CallerShare, CallerShares
from framegate_proto.port_crowd import Crowd, Crowds
from framegate_proto.server_tls import ChangingTls, ServerTls
from framegate_proto.v1 import open_inference_pb2_grpc as oip_rpc

MAX_CONNECTIONS: Final = 256
"""Gateways', at once, counted before TLS: of 1,024 descriptors."""
CROWDED: Final = MAX_CONNECTIONS - 64
"""From there on whoever has no call under way gives way (`port_crowd.py`)."""
MAX_OF_ONE: Final = MAX_WAITING // 2
"""Calls of one gateway at once: it asks about a few frames, and another always finds a place."""
SERVER_OPTIONS: Final = (
    ("grpc.max_receive_message_length", MAX_TENSOR_BYTES),
    ("grpc.max_send_message_length", MAX_TENSOR_BYTES),
    ("grpc.max_metadata_size", 16 * 1024),
    ("grpc.max_concurrent_streams", 64),
    ("grpc.max_allowed_incoming_connections", MAX_CONNECTIONS),
    ("grpc.server_handshake_timeout_ms", 10_000),
    ("grpc.so_reuseport", 0),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendRun:
    """How such a server runs: its agent's socket, bundles, address, the sites whose gateways may
    ask, and how the network runs.
    """

    agent_socket: Path
    models: tuple[Path, ...]
    host: str
    port: int
    sites: tuple[TrustBundle, ...]
    threads: int
    provider: str


class BackendProcess:
    """Runs until cancelled."""

    def __init__(self, run: BackendRun, manager: ServiceManager = NOBODY) -> None:
        """Loads the bundles. Raises Malformed, Refused or Unavailable where one is none that may
        run.
        """
        self._run, self._manager = run, manager
        bundles = [load_bundle(path) for path in run.models or (DEFAULT_BUNDLE,)]
        for bundle in bundles:
            verify_network(bundle.model, bundle.recipe)
        models = {
            b.digest.hex(): ServedModel(
                b.digest.hex(), new_session(b.model, run.threads, run.provider)
            )
            for b in bundles
        }
        self.keys = GatewayKeys(
            f"{run.host}:{run.port}",
            "",
            bundles[0].digest,
            purposes=(Purpose.BACKEND, Purpose.INFERENCE),
        )
        self.service = BackendService(self.keys, models, run.sites)
        self._first = asyncio.Event()
        started.info("%d models: %s", len(models), ", ".join(d[:16] for d in models))

    async def run(self) -> None:
        """Wait for the first warrant, open the port, serve."""
        crowd, share = Crowd(CROWDED, MAX_CONNECTIONS), CallerShare(MAX_OF_ONE)
        beside = (OutlivingContexts(), crowd.interceptor(), CallerShares(share))
        server = grpc.aio.server(options=SERVER_OPTIONS, interceptors=beside)
        oip_rpc.add_GRPCInferenceServiceServicer_to_server(self.service, server)
        try:
            async with asyncio.TaskGroup() as group:
                self._manager.ready("waits for the agent of this host")
                group.create_task(follow_agent(self._run.agent_socket, self.keys, self._changed))
                await self._first.wait()
                tls = ChangingTls(self._configuration)
                address = f"{self._run.host}:{self._run.port}"
                crowd.port = server.add_secure_port(address, tls.credentials())
                await server.start()
                group.create_task(Crowds([crowd]).keep_room())
                started.info("serves on %s:%d", self._run.host, self._run.port)
        finally:
            await server.stop(0.5)

    def _changed(self, credentials: Credentials | None) -> None:
        if credentials is not None and not self._first.is_set():
            started.info("warranted by %s", credentials.device)
            self._first.set()

    def _configuration(self) -> ServerTls:
        """Present key and chain, and whose gateways may connect. Raises Refused while the host has
        no standing.
        """
        credentials = self.keys.credentials
        if credentials is None:
            why = self.keys.refused or "no warrant"
            raise Refused.of(Reason.NOT_TRUSTED, "a host in standing", why)
        others = [c.public_bytes(Encoding.PEM) for s in self._run.sites for c in s.certificates]
        clients = b"".join((credentials.authority("gateway-ca"), *others))
        return ServerTls(*self.keys.chain_pem(), clients)
