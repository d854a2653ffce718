"""The fleet port for machines: attest, watch, grants, trust feed. Mutual TLS; every message asks anew who is there."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from datetime import timedelta

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import select

from framegate.errors import Failure, Reason, Refused
from framegate.identity.certificates import Purpose, from_ms, request_key, spki_of
from framegate.identity.names import DeviceId, Kind, split_device_id
from framegate.machines.lifecycle import State
from framegate.signed.statement import Grant
from framegate.wire import NONCE_BYTES, GatewayPublics, sha256
from framegate_controller.ca.issuance import issue_broker_client
from framegate_controller.fleet.attestation import Verifier
from framegate_controller.people.authority import may_inspect
from framegate_controller.record.batches import record_batch
from framegate_controller.record.ledger import LogProof
from framegate_controller.rpc.hub import QUEUE, Hub, facts_of
from framegate_controller.rpc.peer import address_of, verify_peer
from framegate_controller.rpc.wire import Context, guarded, guarded_stream, to_reply
from framegate_controller.store.inspection import golden_image, unapproved
from framegate_controller.store.tables import Device, Gateway, MaskRow
from framegate_controller.timing import GRANT_TTL_S, HEARTBEAT_S
from framegate_proto.edge import presented_certificate, to_failures
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc


class FleetService(rpc.FleetServicer):
    """RPCs of enrolled machines."""

    def __init__(self, verifier: Verifier, hub: Hub) -> None:
        self._verifier, self._hub = verifier, hub

    @guarded
    async def Begin(self, request: pb.BeginRequest, context: Context) -> pb.ChallengeReply:
        """See `Verifier.begin_attest`."""
        device = await self._device(context)
        made = await asyncio.to_thread(self._verifier.begin_attest, request.hello, device, address_of(context))
        return pb.ChallengeReply(challenge=made.challenge, signature=made.signature, certificate=made.certificate)

    @guarded
    async def Complete(self, request: pb.CompleteRequest, context: Context) -> pb.AttestationReply:
        """See `Verifier.complete_attest`."""
        device = await self._device(context)
        answer = await asyncio.to_thread(self._verifier.complete_attest, request.session, request.proof, device)
        await self._hub.changed(device)
        timing = self._verifier.timing
        return to_reply(answer, self._verifier.keys.authorities, timing.result_life_ms, timing.interval_ms)

    @guarded_stream
    async def Watch(self, request: pb.WatchRequest, context: Context) -> AsyncIterator[pb.WatchEvent]:
        """Events for this machine, a heartbeat every second; ends when its certificate no longer stands."""
        device = await self._device(context)
        queue: asyncio.Queue[pb.WatchEvent] = asyncio.Queue(QUEUE)
        group = self._hub.watchers[device]
        group.add(queue)
        try:
            # what was said while nobody listened is in the state: a machine that is stale knows from it that it must attest
            yield pb.WatchEvent(kind=pb.WatchEvent.STATE, state=await asyncio.to_thread(self._state, device))
            while queue in group:
                try:
                    event = await asyncio.wait_for(queue.get(), HEARTBEAT_S)
                except TimeoutError:
                    event = pb.WatchEvent(kind=pb.WatchEvent.HEARTBEAT)
                if event.kind != pb.WatchEvent.STATE:  # a machine that lost its standing may still hear that it did
                    await self._device(context)
                yield event
        finally:
            group.discard(queue)

    @guarded
    async def FetchGrants(self, request: pb.FetchGrantsRequest, context: Context) -> pb.FetchGrantsReply:
        """Grants for the calling camera that answer its nonce; where there are none, why."""
        device = await self._device(context)
        if len(request.nonce) != NONCE_BYTES:
            raise Refused.of(Reason.MALFORMED, f"a nonce of {NONCE_BYTES} bytes", len(request.nonce))
        grants, failures, masks = await asyncio.to_thread(self._grants, device, request.nonce)
        return pb.FetchGrantsReply(grants=grants, failures=to_failures(tuple(failures)), masks=masks)

    @guarded
    async def RecordBatch(self, request: pb.RecordBatchRequest, context: Context) -> pb.RecordBatchReply:
        """See `log.batches.record_batch`."""
        host = await asyncio.to_thread(self._gateway, context)

        def run() -> LogProof:
            with self._verifier.database.transaction() as session:
                return record_batch(session, self._verifier.keys, host, request.batch, self._verifier.clock())

        proof = await asyncio.to_thread(run)
        return pb.RecordBatchReply(entry=proof.entry, index=proof.index, path=proof.path, checkpoint=proof.checkpoint)

    @guarded
    async def GoldenImage(self, request: pb.GoldenImageRequest, context: Context) -> pb.GoldenImageReply:
        """A golden image that a part names, for a gateway of this fleet."""
        await asyncio.to_thread(self._gateway, context)

        def run() -> bytes:
            with self._verifier.database.transaction() as session:
                return golden_image(session, request.sha256)

        return pb.GoldenImageReply(image=await asyncio.to_thread(run))

    @guarded
    async def BrokerCertificate(self, request: pb.BrokerCertificateRequest, context: Context) -> pb.BrokerCertificateReply:
        """A certificate for the broker, as long as the device's own; only for a device that is trusted now."""
        device = await self._device(context)

        def run() -> bytes:
            now = self._verifier.clock()
            with self._verifier.database.transaction() as session:
                row = session.get(Device, device)
                if row is None or row.state != State.TRUSTED or row.certificate_expires_ms <= now:
                    raise Refused.of(Reason.NOT_TRUSTED, "a trusted device", row.state if row else "unknown", "its next attestation comes first")
                life = timedelta(milliseconds=row.certificate_expires_ms - now)
            return issue_broker_client(self._verifier.keys, DeviceId(device), request.csr, life, from_ms(now)).public_bytes(Encoding.DER)

        return pb.BrokerCertificateReply(certificate=await asyncio.to_thread(run), issuer=self._verifier.keys.issuing["broker-ca"].der)

    @guarded_stream
    async def TrustFeed(self, request: pb.TrustFeedRequest, context: Context) -> AsyncIterator[pb.TrustUpdate]:
        """Trust of the gateway's zone: a snapshot, then every change at once, and a heartbeat every second."""
        host = await asyncio.to_thread(self._gateway, context)
        _, zone, _ = split_device_id(host)
        queue: asyncio.Queue[pb.TrustUpdate] = asyncio.Queue(QUEUE)
        group = self._hub.feeds[zone]
        group.add(queue)  # before the snapshot, so that nothing falls between; the revision tells the reader what it has seen
        try:
            yield await asyncio.to_thread(self._hub.snapshot, zone)
            while queue in group:
                try:
                    yield await asyncio.wait_for(queue.get(), HEARTBEAT_S)
                except TimeoutError:
                    await asyncio.to_thread(self._gateway, context)
                    yield await asyncio.to_thread(self._hub.heartbeat)
        finally:
            group.discard(queue)

    async def _device(self, context: Context) -> str:
        return await asyncio.to_thread(self._standing, context)

    def _standing(self, context: Context) -> str:
        """The calling machine's id. Its connection may outlive the certificate it was made with where a newer one stands for the same key.

        Raises Refused: no certificate, another purpose, expired, revoked, retired.
        """
        try:
            spki = verify_peer(context, self._verifier.keys, Purpose.DEVICE).identity.spki
        except Refused as error:
            if error.reason != Reason.CERTIFICATE_EXPIRED:
                raise
            # the handshake proved the key; the registry says whether a later certificate for that key is alive
            certificate = presented_certificate(context)
            spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        with self._verifier.database.transaction() as session:
            row = session.scalars(select(Device).where(Device.tls_spki_sha256 == sha256(spki))).one_or_none()
            if row is None or row.state == State.RETIRED:
                raise Refused.of(Reason.CERTIFICATE, "the present key of an enrolled device", "another", "join again")
            if row.certificate_expires_ms < self._verifier.clock():
                raise Refused.of(Reason.CERTIFICATE_EXPIRED, "a certificate alive now", "expired", "rejoin on the join port")
            return row.id

    def _state(self, device: str) -> str:
        with self._verifier.database.transaction() as session:
            row = session.get(Device, device)
            return row.state if row is not None else State.RETIRED

    def _gateway(self, context: Context) -> str:
        """The host of the calling gateway process; its key must be one that the host's last result vouches for."""
        peer = verify_peer(context, self._verifier.keys, Purpose.GATEWAY)
        with self._verifier.database.transaction() as session:
            host = session.get(Device, peer.name)
            if host is None or host.kind != Kind.GATEWAY or host.state != State.TRUSTED:
                raise Refused.of(Reason.NOT_TRUSTED, "a gateway on a trusted host", f"{peer.name} {host.state if host else 'unknown'}")
            quoted = session.scalars(select(Gateway.publics).where(Gateway.host == host.id)).all()
            if peer.identity.spki not in {spki_of(request_key(GatewayPublics.parse(raw).tls_csr)) for raw in quoted}:
                raise Refused.of(Reason.NOT_TRUSTED, "a gateway process that its host vouches for now", "another", "it was replaced; its successor is attested with the host")
        return peer.name

    def _grants(self, camera: str, nonce: bytes) -> tuple[list[bytes], list[Failure], bytes]:
        now, keys = self._verifier.clock(), self._verifier.keys
        signer = keys.signing["grant"]
        with self._verifier.database.transaction() as session:
            row = session.get(Device, camera)
            if row is not None and row.kind != Kind.CAMERA:
                raise Refused.of(Reason.WRONG_ROLE, "a camera", row.id)
            if row is None or row.state != State.TRUSTED or row.result_expires_ms <= now:
                state = row.state if row else "unknown"
                return [], [Failure(Reason.NOT_TRUSTED, "a trusted camera", state, f"framegate camera why {row.name if row else camera}")], b""
            mask = session.get(MaskRow, camera)
            masks = mask.envelope if mask else b""
            query = select(Gateway, Device).join(Device, Device.id == Gateway.host).where(Device.zone == row.zone)
            pairs = [(g, h) for g, h in session.execute(query).all() if h.state == State.TRUSTED and h.result_expires_ms > now]
            if not pairs:
                return [], [Failure(Reason.NO_GRANT, f"a trusted gateway in zone {row.zone}", "none", "framegate gateway list")], masks
            grants: list[bytes] = []
            refused: list[Failure] = []
            for gateway, host in pairs:
                publics = GatewayPublics.parse(gateway.publics)
                if (unfit := unapproved(session, host.zone, publics.model_digest.hex())) is not None:
                    refused = [unfit]
                    continue
                decision, policy = may_inspect(session, keys, facts_of(row, now), row.id, publics.model_digest.hex(), host.zone, now)
                if decision.failure is not None:
                    refused = [decision.failure]
                    continue
                words = f"{policy.words} {','.join(decision.policies)}"[:200]
                ttl = min(GRANT_TTL_S, (host.result_expires_ms - now) // 1000, (row.result_expires_ms - now) // 1000)
                if ttl < 1:
                    continue
                grant = Grant(
                    grant_id=secrets.token_hex(16), camera=camera, nonce=nonce.hex(), issued_at_ms=now, ttl_s=int(ttl), host=host.id, result_id=host.result_id,
                    zone=row.zone, publics_sha256=sha256(gateway.publics).hex(), tls_spki_sha256=sha256(spki_of(request_key(publics.tls_csr))).hex(), hpke_kem=publics.hpke_kem,
                    hpke_public=publics.hpke_public.hex(), address=publics.address, model_sha256=publics.model_digest.hex(), policy=words,
                    mask_version=mask.version if mask else 0, mask_sha256=mask.sha256.hex() if mask else "",
                )  # fmt: skip
                grants.append(grant.seal(signer.der, signer.sign))
            return grants, [] if grants else refused, masks
