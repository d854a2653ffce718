"""The fleet port for machines: attest, watch, grants, trust feed.

Mutual TLS; every message asks anew who is there, but a machine's heartbeats (`WatchedMachine`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, closing
from dataclasses import replace
from operator import attrgetter
from typing import Final, TypeVar

from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import FramegateError, Reason, Refused
from framegate.identity.certificates import Purpose, from_ms
from framegate.machines.lifecycle import State
from framegate.record.following import LogPosition
from framegate.registry.device import Device
from framegate.wire import NONCE_BYTES
from framegate_controller.context import Fleet
from framegate_controller.events.behind import ToldBehind
from framegate_controller.events.bus import Bus
from framegate_controller.events.messages import MachineEvent, TrustUpdate, Wake
from framegate_controller.events.notices import DeviceChanged
from framegate_controller.events.snapshot import Teller, for_enforcers, for_gateways
from framegate_controller.fleet.attestation import OfferedEvidence, Verifier
from framegate_controller.fleet.broker import broker_certificate
from framegate_controller.fleet.callers import (
    RelyingPeer,
    device_key,
    gateway_host,
    known_device_key,
    relying_peer,
    standing_device,
)
from framegate_controller.fleet.together import Answered, AskedChallenge, Together
from framegate_controller.inspection.parts import golden_image
from framegate_controller.joinport.uploads import (
    as_promised,
    promise_of,
    read_evidence,
    read_offer,
)
from framegate_controller.people.grants import AskedGrants, compose_grants
from framegate_controller.people.stages import StageTurn, stage_word
from framegate_controller.record import decisions
from framegate_controller.record.batches import record_batch
from framegate_controller.record.ledger import last_position
from framegate_controller.record.reports import ReportDesk
from framegate_controller.rpc.attestation import to_answer, to_challenge
from framegate_controller.rpc.decisions import to_decisions, to_named
from framegate_controller.rpc.in_batches import InBatches
from framegate_controller.rpc.peer import address_of, verify_peer
from framegate_controller.rpc.recheck import Recheck, WatchedMachine
from framegate_controller.rpc.trust import to_trust_update, to_watch_event
from framegate_controller.rpc.whole_lists import WholeLists
from framegate_controller.rpc.wire import Context, guarded, guarded_stream, to_the_end
from framegate_controller.store.ports import Store, Transaction
from framegate_controller.store.shared.policies import PolicyCache
from framegate_controller.timing import FEED_HEARTBEAT_S, HEARTBEAT_S, HEARTBEATS, MAX_HEARTBEAT_S
from framegate_proto.edge import CHUNK_BYTES, presented_certificate, to_failures
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc
from framegate_proto.whole_numbers import whole_numbers

R = TypeVar("R")
DRAIN_S: Final = 1.0
"""For those that asked before the program ends."""
MOST_TOGETHER: Final = 32
"""Machines that are answered together: the first of them waits for the last, up to some tens of
milliseconds.
"""
WITH_OFFER_BYTES: Final = CHUNK_BYTES
"""Of evidence that may come in its offer, before that is judged: within the 64 KiB of a call that
HTTP/2 takes in anyway, whether or not somebody reads them, and a caller has `MAX_CALLS`.
"""


class FleetService(rpc.FleetServicer):
    """RPCs of enrolled machines."""

    def __init__(
        self, verifier: Verifier, policies: PolicyCache, bus: Bus, reports: ReportDesk
    ) -> None:
        self._verifier, self._policies, self._bus = verifier, policies, bus
        self._reports = reports
        self._store: Store = verifier.store
        self._fleet: Fleet = verifier.fleet
        answer = Together(verifier).answer
        self._together = InBatches("attest", answer, MOST_TOGETHER, attrgetter("key_sha256"))
        self._whole_lists, self._behind = WholeLists(verifier), ToldBehind(bus)

    async def stop(self) -> None:
        """Tell what waits to be told."""
        await asyncio.to_thread(self._together.stop, DRAIN_S)
        await self._behind.stop()

    def close(self) -> None:
        """See `WholeLists.close`."""
        self._whole_lists.close()

    @guarded
    async def Begin(self, request: pb.BeginRequest, context: Context) -> pb.ChallengeReply:
        """See `Verifier.begin_attest`."""
        asked = AskedChallenge(await self._caller(context), request.hello)
        return to_challenge(await self._together.ask(asked), WITH_OFFER_BYTES)

    @guarded
    async def Complete(self, _parts: object, context: Context) -> pb.AttestationReply:
        """See `Verifier.complete_attest`. Evidence that does not come in its offer is read once it
        is known to be of a live challenge of this device, within its share, and that there is room
        for it. In what order callers are refused:

        1. whose certificate is none of a machine of this fleet, before anything is read;
        2. who does not stand any more, whatever it sent;
        3. whose offer none could be.
        """
        key = await self._caller(context)  # 1
        try:
            offer = await read_offer(context, WITH_OFFER_BYTES)
            promise = promise_of(offer)
            if offer.evidence:
                as_promised(offer.evidence, promise)
        except FramegateError:
            await self._device(context)  # 2
            raise  # 3
        if offer.evidence:
            offered = OfferedEvidence(key, offer.state, offer.evidence)
            return await to_the_end(self._answer(self._together.ask(offered)))
        device = await self._whole_lists.offered(key, offer.state, promise.size)
        async with self._whole_lists.room(promise.size):
            evidence = await read_evidence(context, promise)
            completing = self._whole_lists.completed(device, offer.state, evidence)
            return await to_the_end(self._answer(completing))

    async def _answer(self, work: Awaitable[Answered]) -> pb.AttestationReply:
        """What `work` says of a machine as it was, told before it is answered; where it was trusted
        and is so for longer, soon after.
        """
        answered = await work
        before, answer = answered.before, answered.answer
        if before.state == answer.state == State.TRUSTED:
            self._behind.tell(DeviceChanged(before.id))
        else:
            await self._bus.publish((DeviceChanged(before.id),))
        return to_answer(answer, self._fleet)

    @guarded_stream
    async def Watch(
        self, request: pb.WatchRequest, context: Context
    ) -> AsyncIterator[pb.WatchEvent]:
        """Events for this machine, and a heartbeat as often as it asked, or as many as watch allow,
        while its certificate stands.
        """
        device = await self._device(context)
        with self._bus.watch(device.id) as events:
            beat_s = heartbeat_s(request.beat_ms, self._bus.listening.watchers)
            # what was said while nobody listened is in the state: a stale machine must attest
            state, log = await self._read(
                lambda tx: (_state(tx, device.id), _position(tx, request.seen))
            )
            yield to_watch_event(MachineEvent(Wake.STATE, state), beat_s, log)
            standing = WatchedMachine(self._fleet.timing.standing_s)
            now_s = asyncio.get_running_loop().time
            due_s = now_s() + beat_s
            while events.open:
                # what it is not told puts its heartbeat off no further
                event = await events.next(due_s - now_s())
                if event is not None and event.wake == Wake.STATE:
                    standing.told()  # who lost its standing may still hear that it did
                    said, state = state, event.state or state
                    if said == state == State.TRUSTED:
                        continue  # it was renewed, and knows it by its answer
                elif event is not None or standing.due(self._fleet.clock()):
                    standing.read(await self._device(context))
                beat_s = heartbeat_s(request.beat_ms, self._bus.listening.watchers)
                due_s = now_s() + beat_s
                yield to_watch_event(event, beat_s)

    @guarded
    async def FetchGrants(
        self, request: pb.FetchGrantsRequest, context: Context
    ) -> pb.FetchGrantsReply:
        """Grants for the calling camera that answer its nonce; where there are none, why."""
        device = await self._device(context)
        if len(request.nonce) != NONCE_BYTES:
            raise Refused.of(
                Reason.MALFORMED, f"a nonce of {NONCE_BYTES} bytes", len(request.nonce)
            )
        asked = AskedGrants(request.nonce, with_profiles=request.with_profiles)
        composed = await self._write(
            lambda tx: compose_grants(tx, self._fleet, self._policies, device.id, asked)
        )
        return pb.FetchGrantsReply(
            grants=composed.grants, failures=to_failures(composed.failures), masks=composed.masks
        )

    @guarded
    async def RecordBatch(
        self, request: pb.RecordBatchRequest, context: Context
    ) -> pb.RecordBatchReply:
        """See `record.batches.record_batch`."""
        host = await self._gateway(context)
        proof = await self._write(
            lambda tx: record_batch(tx, self._fleet.keys, host.id, request.batch)
        )
        return pb.RecordBatchReply(
            entry=proof.entry, index=proof.index, path=proof.path, checkpoint=proof.checkpoint
        )

    @guarded
    async def RecordReport(
        self, request: pb.RecordReportRequest, context: Context
    ) -> pb.RecordBatchReply:
        """See `record.reports.record_report`."""
        peer = await self._relying(context)
        take = self._reports.take
        proof = await asyncio.to_thread(take, peer.name, peer.zone, request.report)
        return pb.RecordBatchReply(
            entry=proof.entry, index=proof.index, path=proof.path, checkpoint=proof.checkpoint
        )

    @guarded
    async def GoldenImage(
        self, request: pb.GoldenImageRequest, context: Context
    ) -> pb.GoldenImageReply:
        """A golden image that a part names, for a gateway of this fleet."""
        await self._gateway(context)
        return pb.GoldenImageReply(
            image=await self._read(lambda tx: golden_image(tx, request.sha256))
        )

    @guarded
    async def FetchDecisions(
        self, request: pb.FetchDecisionsRequest, context: Context
    ) -> pb.FetchDecisionsReply:
        """The log of decisions as witnesses cosigned it, for a machine or gateway of this fleet."""
        await asyncio.to_thread(self._known, context)
        wanted, seen = to_named(request.wanted), (request.origin, request.size)
        keys, least = self._fleet.keys, self._fleet.require_cosigned
        shown = await self._read(
            lambda tx: decisions.answer(tx, keys, seen=seen, wanted=wanted, least=least)
        )
        return to_decisions(shown)

    @guarded
    async def BrokerCertificate(
        self, request: pb.BrokerCertificateRequest, context: Context
    ) -> pb.BrokerCertificateReply:
        """See `fleet.broker.broker_certificate`."""
        device = await self._device(context)
        certificate = await asyncio.to_thread(broker_certificate, self._fleet, device, request.csr)
        issuer = self._fleet.keys.issuing["broker-ca"].der
        return pb.BrokerCertificateReply(
            certificate=certificate.public_bytes(Encoding.DER), issuer=issuer
        )

    @guarded_stream
    async def TrustFeed(
        self, request: pb.TrustFeedRequest, context: Context
    ) -> AsyncIterator[pb.TrustUpdate]:
        """Trust of the caller's zone: a snapshot, every change, a heartbeat every second. An
        enforcer is told states and the policy, and nothing of people, frames and parts. With it
        goes the word on the zone's stage, for lines: first, when the policy changes, and again.
        """
        peer = await self._relying(context)
        told = for_enforcers if peer.enforcer else for_gateways
        standing, turn = Recheck(lambda: self._relying(context), HEARTBEAT_S), StageTurn()
        # subscribed before the snapshot is read, so that nothing falls between
        with closing(standing), self._bus.feed(peer.zone) as feed:
            snapshot, log = await self._read(
                lambda tx: (
                    Teller(tx, self._fleet).snapshot(peer.zone),
                    _position(tx, request.seen),
                )
            )
            begun = await self._staged(peer.zone, feed.begin(snapshot), turn)
            yield to_trust_update(told(begun), log)
            while feed.open:
                update = await feed.next(FEED_HEARTBEAT_S)
                if update is None:
                    yield to_trust_update(
                        told(feed.heartbeat())
                    )  # out of memory, before anybody is asked
                    standing.begin()
                    if turn.due(self._fleet.clock()):
                        stage = await self._stage(peer.zone)
                        yield to_trust_update(told(replace(feed.heartbeat(), stage=stage)))
                else:
                    await standing.ask()
                    yield to_trust_update(told(await self._staged(peer.zone, update, turn)))

    async def _staged(self, zone: str, update: TrustUpdate, turn: StageTurn) -> TrustUpdate:
        """`update`, with the word on the zone's stage where that is due or may have changed."""
        if not turn.due(self._fleet.clock(), changed=update.access is not None):
            return update
        return replace(update, stage=await self._stage(zone))

    async def _stage(self, zone: str) -> bytes:
        return await self._read(lambda tx: stage_word(tx, self._fleet, self._policies, zone))

    async def _device(self, context: Context) -> Device:
        return await asyncio.to_thread(self._standing, context)

    async def _gateway(self, context: Context) -> Device:
        return await asyncio.to_thread(self._host, context)

    async def _relying(self, context: Context) -> RelyingPeer:
        return await asyncio.to_thread(self._relying_peer, context)

    def _relying_peer(self, context: Context) -> RelyingPeer:
        """The calling gateway's host, or the calling enforcer. Raises Refused."""
        peer = verify_peer(context, self._fleet.keys, Purpose.GATEWAY, Purpose.ENFORCER)
        with self._store.reading() as tx:
            return relying_peer(tx, peer)

    def _standing(self, context: Context) -> Device:
        """The calling machine. Raises Refused: another certificate or purpose, expired, retired."""
        key = self._key(context)
        with self._store.reading() as tx:
            return standing_device(tx, key)

    async def _caller(self, context: Context) -> bytes:
        """The key of the machine that calls; in a thread only where a signature is to be looked at,
        which `Begin` has done for whoever answers it.
        """
        certificate, now = presented_certificate(context), from_ms(self._fleet.clock())
        known = known_device_key(certificate, self._fleet.keys, now)
        return known if known is not None else await asyncio.to_thread(self._key, context)

    def _key(self, context: Context) -> bytes:
        now = from_ms(self._fleet.clock())
        return device_key(
            presented_certificate(context), address_of(context), self._fleet.keys, now
        )

    def _known(self, context: Context) -> None:
        """That a machine or a gateway process calls. Raises Refused."""
        try:
            self._standing(context)
        except FramegateError:  # whose certificate is for another purpose, or none's
            self._host(context)

    def _host(self, context: Context) -> Device:
        """The host of the calling gateway process. Raises Refused."""
        peer = verify_peer(context, self._fleet.keys, Purpose.GATEWAY)
        with self._store.reading() as tx:
            return gateway_host(tx, peer)

    async def _read(self, work: Callable[[Transaction], R]) -> R:
        return await asyncio.to_thread(_within, self._store.reading, work)

    async def _write(self, work: Callable[[Transaction], R]) -> R:
        return await asyncio.to_thread(_within, self._store.writing, work)


def heartbeat_s(asked_ms: int, watchers: int) -> float:
    """How soon a machine hears the next heartbeat, in seconds, that asked for one each `asked_ms`
    while so many watch. One of 0.1.0 asks for none, is told none, and waits for one each second.
    """
    if not asked_ms:
        return HEARTBEAT_S
    return min(max(asked_ms / 1000, watchers / HEARTBEATS, HEARTBEAT_S), MAX_HEARTBEAT_S)


def _state(tx: Transaction, device: str) -> State:
    machine = tx.devices.get(device)
    return machine.state if machine is not None else State.RETIRED


def _position(tx: Transaction, seen: pb.SeenLog) -> LogPosition | None:
    whole_numbers(seen)
    return last_position(tx, seen.size, seen.restorations)


def _within(
    transaction: Callable[[], AbstractContextManager[Transaction]], work: Callable[[Transaction], R]
) -> R:
    with transaction() as tx:
        return work(tx)
