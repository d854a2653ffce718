"""From captured frames to verdicts: keeps one stream to a granted gateway alive, and says UNINSPECTED for every frame it could not send."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import grpc
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.certificates import from_ms, spki_of
from framegate.errors import Failure, FramegateError, Reason, Refused, Unavailable
from framegate.identity import split_device_id
from framegate.statements import Outcome, Verdict, verify_verdict
from framegate.wire import NONCE_BYTES, Captured
from framegate_agent.attestation import UNREACHED
from framegate_agent.camera.session import FrameSession, HeldGrant, hold_grant
from framegate_agent.channel import with_tpm_key
from framegate_agent.signing import KeyInTpm
from framegate_agent.state import AgentState, TrustedClock
from framegate_proto.edge import answered, from_failures
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc

log = logging.getLogger(__name__)
QUEUE: Final = 8
"""Frames waiting to be sealed; one more and the oldest is UNINSPECTED, because a part cannot wait for a queue."""
MAX_IN_FLIGHT: Final = 16
"""Frames sent and not answered; the gateway cuts a device off at 64."""
OPEN_TIMEOUT_S: Final = 10.0
MAX_LINK_S: Final = 240.0
"""A connection is given up in peace before the gateway's connection age (5 min) cuts it with frames on the way."""
KEPT_VERDICTS: Final = 50


class Identity(Protocol):
    """What a stream needs of the agent around it."""

    state: AgentState
    clock: TrustedClock

    @property
    def key(self) -> KeyInTpm:
        """The TLS key in the TPM."""

    async def fetch_grants(self, nonce: bytes) -> tuple[list[bytes], tuple[Failure, ...]]:
        """Grants that answer `nonce`, or why there are none."""


@dataclass
class Tally:
    """What became of this source's parts."""

    outcomes: Counter[str] = field(default_factory=Counter)
    uninspected: Counter[str] = field(default_factory=Counter)
    latest: deque[Verdict] = field(default_factory=lambda: deque(maxlen=KEPT_VERDICTS))

    def verdict(self, verdict: Verdict) -> None:
        """Count a verified verdict."""
        self.outcomes[verdict.outcome] += 1
        if verdict.outcome == Outcome.UNINSPECTED:
            self.uninspected[verdict.reason] += 1
        self.latest.append(verdict)

    def unsealed(self, head: Captured, reason: Reason) -> None:
        """Count a frame that never left this machine: uninspected, so its part is not good."""
        self.outcomes[Outcome.UNINSPECTED] += 1
        self.uninspected[reason] += 1
        log.warning("part %s (trigger %d) UNINSPECTED: %s", ascii(head.part), head.trigger_sequence, reason)


class CameraStream:
    """One source of one camera. `wake` is set when grants may have changed, `revoked` when this stream's gateway lost its standing."""

    def __init__(self, identity: Identity, source: str, frames: Callable[[], AsyncIterator[tuple[Captured, bytes]]]) -> None:
        self._identity, self.source, self._frames = identity, source, frames
        self.tally, self.wake = Tally(), asyncio.Event()
        self.held: HeldGrant | None = None
        self.problem: tuple[Failure, ...] = ()
        self.ended = asyncio.Event()
        self._waiting: deque[tuple[Captured, bytes]] = deque()
        self._arrived = asyncio.Event()
        self._flying: dict[int, Captured] = {}
        self._revoked = asyncio.Event()

    def revoke(self, hosts: list[str]) -> None:
        """The controller withdrew these hosts: stop sealing for them at once."""
        if self.held is not None and self.held.grant.host in hosts:
            self.held = None
            self._revoked.set()
        self.wake.set()

    def refresh(self) -> None:
        """This machine has a new certificate; a live stream hears of it in-band."""
        self.wake.set()

    async def run(self) -> None:
        """Capture and send until the source ends and every frame has its outcome."""
        capture = asyncio.create_task(self._capture())
        try:
            while not (capture.done() and not self._waiting):
                try:
                    await self._connect(capture)
                    continue  # given up in peace: what waits is sent on the next connection
                except FramegateError as error:
                    self.problem = error.failures
                    log.warning("stream of %s: %s", self.source, error)
                except TimeoutError:
                    self.problem = (Failure(Reason.UNAVAILABLE, f"an answer of the gateway within {OPEN_TIMEOUT_S:g} s", "silence"),)
                self._lost()
                self._drop_stale()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.wake.wait(), 1.0)
                self.wake.clear()
            await capture
        finally:
            capture.cancel()
            self.ended.set()

    async def _capture(self) -> None:
        async for item in self._frames():
            if len(self._waiting) >= QUEUE:
                self.tally.unsealed(self._waiting.popleft()[0], self._reason())
            self._waiting.append(item)
            self._arrived.set()
            if self.held is not None and len(self._waiting) >= QUEUE // 2:
                await asyncio.sleep(0)  # let the sender run where the source is faster than it
        self._arrived.set()

    def _reason(self) -> Reason:
        if self.held is not None:
            return Reason.FRAME_IN_FLIGHT  # the source is faster than the gateway
        return self.problem[0].reason if self.problem else Reason.NO_GRANT

    def _drop_stale(self) -> None:
        """Without a gateway nothing waits: each part is UNINSPECTED now, not when a gateway comes back."""
        while self._waiting and self.held is None:
            self.tally.unsealed(self._waiting.popleft()[0], self._reason())

    def _lost(self) -> None:
        """The stream ended: what was sent and not answered is UNINSPECTED here; a verdict that exists is on the broker."""
        self.held = None
        for head in self._flying.values():
            self.tally.unsealed(head, Reason.UNAVAILABLE)
        self._flying.clear()

    async def _grant(self) -> HeldGrant:
        identity, nonce, drawn = self._identity, secrets.token_bytes(NONCE_BYTES), time.monotonic()
        envelopes, failures = await identity.fetch_grants(nonce)
        state = identity.state
        problems: list[Failure] = list(failures)
        for envelope in envelopes:
            try:
                return hold_grant(envelope, state.device, nonce, drawn, state.authority_certificates, state.root_certificate, identity.clock.now_ms())
            except FramegateError as error:
                problems += error.failures
        raise Unavailable(problems or [Failure(Reason.NO_GRANT, "a grant for a gateway", "none", "framegate gateway list")])

    async def _connect(self, capture: asyncio.Task[None]) -> None:
        identity = self._identity
        held = await self._grant()
        certificate = identity.state.own_certificate
        if certificate is None:
            raise Unavailable.of(Reason.CERTIFICATE, "a certificate of this machine", "none", "it comes with the next attestation")
        _, zone, name = split_device_id(held.grant.host)
        authorities = identity.state.authority_certificates
        channel = with_tpm_key(held.grant.address, f"{name}.{zone}.gateway.framegate", authorities, identity.key, (certificate, *authorities), identity.clock.now_s)
        async with channel:
            call: Any = rpc.FramesStub(channel).Stream()
            self._revoked.clear()
            first = await asyncio.wait_for(answered(call.read(), UNREACHED), OPEN_TIMEOUT_S)
            session = await self._open(call, first, held)
            accepted = await asyncio.wait_for(answered(call.read(), UNREACHED), OPEN_TIMEOUT_S)
            if accepted is grpc.aio.EOF or accepted.WhichOneof("kind") != "accepted":
                self._refused(accepted)
            self.held, self.problem = held, ()
            link = _Link(call, session, certificate.public_bytes(Encoding.DER))
            tasks = [asyncio.create_task(self._send(link, capture)), asyncio.create_task(self._receive(link)), asyncio.create_task(self._revoked.wait())]
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
                if self._revoked.is_set():
                    raise Unavailable.of(Reason.NO_GRANT, "a gateway in standing", "the controller withdrew it", "framegate gateway list")
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                call.cancel()

    async def _open(self, call: Any, message: Any, held: HeldGrant) -> FrameSession:
        if message is grpc.aio.EOF or message.WhichOneof("kind") != "offer":
            self._refused(message)
        state = self._identity.state
        certificate = state.own_certificate
        if certificate is None:
            raise Unavailable.of(Reason.CERTIFICATE, "a certificate of this machine", "none")
        session = FrameSession(held, message.offer, self.source, state.device, spki_of(certificate.public_key()))  # type: ignore[arg-type]
        signed = await asyncio.to_thread(session.opening, self._identity.key)
        await answered(call.write(pb.CameraMessage(opening=signed)), UNREACHED)
        return session

    def _refused(self, message: Any) -> None:
        if message is not grpc.aio.EOF and message.WhichOneof("kind") == "refusal":
            raise Refused(from_failures(message.refusal.failures))
        raise Unavailable.of(Reason.UNAVAILABLE, "an answer of the gateway", "the end of the stream")

    async def _send(self, link: _Link, capture: asyncio.Task[None]) -> None:
        while True:
            await self._renew(link)
            if time.monotonic() > link.begun_at_s + MAX_LINK_S:
                if not self._flying:
                    return
                await asyncio.sleep(0.005)
                continue
            if not self._waiting:
                if capture.done():
                    if not self._flying:
                        return
                    await asyncio.sleep(0.02)
                    continue
                self._arrived.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._arrived.wait(), 0.5)
                continue
            if len(self._flying) >= MAX_IN_FLIGHT:
                link.answered.clear()
                await link.answered.wait()
                continue
            head, image = self._waiting.popleft()
            try:
                frame = link.session.seal(head, image)
            except Refused:
                self._waiting.appendleft((head, image))
                raise
            self._flying[head.trigger_sequence] = head
            await answered(link.call.write(pb.CameraMessage(frame=frame)), UNREACHED)

    async def _renew(self, link: _Link) -> None:
        """In-band: a fresh certificate when there is one, a fresh grant and secret from half of the old grant's life on."""
        certificate = self._identity.state.own_certificate
        der = certificate.public_bytes(Encoding.DER) if certificate else b""
        if der and der != link.certificate:
            link.certificate = der
            await answered(link.call.write(pb.CameraMessage(certificate_refresh=der)), UNREACHED)
        held = link.session.held
        if link.renewing is None and time.monotonic() > held.ends_at_s - held.grant.ttl_s / 2 and time.monotonic() > link.retry_at_s:
            link.retry_at_s = time.monotonic() + max(0.5, held.grant.ttl_s / 10)
            try:
                new = await self._grant()
            except FramegateError as error:
                log.info("no new grant yet: %s", error)
                return
            if (new.grant.address, new.grant.tls_spki_sha256) != (held.grant.address, held.grant.tls_spki_sha256):
                raise Unavailable.of(Reason.GRANT, "a grant for the connected gateway", "one for another", "the stream moves there")
            link.renewing = new
            await answered(link.call.write(pb.CameraMessage(renew=pb.Renew())), UNREACHED)

    async def _receive(self, link: _Link) -> None:
        while True:
            message = await answered(link.call.read(), UNREACHED)
            kind = None if message is grpc.aio.EOF else message.WhichOneof("kind")
            if kind == "answer":
                self._answer(message.answer.verdict, link.session.held.grant.host)
                link.answered.set()
            elif kind == "offer" and link.renewing is not None:
                try:
                    link.opened = await self._open(link.call, message, link.renewing)
                except Refused as error:  # the gateway's newest keys are not yet in a grant; the old secret serves until then
                    log.info("renewal put off: %s", error)
                    link.renewing = None
            elif kind == "accepted" and link.opened is not None and link.renewing is not None:
                link.session, self.held = link.opened, link.renewing
                link.opened = link.renewing = None
            else:
                self._refused(message)

    def _answer(self, envelope: bytes, host: str) -> None:
        state = self._identity.state
        verdict = verify_verdict(envelope, state.authority_certificates, state.root_certificate, from_ms(self._identity.clock.now_ms()))
        head = self._flying.pop(verdict.trigger_sequence, None)
        if (verdict.gateway, verdict.device) != (host, state.device) or head is None or head.part != verdict.part:
            raise Refused.of(Reason.VERDICT, f"a verdict of {host} on a frame we sent", f"{verdict.gateway} {verdict.device} {verdict.part}")
        self.tally.verdict(verdict)


@dataclass
class _Link:
    """A live stream: its present frame session and a renewal under way."""

    call: Any
    session: FrameSession
    certificate: bytes
    renewing: HeldGrant | None = None
    opened: FrameSession | None = None
    retry_at_s: float = 0.0
    begun_at_s: float = field(default_factory=time.monotonic)
    answered: asyncio.Event = field(default_factory=asyncio.Event)
