"""From captured frames to verdicts: keeps one stream to a granted gateway alive, and says
UNINSPECTED for every frame it could not send.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Final, Protocol

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import Failure, FramegateError, Reason, Refused, Unavailable
from framegate.identity.certificates import from_ms, spki_of
from framegate.signed.mask import Masks
from framegate.signed.statement import Outcome, Verdict, verify_verdict
from framegate.wire import NONCE_BYTES, Captured
from framegate_agent.camera.carrier import BrokerWay, Carrier, over_grpc
from framegate_agent.camera.heads import HeadSpool, OwedSession, sign_owed
from framegate_agent.camera.session import Demands, FrameSession, HeldGrant, hold_grant
from framegate_agent.signing import KeyInTpm
from framegate_agent.state import AgentState, TrustedClock
from framegate_proto.edge import from_failures
from framegate_proto.v1 import framegate_pb2 as pb

log = logging.getLogger(__name__)
QUEUE: Final = 64
"""Frames waiting to be sealed while a gateway is sought: some two seconds of a fast camera, ten
megabytes; one more and the oldest is UNINSPECTED.
"""
PATIENCE_S: Final = 2.0
"""How long a frame waits for a gateway, or is sent again to another after its first went away;
parts on a line do not wait longer.
"""
MAX_IN_FLIGHT: Final = 16
"""Frames sent and not answered; the gateway cuts a device off at 64."""
OPEN_TIMEOUT_S: Final = 10.0
MAX_LINK_S: Final = 240.0
"""A connection is given up in peace before the gateway's connection age (5 min) cuts it with frames
on the way.
"""
HEAD_PATIENCE_S: Final = 3.0
"""How long an ended session waits for its last answers before its head is signed; past the overlap
of two secrets.
"""
SHUNNED_S: Final = 5.0
"""A gateway that failed is tried last for so long."""
KEPT_VERDICTS: Final = 50


class Identity(Protocol):
    """What a stream needs of the agent around it."""

    state: AgentState
    clock: TrustedClock
    demands: Demands
    masks: bytes
    spool: HeadSpool

    @property
    def key(self) -> KeyInTpm:
        """The TLS key in the TPM."""

    @property
    def broker(self) -> BrokerWay | None:
        """The MQTT broker that carries frames; None: a gRPC stream does."""

    async def fetch_grants(self, nonce: bytes) -> tuple[list[bytes], tuple[Failure, ...]]:
        """Grants that answer `nonce`, or why there are none."""


class FrameCapture(Protocol):
    """Where frames come from."""

    def frames(self) -> AsyncIterator[tuple[Captured, bytes]]:
        """Frames until the source ends."""

    def set_masks(self, masks: Masks) -> None:
        """Blank these from the next frame on."""


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
        log.warning(
            "part %s (trigger %d) UNINSPECTED: %s", ascii(head.part), head.trigger_sequence, reason
        )


@dataclass(frozen=True, slots=True)
class _Frame:
    """A captured frame and when it came, on the monotonic clock."""

    head: Captured
    image: bytes
    came_at_s: float


@dataclass(frozen=True, slots=True)
class _Sent:
    """A frame on its way: the session that sealed it, and under which counter."""

    frame: _Frame
    session: FrameSession
    counter: int


class CameraStream:
    """One source of one camera. `wake` is set when grants may have changed, `revoked` when this
    stream's gateway lost its standing.
    """

    def __init__(self, identity: Identity, source: str, capture: FrameCapture) -> None:
        self._identity, self.source, self.capture = identity, source, capture
        self.tally, self.wake = Tally(), asyncio.Event()
        self.held: HeldGrant | None = None
        self.problem: tuple[Failure, ...] = ()
        self.ended = asyncio.Event()
        self.resent = 0
        self._waiting: deque[_Frame] = deque()
        self._arrived = asyncio.Event()
        self._flying: OrderedDict[int, _Sent] = OrderedDict()
        self._revoked = asyncio.Event()
        self._shunned: dict[str, float] = {}
        self._others = 0
        self._paid = asyncio.Event()
        self._errands: set[asyncio.Task[None]] = set()

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
                    self.problem = (
                        Failure(
                            Reason.UNAVAILABLE,
                            f"an answer of the gateway within {OPEN_TIMEOUT_S:g} s",
                            "silence",
                        ),
                    )
                self._lost()
                self._drop_stale()
                if self._others:
                    continue  # another granted gateway may take what waits, at once
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.wake.wait(), 0.5)
                self.wake.clear()
            await capture
        finally:
            capture.cancel()
            self.ended.set()

    async def _capture(self) -> None:
        async for head, image in self.capture.frames():
            if len(self._waiting) >= QUEUE:
                self.tally.unsealed(self._waiting.popleft().head, self._reason())
            self._waiting.append(_Frame(head, image, time.monotonic()))
            self._arrived.set()
            if self.held is not None and len(self._waiting) >= QUEUE // 2:
                await asyncio.sleep(0)  # let the sender run where the source is faster than it
        self._arrived.set()

    def _reason(self) -> Reason:
        if self.held is not None:
            return Reason.FRAME_IN_FLIGHT  # the source is faster than the gateway
        return self.problem[0].reason if self.problem else Reason.NO_GRANT

    def _drop_stale(self) -> None:
        """Without a gateway a part waits `PATIENCE_S` and is then UNINSPECTED, not when a gateway
        comes back.
        """
        while (
            self._waiting
            and self.held is None
            and self._waiting[0].came_at_s < time.monotonic() - PATIENCE_S
        ):
            self.tally.unsealed(self._waiting.popleft().head, self._reason())

    def _lost(self) -> None:
        """The stream ended: what was sent and not answered is sent again, first of all; a part that
        then gets two verdicts goes by its first.
        """
        self.held = None
        for sent in reversed(self._flying.values()):
            self._waiting.appendleft(sent.frame)
            self.resent += 1
        self._flying.clear()

    async def _grants(self) -> list[HeldGrant]:
        """Grants that hold, those of gateways that did not fail lately first. Raises Unavailable
        with every reason where there is none.
        """
        identity, nonce, drawn = self._identity, secrets.token_bytes(NONCE_BYTES), time.monotonic()
        envelopes, failures = await identity.fetch_grants(nonce)
        state = identity.state
        problems, found = list(failures), []
        for envelope in envelopes:
            try:
                found.append(
                    hold_grant(
                        envelope,
                        state.device,
                        nonce,
                        drawn,
                        state.authority_certificates,
                        state.root_certificate,
                        identity.clock.now_ms(),
                        identity.demands,
                    )
                )
            except FramegateError as error:
                problems += error.failures
        if not found:
            raise Unavailable(
                problems
                or [
                    Failure(
                        Reason.NO_GRANT, "a grant for a gateway", "none", "framegate gateway list"
                    )
                ]
            )
        return sorted(found, key=lambda h: self._shunned.get(h.grant.host + h.grant.address, 0.0))

    async def _connect(self, capture: asyncio.Task[None]) -> None:
        self._others = 0
        identity = self._identity
        grants = await self._grants()
        held = grants[0]
        certificate = identity.state.own_certificate
        if certificate is None:
            raise Unavailable.of(
                Reason.CERTIFICATE,
                "a certificate of this machine",
                "none",
                "it comes with the next attestation",
            )
        name = held.grant.host + held.grant.address
        try:
            async with self._carrier(held, certificate) as carrier:
                await self._converse(carrier, held, certificate, capture)
        except (FramegateError, TimeoutError):
            now = time.monotonic()
            self._shunned[name] = now
            self._others = sum(
                self._shunned.get(h.grant.host + h.grant.address, 0.0) < now - SHUNNED_S
                for h in grants
            )
            raise

    def _carrier(
        self, held: HeldGrant, certificate: x509.Certificate
    ) -> AbstractAsyncContextManager[Carrier]:
        identity, broker = self._identity, self._identity.broker
        if broker is not None:
            return broker.to(held.grant, certificate)
        return over_grpc(
            held.grant,
            identity.key,
            certificate,
            identity.state.authority_certificates,
            identity.clock.now_s,
        )

    async def _converse(
        self,
        carrier: Carrier,
        held: HeldGrant,
        certificate: x509.Certificate,
        capture: asyncio.Task[None],
    ) -> None:
        self._revoked.clear()
        first = await asyncio.wait_for(carrier.read(), OPEN_TIMEOUT_S)
        session = await self._open(carrier, first, held)
        accepted = await asyncio.wait_for(carrier.read(), OPEN_TIMEOUT_S)
        if accepted is None or accepted.WhichOneof("kind") != "accepted":
            raise self._refusal(accepted)
        self.held, self.problem = held, ()
        link = _Link(carrier, session, certificate.public_bytes(Encoding.DER))
        await self._pay(carrier, held.grant.host)
        tasks = [
            asyncio.create_task(self._send(link, capture)),
            asyncio.create_task(self._receive(link)),
            asyncio.create_task(self._revoked.wait()),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            if self._revoked.is_set():
                raise Unavailable.of(
                    Reason.NO_GRANT,
                    "a gateway in standing",
                    "the controller withdrew it",
                    "framegate gateway list",
                )
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for ended in (link.session, link.opened):
                if ended is not None:
                    ended.owed.live = False

    async def _open(
        self, carrier: Carrier, message: pb.GatewayMessage | None, held: HeldGrant
    ) -> FrameSession:
        if message is None or message.WhichOneof("kind") != "offer":
            raise self._refusal(message)
        state = self._identity.state
        certificate = state.own_certificate
        if certificate is None:
            raise Unavailable.of(Reason.CERTIFICATE, "a certificate of this machine", "none")
        session = FrameSession(
            held,
            message.offer,
            self.source,
            state.device,
            spki_of(certificate.public_key()),  # type: ignore[arg-type]
            self._identity.spool,
        )
        signed = await asyncio.to_thread(session.opening, self._identity.key)
        await carrier.write(pb.CameraMessage(opening=signed))
        return session

    def _refusal(self, message: pb.GatewayMessage | None) -> FramegateError:
        if message is not None and message.WhichOneof("kind") == "refusal":
            return Refused(from_failures(message.refusal.failures))
        return Unavailable.of(
            Reason.UNAVAILABLE, "an answer of the gateway", "the end of the stream"
        )

    async def _send(self, link: _Link, capture: asyncio.Task[None]) -> None:
        while True:
            await self._renew(link)
            await self._end_sessions(link)
            if time.monotonic() > link.begun_at_s + MAX_LINK_S:
                if not self._flying:
                    await self._part(link)
                    return
                await asyncio.sleep(0.005)
                continue
            if not self._waiting:
                if capture.done():
                    if not self._flying:
                        await self._part(link)
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
            await self._send_one(link)

    async def _send_one(self, link: _Link) -> None:
        frame = self._waiting.popleft()
        counter = link.session.owed.count
        try:
            sealed = link.session.seal(frame.head, frame.image)
        except Refused as error:
            if error.reason == Reason.MASK:  # it was taken before the masks came and never leaves
                self.tally.unsealed(frame.head, Reason.MASK)
                return
            self._waiting.appendleft(frame)
            raise
        self._flying[frame.head.trigger_sequence] = _Sent(frame, link.session, counter)
        await link.carrier.write(pb.CameraMessage(frame=sealed))

    async def _renew(self, link: _Link) -> None:
        """In-band: a fresh certificate and new masks when there are any, a fresh grant and secret
        from half of the old grant's life on.
        """
        certificate = self._identity.state.own_certificate
        der = certificate.public_bytes(Encoding.DER) if certificate else b""
        if der and der != link.certificate:
            link.certificate = der
            await link.carrier.write(pb.CameraMessage(certificate_refresh=der))
        if self._identity.masks and self._identity.masks != link.masks:
            link.masks = self._identity.masks
            await link.carrier.write(pb.CameraMessage(masks=link.masks))
        held = link.session.held
        if (
            link.renewing is None
            and time.monotonic() > held.ends_at_s - held.grant.ttl_s / 2
            and time.monotonic() > link.retry_at_s
        ):
            link.retry_at_s = time.monotonic() + max(0.5, held.grant.ttl_s / 10)
            try:
                grants = await self._grants()
            except FramegateError as error:
                log.info("no new grant yet: %s", error)
                return
            same = [
                g
                for g in grants
                if (g.grant.address, g.grant.tls_spki_sha256)
                == (held.grant.address, held.grant.tls_spki_sha256)
            ]
            if not same:
                raise Unavailable.of(
                    Reason.GRANT,
                    "a grant for the connected gateway",
                    "one for another",
                    "the stream moves there",
                )
            link.renewing = same[0]
            self._run_errands(grants, held)
            await link.carrier.write(pb.CameraMessage(renew=pb.Renew()))

    async def _end_sessions(self, link: _Link) -> None:
        """Sign the heads of sessions that are over: all answered, or waited for long enough."""
        for session in list(link.ending):
            if (
                not session.owed.unanswered
                or time.monotonic() > link.ending[session] + HEAD_PATIENCE_S
            ):
                del link.ending[session]
                task = asyncio.create_task(self._pay_one(link.carrier, session.owed))
                link.signing.add(task)
                task.add_done_callback(link.signing.discard)

    async def _pay(self, carrier: Carrier, host: str) -> int:
        """Sign and send the heads of every ended session that `host` is owed; how many."""
        owed = [o for o in self._identity.spool.owed.values() if o.host == host and not o.live]
        for one in owed:
            await self._pay_one(carrier, one)
        return len(owed)

    async def _pay_one(self, carrier: Carrier, owed: OwedSession) -> None:
        if not owed.count:
            self._identity.spool.paid(owed.session)
            return
        try:
            head = await asyncio.to_thread(
                sign_owed, owed, self._identity.key, self._identity.clock.now_ms()
            )
        except FramegateError as error:
            log.warning("frames of a session stay without this camera's signature: %s", error)
            return
        await carrier.write(pb.CameraMessage(head=head))

    def _run_errands(self, grants: list[HeldGrant], present: HeldGrant) -> None:
        """Bring heads to gateways that this stream has left: their receipts wait for them."""
        owed = {o.host for o in self._identity.spool.owed.values() if not o.live} - {
            present.grant.host
        }
        certificate = self._identity.state.own_certificate
        for grant in grants:
            if grant.grant.host in owed and certificate is not None and not self._errands:
                task = asyncio.create_task(self._errand(grant, certificate))
                self._errands.add(task)
                task.add_done_callback(self._errands.discard)

    async def _errand(self, held: HeldGrant, certificate: x509.Certificate) -> None:
        try:
            async with self._carrier(held, certificate) as carrier, asyncio.timeout(OPEN_TIMEOUT_S):
                await carrier.read()  # its offer, which nobody answers
                for _ in range(await self._pay(carrier, held.grant.host)):
                    message = await carrier.read()
                    if message is None or message.WhichOneof("kind") != "head_taken":
                        raise self._refusal(message)
                    self._identity.spool.paid(message.head_taken.session)
        except (FramegateError, TimeoutError) as error:
            log.info("heads for %s stay here: %s", held.grant.host, error)

    async def _part(self, link: _Link) -> None:
        """Leave in peace: the gateway gets the heads of all its sessions before the connection
        ends.
        """
        for task in list(link.signing):
            await task
        link.session.owed.live = False
        owed = await self._pay(link.carrier, link.session.held.grant.host)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HEAD_PATIENCE_S if owed else 0):
                while any(
                    o.host == link.session.held.grant.host and not o.live
                    for o in self._identity.spool.owed.values()
                ):
                    self._paid.clear()
                    await self._paid.wait()

    async def _receive(self, link: _Link) -> None:
        while True:
            message = await link.carrier.read()
            kind = None if message is None else message.WhichOneof("kind")
            if message is not None and kind == "answer":
                self._answer(message.answer.verdict, link.session.held)
                link.answered.set()
            elif message is not None and kind == "head_taken":
                self._identity.spool.paid(message.head_taken.session)
                self._paid.set()
            elif kind == "offer" and link.renewing is not None:
                try:
                    link.opened = await self._open(link.carrier, message, link.renewing)
                # the gateway's newest keys are not yet in a grant; the old secret serves until then
                except Refused as error:
                    log.info("renewal put off: %s", error)
                    link.renewing = None
            elif kind == "accepted" and link.opened is not None and link.renewing is not None:
                link.session.owed.live = False
                link.ending[link.session] = time.monotonic()
                link.session, self.held = link.opened, link.renewing
                link.opened = link.renewing = None
            else:
                raise self._refusal(message)

    def _answer(self, envelope: bytes, held: HeldGrant) -> None:
        """One verdict: signed, fresh, by the granted host, from the granted model, on a frame that
        is on its way.
        """
        state = self._identity.state
        verdict = verify_verdict(
            envelope,
            state.authority_certificates,
            state.root_certificate,
            from_ms(self._identity.clock.now_ms()),
        )
        sent = self._flying.pop(verdict.trigger_sequence, None)
        if (
            (verdict.gateway, verdict.device) != (held.grant.host, state.device)
            or sent is None
            or sent.frame.head.part != verdict.part
        ):
            raise Refused.of(
                Reason.VERDICT,
                f"a verdict of {held.grant.host} on a frame we sent",
                f"{verdict.gateway} {verdict.device} {verdict.part}",
            )
        if verdict.model_sha256 != held.grant.model_sha256:
            raise Refused.of(
                Reason.MODEL,
                f"a verdict of the granted model {held.grant.model_sha256[:16]}",
                verdict.model_sha256[:16],
                "the gateway swapped its model",
            )
        sent.session.owed.answered(sent.counter)
        self.tally.verdict(verdict)


@dataclass
class _Link:
    """A live conversation: its present frame session, a renewal under way, sessions whose heads are
    due.
    """

    carrier: Carrier
    session: FrameSession
    certificate: bytes
    renewing: HeldGrant | None = None
    opened: FrameSession | None = None
    retry_at_s: float = 0.0
    masks: bytes = b""
    ending: dict[FrameSession, float] = field(default_factory=dict)
    signing: set[asyncio.Task[None]] = field(default_factory=set)
    begun_at_s: float = field(default_factory=time.monotonic)
    answered: asyncio.Event = field(default_factory=asyncio.Event)
