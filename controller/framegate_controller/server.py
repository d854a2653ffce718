"""The controller's two ports: join (server-authenticated) and fleet (mutual TLS), and what they share."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import grpc
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from framegate.errors import Reason, Refused, Unavailable
from framegate.identity.pem import private_pem
from framegate.record.verify import AuditRefused, LogAnchor, verify_head
from framegate.signed.dsse import parse_envelope
from framegate.signed.receipt import Checkpoint
from framegate.wire import MAX_PROOF_BYTES
from framegate_controller.ca.issuance import issue_server
from framegate_controller.ca.keys import FleetKeys, load_fleet
from framegate_controller.fleet.attestation import Verifier
from framegate_controller.people.authority import Authority
from framegate_controller.people.oidc import OidcProvider, OidcSettings
from framegate_controller.people.signin import SignIn
from framegate_controller.record.ledger import require_whole
from framegate_controller.rpc.fleet import FleetService
from framegate_controller.rpc.hub import Hub
from framegate_controller.rpc.join import JoinService
from framegate_controller.rpc.operator import Addresses, OperatorService
from framegate_controller.rpc.signin import SignInService
from framegate_controller.store.database import Database
from framegate_controller.timing import CONNECTION_AGE_MS, CONNECTION_GRACE_MS, Timing
from framegate_host.witness_file import last_head
from framegate_proto.v1 import framegate_pb2_grpc as rpc

MAX_STREAMS: Final = 256
"""Concurrent calls on one connection; an agent has three."""
MAX_HEADERS: Final = 16 * 1024
SERVER_OPTIONS: Final = (
    ("grpc.max_receive_message_length", MAX_PROOF_BYTES + 64 * 1024),
    ("grpc.max_metadata_size", MAX_HEADERS),
    ("grpc.max_concurrent_streams", MAX_STREAMS),
    ("grpc.max_connection_age_ms", CONNECTION_AGE_MS),
    ("grpc.max_connection_age_grace_ms", CONNECTION_GRACE_MS),
    ("grpc.server_handshake_timeout_ms", 10_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.so_reuseport", 0),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the controller keeps its state and listens; port 0 lets the system choose. `advertise` is the host that tickets name; `witness` are files
    that get every head of the log, beside the one in `state`."""

    state: Path
    host: str = "127.0.0.1"
    join_port: int = 7443
    fleet_port: int = 7444
    advertise: str = "127.0.0.1"
    timing: Timing = field(default_factory=Timing)
    controller: str = "controller-1"
    passphrase_file: Path | None = None
    oidc: OidcSettings | None = None
    witness: tuple[Path, ...] = ()


class Controller:
    """A running controller. `start` binds both ports; `join_address` and `fleet_address` are then what tickets say."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.keys: FleetKeys = load_fleet(settings.state / "keys", settings.passphrase_file)
        self.database = Database(settings.state / "registry.db")
        self._require_whole_log()
        self.verifier = Verifier(self.database, self.keys, settings.controller, settings.timing, now_ms)
        self.hub = Hub(self.database, settings.timing, settings.controller, now_ms, self.keys, settings.state)
        self.hub.witnesses = [settings.state / "log-heads", *settings.witness]
        self.authority = Authority(self.keys, now_ms)
        self.sign_in = SignIn(self.database, self.keys, now_ms, OidcProvider(settings.oidc) if settings.oidc else None)
        self.join_address = self.fleet_address = ""
        self._servers: list[grpc.aio.Server] = []

    def _require_whole_log(self) -> None:
        """No start on a log that was cut, deleted or rewritten since its last head that is kept outside the store. Raises Refused (AUDIT), Malformed."""
        for path in (self.settings.state / "log-heads", *self.settings.witness):
            last = last_head(path)
            if last is None:
                continue
            try:
                verify_head(last, LogAnchor(root=self.keys.root.certificate), self.keys.fleet)
            except AuditRefused as error:
                raise Refused.of(Reason.AUDIT, f"heads signed by this fleet's log key in {path}", str(error), "restore it; it was edited, or is another fleet's") from error
            with self.database.transaction() as session:
                require_whole(session.info["tx"], parse_envelope(last, Checkpoint.TYPE).payload)

    async def start(self) -> None:
        """Open both ports. Raises Unavailable where one is taken."""
        key = ec.generate_private_key(ec.SECP256R1())
        self._pair = [(private_pem(key), issue_server(self.keys, "controller", key.public_key()).public_bytes(serialization.Encoding.PEM) + self.keys.issuing["server-ca"].pem)]
        join, fleet = grpc.aio.server(options=SERVER_OPTIONS), grpc.aio.server(options=SERVER_OPTIONS)
        join_port = _bind(join, f"{self.settings.host}:{self.settings.join_port}", grpc.ssl_server_credentials(self._pair))
        dynamic = grpc.dynamic_ssl_server_credentials(self._configuration(), self._configuration, require_client_authentication=True)
        fleet_port = _bind(fleet, f"{self.settings.host}:{self.settings.fleet_port}", dynamic)
        self.join_address, self.fleet_address = f"{self.settings.advertise}:{join_port}", f"{self.settings.advertise}:{fleet_port}"
        addresses = Addresses(self.join_address, self.fleet_address, f"controller.{self.keys.fleet}.framegate")
        rpc.add_JoinServicer_to_server(JoinService(self.verifier, self.hub), join)
        rpc.add_SignInServicer_to_server(SignInService(self.sign_in, self.hub, self.fleet_address), join)
        rpc.add_FleetServicer_to_server(FleetService(self.verifier, self.hub), fleet)
        rpc.add_OperatorServicer_to_server(OperatorService(self.verifier, self.hub, addresses, self.authority, self.sign_in), fleet)
        self._servers = [join, fleet]
        await self.hub.start()
        for server in self._servers:
            await server.start()

    def _configuration(self) -> grpc.ServerCertificateConfiguration:
        """For every new connection: whose certificates may open it, as CAs come and go."""
        return grpc.ssl_server_certificate_configuration(self._pair, self.keys.generations_pem("device-ca", "gateway-ca", "operator-ca"))

    async def stop(self, grace_s: float = 1.0) -> None:
        """Close both ports and the registry."""
        self.hub.stop()
        for server in self._servers:
            await server.stop(grace_s)
        self.database.close()


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def _bind(server: grpc.aio.Server, address: str, credentials: grpc.ServerCredentials) -> int:
    try:
        port = server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise Unavailable.of(Reason.UNAVAILABLE, f"{address} free to listen on", error, "another controller may be running; choose other ports") from error
    return int(port)
