"""From captured frames to verdicts: keeps one stream to a granted gateway alive, and says
UNINSPECTED for every frame it could not send.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from typing import Final, Protocol

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import Failure, FramegateError, Reason, Refused, Unavailable
from framegate.identity.certificates import from_ms
from framegate.signed.mask import Masks
from framegate.signed.statement import verify_verdict
from framegate.wire import Captured
from framegate_agent.camera.carrier import Carrier
from framegate_agent.camera.frame_queue import (
    MAX_IN_FLIGHT,
    QUEUE,
    CapturedFrame,
    FrameQueue,
    SentFrame,
)
from framegate_agent.camera.grants import GrantChoice
from framegate_agent.camera.head_delivery import HEAD_PATIENCE_S, HeadDelivery
from framegate_agent.camera.identity import Identity
from framegate_agent.camera.link import Link
from framegate_agent.camera.opening import OPEN_TIMEOUT_S, carrier_to, open_session, refusal
from framegate_agent.camera.session import HeldGrant, of_its_kind
from framegate_agent.camera.tally import Tally
from framegate_agent.state import NotCertified
from framegate_host.repeated import Repeated, more_of
from framegate_proto.v1 import framegate_pb2 as pb

log = logging.getLogger(__name__)
MAX_LINK_S: Final = 240.0
"""A connection is given up in peace before the gateway's connection age (5 min) cuts it with frames
on the way.
"""


class FrameCapture(Protocol):
    """Where frames come from."""

    def frames(self) -> AsyncIterator[tuple[Captured, bytes]]:
        """Frames until the source ends."""

    def set_masks(self, masks: Masks) -> None:
        """Blank these from the next frame on."""


class CameraStream:
    """One source of one camera. `wake` is set when grants may have changed, `revoked` when this
    stream's gateway lost its standing.
    """

    def __init__(self, identity: Identity, source: str, capture: FrameCapture) -> None:
        self._identity, self.source, self.capture = identity, source, capture
        self.tally, self.wake = Tally(), asyncio.Event()
        self.lease: HeldGrant | None = None
        self.problem: tuple[Failure, ...] = ()
        self.ended = asyncio.Event()
        self.captured = 0
        self.source_ended = False
        self._said = Repeated()
        self._frames = FrameQueue()
        self._arrived = asyncio.Event()
        self._revoked = asyncio.Event()
        self._choice, self._heads = GrantChoice(identity), HeadDelivery(identity)

    @property
    def resent(self) -> int:
        """Frames that were sent, not answered, and sent again."""
        return self._frames.resent

    def revoke(self, hosts: list[str]) -> None:
        """The controller withdrew these hosts: stop sealing for them at once."""
        if self.lease is not None and self.lease.grant.host in hosts:
            self.lease = None
            self._revoked.set()
        self.wake.set()

    def refresh(self) -> None:
        """This machine has a new certificate; a live stream hears of it in-band."""
        self.wake.set()

    async def run(self) -> None:
        """Capture and send until the source ends and every frame has its outcome."""
        capture = asyncio.create_task(self._capture())
        try:
            while not (capture.done() and not self._frames.waiting):
                try:
                    await self._connect(capture)
                    continue  # given up in peace: what waits is sent on the next connection
                except NotCertified as error:
                    self.problem = error.failures
                    log.info("stream of %s waits for this boot's first attestation", self.source)
                except FramegateError as error:
                    self._failed(error.failures)
                except TimeoutError:
                    wanted = f"an answer of the gateway within {OPEN_TIMEOUT_S:g} s"
                    self._failed((Failure(Reason.UNAVAILABLE, wanted, "silence"),))
                self._lost()
                self._drop_stale()
                if self._choice.others:
                    continue  # another granted gateway may take what waits, at once
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.wake.wait(), 0.5)
                self.wake.clear()
            await capture
        finally:
            capture.cancel()
            self.ended.set()

    def _failed(self, failures: tuple[Failure, ...]) -> None:
        """It is tried again twice a second, and told where it is news."""
        self.problem = failures
        left_out = self._said.left_out([f.reason for f in failures])
        if left_out is not None:
            why = "; ".join(map(str, failures))
            log.warning("stream of %s: %s%s", self.source, why, more_of(left_out))

    async def _capture(self) -> None:
        async for head, image in self.capture.frames():
            self.captured += 1
            if len(self._frames.waiting) >= QUEUE:
                self.tally.unsealed(self._frames.waiting.popleft().head, self._reason())
            self._frames.waiting.append(CapturedFrame(head, image, time.monotonic()))
            self._arrived.set()
            if self.lease is not None and len(self._frames.waiting) >= QUEUE // 2:
                await asyncio.sleep(0)  # let the sender run where the source is faster than it
        self.source_ended = True
        log.warning("%s has ended after %d frames; nothing more comes", self.source, self.captured)
        self._arrived.set()

    def _reason(self) -> Reason:
        if self.lease is not None:
            return Reason.FRAME_IN_FLIGHT  # the source is faster than the gateway
        return self.problem[0].reason if self.problem else Reason.NO_GRANT

    def _drop_stale(self) -> None:
        """Without a gateway a part waits `PATIENCE_S` and is then UNINSPECTED, not when a gateway
        comes back.
        """
        if self.lease is None:
            for frame in self._frames.stale():
                self.tally.unsealed(frame.head, self._reason())

    def _lost(self) -> None:
        """The stream ended, and with it what was granted; frames on their way are sent again."""
        self.lease = None
        self._frames.send_again()

    async def _connect(self, capture: asyncio.Task[None]) -> None:
        self._choice.others = 0
        identity = self._identity
        leases = await self._choice.fetch()
        lease = leases[0]
        certificate = identity.state.own_certificate
        if certificate is None:
            raise NotCertified.yet()
        try:
            async with carrier_to(lease, identity, certificate) as carrier:
                await self._converse(carrier, lease, certificate, capture)
        except (FramegateError, TimeoutError):
            self._choice.failed(lease, leases)
            raise

    async def _converse(
        self,
        carrier: Carrier,
        lease: HeldGrant,
        certificate: x509.Certificate,
        capture: asyncio.Task[None],
    ) -> None:
        self._revoked.clear()
        first = await asyncio.wait_for(carrier.read(), OPEN_TIMEOUT_S)
        session = await open_session(carrier, first, lease, self._identity, self.source)
        accepted = await asyncio.wait_for(carrier.read(), OPEN_TIMEOUT_S)
        if accepted is None or accepted.WhichOneof("kind") != "accepted":
            raise refusal(accepted)
        self.lease, self.problem = lease, ()
        self._said.over()
        self._choice.taken(lease, self.source)
        link = Link(carrier, session, certificate.public_bytes(Encoding.DER))
        link.beside(self._heads.pay(carrier, lease.grant.host))
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
            ending = [*tasks, link.opening] if link.opening is not None else tasks
            for each in ending:
                each.cancel()
            await asyncio.gather(*ending, return_exceptions=True)
            for ended in (link.session, link.opened):
                if ended is not None:
                    ended.owed.live = False

    async def _send(self, link: Link, capture: asyncio.Task[None]) -> None:
        while True:
            await self._renew(link)
            await self._end_sessions(link)
            self._frames.require_answers()
            if time.monotonic() > link.begun_at_s + MAX_LINK_S:
                if not self._frames.sent:
                    await self._part(link)
                    return
                await asyncio.sleep(0.005)
                continue
            if not self._frames.waiting:
                if capture.done():
                    if not self._frames.sent:
                        await self._part(link)
                        return
                    await asyncio.sleep(0.02)
                    continue
                self._arrived.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._arrived.wait(), 0.5)
                continue
            if len(self._frames.sent) >= MAX_IN_FLIGHT:
                link.answered.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(link.answered.wait(), 0.5)
                continue
            await self._send_one(link)

    async def _send_one(self, link: Link) -> None:
        frame = self._frames.waiting.popleft()
        counter = link.session.owed.count
        try:
            sealed = link.session.seal(frame.head, frame.image)
        except Refused as error:
            if error.reason == Reason.MASK:  # it was taken before the masks came and never leaves
                self.tally.unsealed(frame.head, Reason.MASK)
                return
            self._frames.waiting.appendleft(frame)
            raise
        name = link.session.session.hex(), counter
        self._frames.sent[name] = SentFrame(frame, link.session, counter, time.monotonic())
        await link.carrier.write(pb.CameraMessage(frame=sealed))

    async def _renew(self, link: Link) -> None:
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
        lease = link.session.lease
        if (
            link.renewing is None
            and time.monotonic() > lease.ends_at_s - lease.grant.ttl_s / 2
            and time.monotonic() > link.retry_at_s
        ):
            link.retry_at_s = time.monotonic() + max(0.5, lease.grant.ttl_s / 10)
            try:
                leases = await self._choice.fetch()
            except FramegateError as error:
                log.info("no new grant yet: %s", error)
                return
            same = [
                g
                for g in leases
                if (g.grant.address, g.grant.tls_spki_sha256)
                == (lease.grant.address, lease.grant.tls_spki_sha256)
            ]
            if not same:
                raise Unavailable.of(
                    Reason.GRANT,
                    "a grant for the connected gateway",
                    "one for another",
                    "the stream moves there",
                )
            link.renewing = same[0]
            self._heads.run_errands(leases, lease)
            await link.carrier.write(pb.CameraMessage(renew=pb.Renew()))

    async def _end_sessions(self, link: Link) -> None:
        """Sign the heads of sessions that are over: all answered, or waited for long enough."""
        for session in list(link.ending):
            if (
                not session.owed.unanswered
                or time.monotonic() > link.ending[session] + HEAD_PATIENCE_S
            ):
                del link.ending[session]
                link.beside(self._heads.pay_one(link.carrier, session.owed))

    async def _part(self, link: Link) -> None:
        """Leave in peace: the gateway gets the heads of all its sessions before the connection
        ends.
        """
        for task in list(link.signing):
            await task
        link.session.owed.live = False
        await self._heads.settle(link.carrier, link.session.lease.grant.host)

    async def _receive(self, link: Link) -> None:
        while True:
            message = await link.carrier.read()
            kind = None if message is None else message.WhichOneof("kind")
            if message is not None and kind == "answer":
                self._answer(message.answer.verdict, link.session.lease)
                link.answered.set()
            elif message is not None and kind == "head_taken":
                self._heads.taken(message.head_taken.session)
            elif kind == "offer" and link.renewing is not None and not link.opens:
                link.opening = asyncio.create_task(self._open(link, message, link.renewing))
            elif kind == "accepted" and link.opening is not None:
                await link.opening  # it may be answered before its task has its turn
                self._take_over(link, message)
            else:
                raise refusal(message)

    def _take_over(self, link: Link, message: pb.GatewayMessage | None) -> None:
        """Seal in the session that was accepted from now on; the other's head is due."""
        link.opening = None
        if link.opened is None or link.renewing is None:
            raise refusal(message)
        link.session.owed.live = False
        link.ending[link.session] = time.monotonic()
        link.session, self.lease = link.opened, link.renewing
        link.opened = link.renewing = None

    async def _open(self, link: Link, offer: pb.GatewayMessage | None, lease: HeldGrant) -> None:
        """Beside the frames: a slow TPM signs for seconds, and answers are read meanwhile."""
        try:
            link.opened = await open_session(
                link.carrier, offer, lease, self._identity, self.source
            )
        # the gateway's newest keys are not yet in a grant; the old secret serves until then
        except FramegateError as error:
            log.info("renewal put off: %s", error)
            link.renewing = None

    def _answer(self, envelope: bytes, lease: HeldGrant) -> None:
        """One verdict: signed, fresh, by the granted host, from the granted model, on the very
        frame that is on its way (session and counter; part, type and trigger; its kind)."""
        state = self._identity.state
        verdict = verify_verdict(
            envelope,
            state.authority_certificates,
            state.root_certificate,
            from_ms(self._identity.clock.now_ms()),
        )
        sent = self._frames.sent.get((verdict.session, verdict.counter))
        of = (verdict.part, verdict.part_type, verdict.trigger_sequence)
        head = None if sent is None else sent.frame.head
        if (
            (verdict.gateway, verdict.device) != (lease.grant.host, state.device)
            or sent is None
            or head is None
            or of != (head.part, head.part_type, head.trigger_sequence)
            or not of_its_kind(head.encoding, verdict)
        ):
            raise Refused.of(
                Reason.VERDICT,
                f"a verdict of {lease.grant.host} on a frame we sent",
                f"{verdict.gateway} {verdict.device} {of}",
            )
        del self._frames.sent[verdict.session, verdict.counter]
        if verdict.model_sha256 != lease.grant.model_sha256:
            raise Refused.of(
                Reason.MODEL,
                f"a verdict of the granted model {lease.grant.model_sha256[:16]}",
                verdict.model_sha256[:16],
                "the gateway swapped its model",
            )
        sent.session.owed.answered(sent.counter)
        self.tally.verdict(verdict)
