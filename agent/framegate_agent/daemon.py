"""The agent daemon: attests in time, on events and on demand, rejoins, streams while granted."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import os
import random
from dataclasses import replace
from typing import Any, Final

import grpc

from framegate.errors import Failure, FramegateError, Reason, Unavailable
from framegate.identity.certificates import from_ms
from framegate.signed.mask import Masks, verify_masks
from framegate.wire import Warrant
from framegate_agent.attestation import RPC_TIMEOUT_S, UNREACHED, Attester, Outcome
from framegate_agent.callers import Callers
from framegate_agent.camera.capture import Capture
from framegate_agent.camera.carrier import BrokerAddress, BrokerWay
from framegate_agent.camera.heads import HeadSpool
from framegate_agent.camera.logged_grants import logged_grants
from framegate_agent.camera.session import Demands
from framegate_agent.camera.stream import CameraStream
from framegate_agent.controller_watch import ControllerWatch, beat_s, silence_s
from framegate_agent.fleet_connection import FleetConnection
from framegate_agent.gateway_socket import GatewaySocket
from framegate_agent.posture_watch import watch_posture
from framegate_agent.progress import Progress, status_body
from framegate_agent.scraped import scraped
from framegate_agent.settings import AgentSettings
from framegate_agent.signing import KeyInTpm
from framegate_agent.start_lines import tell_start
from framegate_agent.state import AgentState, StateFile
from framegate_agent.tpm.chip import Tpm
from framegate_agent.tpm.esapi import TpmFailed, TpmLost
from framegate_agent.trusted_clock import TrustedClock
from framegate_host.logs import started
from framegate_host.service_manager import NOBODY, ServiceManager
from framegate_host.watchdog import Promise, watched_over
from framegate_proto.edge import answered, from_failures
from framegate_proto.traces import traces_to
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc

log = logging.getLogger(__name__)
JITTER: Final = 0.2
"""Attestations spread by a fifth around the interval, so that a fleet does not come in waves."""
FLEET_TRIES: Final = 3
TPM_TRIES: Final = 5
"""TPM errors in a row after which the daemon ends with exit code 7."""
FIRST_BACKOFF_S: Final = 0.5
MAX_BACKOFF_S: Final = 30.0
STATUS_S: Final = 0.5
STATUS_LOOKS: Final = 10
"""How often what people read of this daemon is written, and looked at whether it has to be."""
ATTEST_MOST_S: Final = 180.0
"""One attestation: some 40 commands of a TPM that may take 0.6 s for each, an event log that is
read, four calls of at most 20 s.
"""


class Agent:
    """A running agent; `run` returns only when cancelled."""

    def __init__(self, settings: AgentSettings, manager: ServiceManager = NOBODY) -> None:
        self.settings, self._manager = settings, manager
        self.promise = Promise("attestation")
        self.file = StateFile(settings.state)
        self.state: AgentState = self.file.load()
        self.clock = TrustedClock(self.state.seen_ms, self.file.load_clock())
        self.tpm = Tpm(settings.tcti)
        self.tpm.flush_leftovers()
        self.attester = Attester(
            self.tpm, settings.boot_log, self.clock, settings.ima, settings.watch
        )
        self.traces = self.attester.traces = traces_to(settings.traces, "agent")
        self.failures: tuple[Failure, ...] = ()
        self.streams = self._streams()
        self.socket = self._socket()
        self.demands = Demands(frozenset(settings.model), frozenset(settings.gateway))
        self.logged = logged_grants(settings.state, settings.demanded)
        self.broker = self._broker()
        self._poke = asyncio.Event()
        self.controller = ControllerWatch(settings.state)
        self._fleet = FleetConnection(self.tpm, self.clock, lambda: self.state)
        self._fleet_failed = 0
        self._attested = 0
        self.spool = HeadSpool(settings.state / "heads", self.tpm.tls_key().spki())
        self._mask_version = 0
        self.masks = b""
        self._hold_masks()
        self._rejoined = 0

    @property
    def key(self) -> KeyInTpm:
        """The TLS key in the TPM."""
        return self.tpm

    def _streams(self) -> list[CameraStream]:
        s, streams = self.settings, []
        for number, source in enumerate(s.source, start=1):
            capture = Capture(
                source,
                part_type=s.part_type,
                rate=s.rate,
                repeat=s.repeat,
                unconfined=s.unconfined,
                payloads=s.payload,
            )
            streams.append(CameraStream(self, f"source-{number}", capture))
        return streams

    def _socket(self) -> GatewaySocket | None:
        s, path = self.settings, self.settings.gateway_socket
        uids, digests = s.gateway_uid or (os.getuid(),), s.gateway_program_sha256
        callers = Callers(uids, s.gateway_program, digests)
        return GatewaySocket(path, callers, self.poke, self.tpm) if path is not None else None

    def _broker(self) -> BrokerWay | None:
        if not self.settings.broker:
            return None
        # only an agent that has a broker needs an MQTT client
        from framegate_agent.camera.mqtt import BrokerClient  # noqa: PLC0415 - optional

        address = BrokerAddress(self.settings.broker, self.settings.broker_name)
        return BrokerClient(
            address, self.state.device, lambda: self.state.server_ca_pem, self._certify
        )

    def poke(self) -> None:
        """Attest now."""
        self._poke.set()

    async def run(self) -> None:
        """Run until cancelled; then let go of the TPM."""
        tell_start(self.settings, self.state)
        await asyncio.to_thread(self.tpm.tls_key)
        if self.socket is not None:
            await self.socket.start()
        tasks = [
            self._attest_loop(),
            self._watch_loop(),
            self._status_loop(),
            watch_posture(self.settings.watch, self.poke),
            *(s.run() for s in self.streams),
        ]
        try:
            async with (
                scraped(self.settings, self._progress, self.streams),
                watched_over(self._manager, lambda: (self.promise,)),
                asyncio.TaskGroup() as group,
            ):
                self._manager.ready(self.state.state)
                for task in tasks:
                    group.create_task(task)
        finally:
            if self.socket is not None:
                await self.socket.stop()
            await self._fleet.drop()
            self._write_status("stopped")
            await asyncio.to_thread(self.traces.close)
            await asyncio.to_thread(self.tpm.close)

    def _progress(self) -> Progress:
        return Progress(
            state=self.state,
            certificate_s=self.state.certificate_life_s(self.clock.now_s()),
            attested=self._attested,
            rejoined=self._rejoined,
            failures=self.failures,
            behind=bool(self.controller.behind),
            gateways=len(self.socket.publics) if self.socket else 0,
        )

    async def fetch_grants(self, nonce: bytes) -> tuple[list[bytes], tuple[Failure, ...]]:
        """Ask the controller for grants; part of `camera.identity.Identity`."""
        self.controller.require_ahead()
        stub: Any = rpc.FleetStub(await self._fleet.channel())
        request = pb.FetchGrantsRequest(nonce=nonce, with_profiles=self.logged is not None)
        reply = await answered(stub.FetchGrants(request, timeout=RPC_TIMEOUT_S), UNREACHED)
        if reply.masks:
            self._take_masks(reply.masks)
        grants, failures = list(reply.grants), from_failures(reply.failures)
        if self.logged is None:
            return grants, failures
        root, now_ms = self.state.root_certificate, self.clock.now_ms()
        return await self.logged.only_logged(stub, grants, failures, root, now_ms)

    def _take_masks(self, envelope: bytes) -> None:
        """Verified masks reach every capture child and the disk, so that they hold from the first
        frame after a restart on. Raises what verification says.
        """
        if envelope == self.file.load_masks():
            return
        masks = self._verified(envelope, self._mask_version)
        self.file.save_masks(envelope)
        self.masks = envelope
        self._mask_version = masks.version
        for stream in self.streams:
            stream.capture.set_masks(masks)
        log.info("masks version %d: %s", masks.version, masks.regions.words)

    def _hold_masks(self) -> None:
        envelope = self.file.load_masks()
        if envelope:
            masks = self._verified(envelope, 0)
            self._mask_version, self.masks = masks.version, envelope
            for stream in self.streams:
                stream.capture.set_masks(masks)

    def _verified(self, envelope: bytes, version: int) -> Masks:
        """Masks of this machine, none older than `version`. Raises what verification says."""
        s, now = self.state, from_ms(self.clock.now_ms())
        chain = (s.authority_certificates, s.root_certificate)
        return verify_masks(envelope, s.device, version, *chain, now)

    async def _certify(self, csr: bytes) -> tuple[bytes, bytes]:
        stub: Any = rpc.FleetStub(await self._fleet.channel())
        reply = await answered(
            stub.BrokerCertificate(pb.BrokerCertificateRequest(csr=csr), timeout=RPC_TIMEOUT_S),
            UNREACHED,
        )
        return reply.certificate, reply.issuer

    async def _attest_loop(self) -> None:
        backoff, tpm_failed = FIRST_BACKOFF_S, 0
        while True:
            self._poke.clear()
            self.promise.within(ATTEST_MOST_S)
            try:
                with self.traces.span("attest"):
                    outcome = await self._attest()
            except FramegateError as error:
                self.failures = error.failures
                log.warning("not attested: %s", error)
                tpm_failed = tpm_failed + 1 if isinstance(error, TpmFailed) else 0
                if isinstance(error, TpmLost) or tpm_failed >= TPM_TRIES:
                    # a connection to the TPM that is gone does not come back in this process: the
                    # supervisor starts another
                    raise
                most_s = min(backoff, MAX_BACKOFF_S, self.state.attest_interval_ms / 1000)
                delay = random.uniform(0.5, 1.0) * most_s  # noqa: S311 - jitter
                backoff = min(2 * backoff, MAX_BACKOFF_S)
            else:
                backoff, tpm_failed = FIRST_BACKOFF_S, 0
                self._took(outcome)
                jitter = random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret
                delay = self.state.attest_interval_ms / 1000 * jitter
            self.promise.within(delay + ATTEST_MOST_S)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._poke.wait(), delay)

    async def _attest(self) -> Outcome:
        """On the fleet port while the certificate lives; else, or after three failures there, by
        rejoining.
        """
        publics = self.socket.publics if self.socket else ()
        if self._fleet.certificate_life_s() > 1 and self._fleet_failed < FLEET_TRIES:
            try:
                outcome = await self.attester.attest(
                    self.state, await self._fleet.channel(), publics
                )
            except FramegateError as error:
                self._fleet_failed += 1
                if error.reason in {
                    Reason.CERTIFICATE,
                    Reason.CERTIFICATE_EXPIRED,
                    Reason.DEVICE_UNKNOWN,
                }:
                    self._fleet_failed = FLEET_TRIES
                raise
        else:
            outcome = await self.attester.join(self.state, b"", publics)
            self._rejoined += 1
            await self._fleet.drop()
        self._fleet_failed = 0
        self._attested += 1
        return outcome

    def _took(self, outcome: Outcome) -> None:
        """Keep the answer, and pass on what it means for streams and gateways."""
        before = self.state
        self.failures = outcome.failures
        if outcome.state.certificate:
            self.state = outcome.state
        # refused: the old certificate, if any, runs out by itself and is no use without a trusted
        # state
        else:
            self.state = replace(
                before,
                state=outcome.state.state,
                device=outcome.state.device,
                zone=outcome.state.zone,
                seen_ms=outcome.state.seen_ms,
            )
        try:
            self.file.save(self.state)
            self.file.save_clock(self.clock.marshal())
        except Unavailable as error:  # it is known here; after a restart this machine attests anew
            log.error("the state is not kept: %s", error)
        self._manager.status(f"{self.state.device} is {self.state.state}")
        if self.state.state != before.state:
            say = started.info if self.state.state == "trusted" else log.warning
            why = "".join(f"; {f}" for f in self.failures)
            say("state %s -> %s%s", before.state, self.state.state, why)
        for stream in self.streams:
            stream.refresh()
        if self.socket is not None:
            for digest, (tls, verdict) in outcome.gateways.items():
                self.socket.warrant(digest, self._warrant(tls, verdict, ""))
            if self.state.state != "trusted":
                self.socket.refuse_all(self._warrant(b"", b"", f"host is {self.state.state}"))

    def _warrant(self, tls: bytes, verdict: bytes, reason: str) -> Warrant:
        s = self.state
        return Warrant(
            device=s.device,
            zone=s.zone,
            tls_certificate=tls,
            verdict_certificate=verdict,
            root=base64.b64decode(s.root),
            authorities=tuple(base64.b64decode(a) for a in s.authorities),
            result_id=s.result_id,
            fleet_address=s.fleet_address,
            server_name=s.server_name,
            reason=reason,
        )

    async def _watch_loop(self) -> None:
        while True:
            try:
                stub: Any = rpc.FleetStub(await self._fleet.channel())
                with self.traces.span("watch"):
                    link = self.traces.metadata() or None
                every_s = beat_s(self.state.attest_interval_ms)
                asked, patience_s = self.controller.request(every_s), silence_s(every_s)
                call, first = stub.Watch(asked, metadata=link), True
                while (
                    event := await asyncio.wait_for(answered(call.read(), UNREACHED), patience_s)
                ) is not grpc.aio.EOF:
                    if first:
                        self._connected(event)
                    first, patience_s = False, silence_s(every_s, event.beat_ms)
                    self._watched(event)
            except (FramegateError, TimeoutError) as error:
                log.info("watch: %s", error)
            # jitter, so that a fleet does not come back as one
            await asyncio.sleep(random.uniform(0.3, 1.0))  # noqa: S311

    def _connected(self, event: pb.WatchEvent) -> None:
        """Raises where the controller is older than what was seen of it; its grants are void."""
        try:
            self.controller.first_event(event, self.state.root_certificate)
        except FramegateError:
            for stream in self.streams:
                stream.revoke([stream.lease.grant.host] if stream.lease is not None else [])
            raise

    def _watched(self, event: pb.WatchEvent) -> None:
        if event.kind == pb.WatchEvent.ATTEST_NOW:
            self.poke()
        elif event.kind == pb.WatchEvent.GRANTS_CHANGED:
            for stream in self.streams:
                stream.revoke(list(event.revoked_publics))
        elif event.kind == pb.WatchEvent.STATE and event.state != self.state.state:
            say = started.info if event.state == "trusted" else log.warning
            say("controller says: %s", event.state)
            self.state = replace(self.state, state=event.state)
            for stream in self.streams:
                stream.wake.set()
        if event.kind == pb.WatchEvent.STATE and event.state == "stale":
            self.poke()

    async def _status_loop(self) -> None:
        while True:
            self._write_status("running")
            told = self._inspected
            for _ in range(STATUS_LOOKS):
                await asyncio.sleep(STATUS_S / STATUS_LOOKS)
                if self._inspected != told:
                    break

    @property
    def _inspected(self) -> bool:
        """Whether any frame has its outcome: whoever waits for the first hears of it at once."""
        return any(s.tally.outcomes for s in self.streams)

    def _write_status(self, running: str) -> None:
        progress = self._progress()
        told = (*self.controller.behind, *self.failures)
        with contextlib.suppress(Unavailable):  # for people alone
            self.file.write_status(
                status_body(running, progress, told, self.streams, self._mask_version)
            )
