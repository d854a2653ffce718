"""The controller's two ports, join (server-authenticated, a process of its own) and fleet (mutual
TLS), and its rooms.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

import grpc

from framegate.errors import Reason, Refused, Unavailable
from framegate.wire import MAX_EVIDENCE_BYTES
from framegate_controller.bundleport.port import BundleEndpoint
from framegate_controller.ca.generations import FolderKeyRing
from framegate_controller.ca.issue import issue_server
from framegate_controller.ca.open import load_fleet
from framegate_controller.ca.server_pair import RenewedPair
from framegate_controller.clockwork.controllers import look_around
from framegate_controller.clockwork.run import Chore, Duties, Work, clockwork_of
from framegate_controller.clockwork.witness_chores import cosigning_chores
from framegate_controller.context import Addresses, Fleet
from framegate_controller.events.bus import InMemoryBus
from framegate_controller.events.shared_bus import SharedBus
from framegate_controller.federation.showing import shown_bundle
from framegate_controller.federation.watch import LOOK_S as SITES_S
from framegate_controller.federation.watch import SiteWatch
from framegate_controller.fleet.attestation import Verifier, VerifierState
from framegate_controller.fleet.join_port_restarts import RestartsRecord
from framegate_controller.fleet.strangers import StrangersRecord
from framegate_controller.forwarding.forwarder import DUTY as FORWARDING
from framegate_controller.forwarding.forwarder import Forwarder
from framegate_controller.joinport.messages import PortSetup, token_key
from framegate_controller.metrics.readings import ControllerMetrics
from framegate_controller.people.authority import Authority
from framegate_controller.people.desk import PeopleDesk
from framegate_controller.people.signin import SignIn
from framegate_controller.playbooks.engine import Engine
from framegate_controller.record import behaviour
from framegate_controller.record.counts import EventCounts
from framegate_controller.record.growth import RecordGrowth
from framegate_controller.record.reports import ReportDesk
from framegate_controller.record.tail import RecordTail
from framegate_controller.record.witness import require_witnessed
from framegate_controller.rpc.fleet import FleetService
from framegate_controller.rpc.fleet_front import OFTEN, FleetFront, descriptors_of
from framegate_controller.rpc.join import JoinService
from framegate_controller.rpc.joinport import Behind, BusElsewhere, JoinPort
from framegate_controller.rpc.known import KnownAtPort
from framegate_controller.rpc.listening import bind, listen
from framegate_controller.rpc.operator import TABLE
from framegate_controller.rpc.passed_calls import passed_calls
from framegate_controller.rpc.refusal_reports import record_refusals
from framegate_controller.rpc.signin import SignInService
from framegate_controller.rpc.table import Operators
from framegate_controller.settings import ControllerSettings
from framegate_controller.store.database import open_store
from framegate_controller.store.ports import Store
from framegate_controller.store.shared.ceremonies import OpenFlow, Waiting
from framegate_controller.store.shared.decisions import begin_log
from framegate_controller.store.shared.failures import InMemoryFailures
from framegate_controller.store.shared.looks import InMemoryLooks
from framegate_controller.store.shared.policies import InMemoryPolicies
from framegate_controller.store.shared.quotas import MachineRates
from framegate_controller.store.sharing import sharing_of
from framegate_controller.timing import CONNECTION_AGE_MS, CONNECTION_GRACE_MS
from framegate_controller.verbs.desk import Desk
from framegate_host.descriptors import require_descriptors
from framegate_host.private_files import closed_folder, state_folder
from framegate_host.secret_files import read_secret
from framegate_host.signals import ended_within
from framegate_host.telemetry.listener import Watched, watching
from framegate_proto.call_waiting import waited_together
from framegate_proto.health_service import HealthService
from framegate_proto.server_tls import ChangingTls, ServerTls
from framegate_proto.traces import traces_to
from framegate_proto.v1 import framegate_pb2_grpc as rpc

if TYPE_CHECKING:
    from framegate_controller.people.oidc import OidcProvider

MAX_STREAMS: Final = 64
"""Concurrent calls on one connection; an agent has three."""
MAX_HEADERS: Final = 16 * 1024
HANDSHAKE_MS: Final = 10_000
"""A machine signs in it: four commands of a TPM of 0.6 s each, behind an attestation under way."""
SERVER_OPTIONS: Final = (
    ("grpc.max_receive_message_length", MAX_EVIDENCE_BYTES + 64 * 1024),
    ("grpc.max_metadata_size", MAX_HEADERS),
    ("grpc.max_concurrent_streams", MAX_STREAMS),
    ("grpc.max_connection_age_ms", CONNECTION_AGE_MS),
    ("grpc.max_connection_age_grace_ms", CONNECTION_GRACE_MS),
    ("grpc.server_handshake_timeout_ms", HANDSHAKE_MS),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.http2.bdp_probe", 0),  # a ping and its answer for each message, for windows that grow
    ("grpc.so_reuseport", 0),
)
LOOPBACK: Final = "127.0.0.1"
"""Where the fleet port's server is, behind what counts connections."""
READ_S: Final = 1.0
"""Between two looks at what is new in the record: how late its counters and findings are."""
JOIN: Final = "framegate.v1.Join"
"""What the health service calls the join port: strangers there are answered nothing of health."""
PLAYBOOKS_S: Final = 0.1
"""How often playbooks look whether the record grew: most of what they take to answer."""
STOP_S: Final = 3.0
THROUGH_S: Final = 1.0
"""For all that is under way to end, each part within its own patience, and then for what it speaks
through. What takes longer is cut off: whoever restarts one controller after the other counts on
five seconds for each.
"""
CLIENTS: Final = ("device-ca", "gateway-ca", "operator-ca")
"""Whose certificates open the fleet port."""


class Controller:
    """A controller of a fleet that was founded.

    `start` binds both ports; `join_address` and `fleet_address` are then what tickets say, beside
    those of other controllers.
    """

    def __init__(self, settings: ControllerSettings) -> None:
        """Raises Unavailable where there are no keys or the registry is damaged, Refused where
        record or policy is missing.
        """
        self.settings = settings
        state_folder(settings.state)
        keys = settings.state / "keys"
        if keys.is_dir():  # without one, what follows says how it is made
            closed_folder(keys)
        ring = FolderKeyRing(load_fleet(keys, settings.passphrase_file))
        self.store = open_store(settings.store_at)
        self.store.require_sound()
        require_witnessed(self.store, ring.keys, settings.witnesses)
        _require_founded(self.store)
        self.fleet = Fleet(
            ring=ring,
            timing=settings.timing,
            clock=self.store.clock,
            controller=settings.name,
            require_cosigned=settings.require_cosigned,
            revocations=settings.revocation_lists,
            files=settings.files.ends,
        )
        self.policies = InMemoryPolicies()
        rates = MachineRates.of(settings.timing, settings.attest_limit)
        shared = self._sharing = sharing_of(self.store, settings.name, rates)
        remembered = VerifierState(
            tries=shared.tickets, begins=shared.begins, devices=shared.devices, spent=shared.spent
        )
        self.verifier = Verifier(self.store, self.fleet, state=remembered)
        here = InMemoryBus(self.store, self.fleet)
        self.bus = SharedBus(here, shared.peers, f"{settings.name}:{secrets.token_hex(8)}")
        duties = Duties(self.store, shared.peers)
        failures = InMemoryFailures()
        self.reports = ReportDesk(self.store, self.fleet, InMemoryFailures())
        tail = self._tail = RecordTail(self.store)
        counts = EventCounts(self.store, tail)
        self.clockwork = clockwork_of(
            duties,
            tail,
            self.fleet,
            self.bus,
            settings.witnesses,
            failures,
            self.reports,
        )
        behaviour.begin(self.store)
        with self.store.writing() as tx:
            begin_log(tx)
        self.clockwork.also(
            Chore("counts of the record", READ_S, counts.read),
            duties.chore("behaviour", READ_S, self._behaviour),
            duties.chore("other sites", SITES_S, lambda s: SiteWatch(s).look),
            *cosigning_chores(duties, self.fleet, settings.cosigners),
        )
        self._duties = duties
        self.forwarder = Forwarder(
            self.store,
            self.fleet.name,
            settings.state,
            shared.peers,
            tail,
            unconfined=settings.unconfined,
        )
        self.metrics = ControllerMetrics(
            store=self.store,
            fleet=self.fleet,
            bus=self.bus,
            clockwork=self.clockwork,
            counts=counts,
            join_port=lambda: self.join_port,
            traces=traces_to(settings.traces, "controller"),
        )
        self._health = HealthService(lambda: self.metrics.checks.look().ready, {JOIN: self._joins})
        self._shown, self._threads = contextlib.AsyncExitStack(), contextlib.ExitStack()
        self.sign_in = SignIn(
            self.store,
            self.fleet,
            shared.sign_in,
            shared.ceremonies,
            _provider(settings, shared.flows),
            failures,
            settings.console,
        )
        self.people = PeopleDesk(
            authority=Authority(self.fleet, self.policies, InMemoryLooks()),
            sign_in=self.sign_in,
            policies=self.policies,
            limits=shared.sign_in,
        )
        self._server: grpc.aio.Server | None = None
        self.join_port: JoinPort | None = None
        self.front: FleetFront | None = None
        self.bundle: BundleEndpoint | None = None
        self.inner_port, self._own = 0, Addresses()

    @property
    def join_address(self) -> str:
        """Where machines join and people sign in; empty before `start`."""
        return self._own.join

    @property
    def fleet_address(self) -> str:
        """Where machines attest and operators call; empty before `start`."""
        return self._own.fleet

    def _behaviour(self, store: Store) -> Work:
        return behaviour.BehaviourRecord(store, self.settings.sites, self._tail).read

    async def start(self) -> None:
        """Open both ports. Raises Unavailable where one is taken, or where this host allows too
        few open files.
        """
        at, pair = self.settings, self._server_pair()
        require_descriptors(descriptors_of(at.fleet_connections), "the fleet port")
        fleet_listener = await listen(at.host, at.fleet_port)
        front = self.front = FleetFront(fleet_listener, at.fleet_connections)
        beside = (front.interceptor(self.metrics.calls),)
        fleet = self._server = grpc.aio.server(options=SERVER_OPTIONS, interceptors=beside)
        self.inner_port = bind(fleet, f"{LOOPBACK}:0", self._credentials(pair))
        listener = await listen(at.host, at.join_port)
        self._own = Addresses(
            join=f"{at.advertised}:{listener.getsockname()[1]}",
            fleet=f"{at.advertised}:{fleet_listener.getsockname()[1]}",
            server_name=f"controller.{self.fleet.name}.framegate",
        )
        addresses = replace(
            self._own,
            join=",".join((self._own.join, *at.also_joins())),
            fleet=",".join((self._own.fleet, *at.also_fleets())),
        )
        self.fleet = self.verifier.fleet = replace(self.fleet, addresses=addresses)
        desk = Desk(self.store, self.fleet, self.people, self.bus)
        machines = FleetService(self.verifier, self.policies, self.bus, self.reports)
        self._shown.push_async_callback(machines.stop)
        self._threads.callback(machines.close)
        rpc.add_FleetServicer_to_server(machines, waited_together(fleet, *OFTEN))
        operators = Operators(desk, self.bus.publish, RecordGrowth(self._tail.size))
        rpc.add_OperatorServicer_to_server(operators.service(TABLE), waited_together(fleet))
        self._health.add_to(fleet)
        self.clockwork.also(
            self._duties.chore(
                "playbooks",
                PLAYBOOKS_S,
                lambda s: Engine(Desk(s, self.fleet, self.people, self.bus), self._tail).look,
            )
        )
        ears, owed = self.bus.start(), self.clockwork.duties | {FORWARDING}
        await asyncio.to_thread(self._sharing.peers.start, owed, ears)
        await asyncio.to_thread(look_around, self.store, self.fleet)
        await asyncio.to_thread(self.sign_in.restore)
        await self.clockwork.start()
        await self.forwarder.start()
        await fleet.start()
        front.start(self.inner_port)
        self.join_port = self._joining(listener, pair)
        await self.join_port.start()
        if at.bundle_at:
            host, _, number = at.bundle_at.rpartition(":")
            listening = await listen(host.strip("[]"), int(number))
            self.bundle = shown_bundle(
                lambda: self.fleet.keys, listening, at.bundle_refresh, unconfined=at.unconfined
            )
            await self.bundle.start()
        await self._shown.enter_async_context(self._health.told())
        m = self.metrics
        watched = Watched("controller", m.exposition, m.checks, m.read)
        await self._shown.enter_async_context(watching(at.metrics, at.metrics_tls, watched))

    async def stop(self, grace_s: float = 1.0) -> None:
        """Close both ports and the registry: what serves and what works beside each other, within
        `STOP_S`; then what they speak through, within `THROUGH_S`, and the store.
        """
        self.store.ending()
        await self._shown.aclose()
        ends = [self.forwarder.stop(), self.clockwork.stop()]
        if self.join_port is not None:
            ends.append(self.join_port.stop())
        if self.bundle is not None:
            ends.append(self.bundle.stop())
        if self._server is not None:
            ends.append(self._server.stop(grace_s))
        await ended_within(STOP_S, *ends)
        peers, traces = self._sharing.peers.stop, self.metrics.traces.close
        blocking = [asyncio.to_thread(end) for end in (peers, traces, self._threads.close)]
        ends = [*blocking, self.bus.stop()]
        if self.front is not None:
            ends.append(self.front.stop())
        await ended_within(THROUGH_S, *ends)
        await asyncio.to_thread(self.store.close)

    def _joins(self) -> bool:
        """Whether machines can join and people sign in now."""
        return self.join_port is not None and not self.join_port.trouble

    def _joining(self, listener: socket.socket, pair: RenewedPair) -> JoinPort:
        """The join port, whose process gets the server's key and none of the fleet's."""
        bus = BusElsewhere(self.bus, asyncio.get_running_loop())
        join = JoinService(self.verifier, bus)
        people = SignInService(self.sign_in, self.fleet, bus)
        self._threads.callback(people.close)
        oidc = self.sign_in.oidc

        def setup() -> PortSetup:
            key, chain = pair()
            return PortSetup(
                key=key,
                chain=chain,
                token_key=token_key(self.fleet.keys.factor_key),
                fleet=self.fleet.name,
                oidc_issuer=oidc.issuer if oidc is not None else "",
            )

        behind = Behind(
            calls=passed_calls(join, people),
            known=KnownAtPort(self.store).now,
            refused=partial(record_refusals, StrangersRecord(self.store)),
            restarted=RestartsRecord(self.store).add,
        )
        return JoinPort(listener, setup, behind, unconfined=self.settings.unconfined)

    def _server_pair(self) -> RenewedPair:
        """For both ports."""
        return RenewedPair(
            lambda keys, key, now: issue_server(keys, "controller", key, now),
            lambda: self.fleet.keys,
        )

    def _credentials(self, pair: RenewedPair) -> grpc.ServerCredentials:
        """For every new connection to the fleet port: what it shows, and who may open it now, as
        CAs come and go.
        """

        def now() -> ServerTls:
            return ServerTls(*pair(), self.fleet.keys.generations_pem(*CLIENTS))

        return ChangingTls(now).credentials()


def _require_founded(store: Store) -> None:
    """That the registry is one that `init` made: a controller puts no policy in force by itself."""
    with store.reading() as tx:
        if tx.policies.current() is None:
            hint = "framegate-controller init makes one; restore the registry"
            raise Refused.of(Reason.POLICY_INVALID, "an access policy in force", "none", hint)


def _provider(settings: ControllerSettings, flows: Waiting[OpenFlow]) -> OidcProvider | None:
    """Raises Unavailable where the client's secret cannot be read, Refused (USAGE) where everybody
    can read it.
    """
    if not settings.oidc_issuer:
        return None
    from framegate_controller.people import oidc  # noqa: PLC0415 - where somebody is asked by it

    file, secret = settings.oidc_client_secret_file, ""
    try:
        secret = read_secret(file).decode() if file else ""
    except (OSError, UnicodeDecodeError) as error:
        seen = type(error).__name__
        raise Unavailable.of(Reason.USAGE, f"a client's secret in {file}", seen) from error
    issuer, client = settings.oidc_issuer, settings.oidc_client_id
    provider = oidc.OidcSettings(
        issuer,
        client,
        secret,
        settings.oidc_ca,
        settings.oidc_device_code,
        settings.console,
    )
    return oidc.OidcProvider(provider, flows)
