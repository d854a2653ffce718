"""The fleet port for operators. Every call asks for an operator's certificate; a device's never opens one (N81)."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections import Counter
from dataclasses import dataclass

from cryptography import x509
from sqlalchemy import select
from sqlalchemy.orm import Session

from framegate.certificates import Purpose
from framegate.dsse import strict_json
from framegate.errors import Malformed, Reason, Refused
from framegate.identity import Kind
from framegate.lifecycle import Event as Edge
from framegate.lifecycle import State
from framegate.masks import MaskStatement, parse_regions
from framegate.wire import TICKET_CODE_BYTES, sha256
from framegate_controller.services.hub import Hub
from framegate_controller.services.operator_profiles import MAX_REASON, ProfileCalls
from framegate_controller.services.peer import verify_peer
from framegate_controller.services.wire import Context, guarded, to_event, to_summary
from framegate_controller.store.registry import add_authority, change_state, find_device, invite, load_clock, load_failures, load_findings, record
from framegate_controller.store.tables import Device, Event, EvidenceRow, MaskRow, Result, Revision, Ticket, TpmAuthority
from framegate_controller.timing import TICKET_LIFE_S
from framegate_controller.verifier.attestation import Verifier
from framegate_proto.edge import to_failures
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc

_EDGES = {"quarantine": Edge.QUARANTINE, "release": Edge.RELEASE, "retire": Edge.RETIRE, "approve": Edge.APPROVED}
MAX_EVENTS = 1000


@dataclass(frozen=True, slots=True)
class Addresses:
    """What a ticket tells a machine: where to join, where to attest, and the servers' name."""

    join: str
    fleet: str
    server_name: str


class OperatorService(ProfileCalls, rpc.OperatorServicer):
    """RPCs of operators."""

    def __init__(self, verifier: Verifier, hub: Hub, addresses: Addresses) -> None:
        self._verifier, self._hub, self._addresses = verifier, hub, addresses

    @guarded
    async def Invite(self, request: pb.InviteRequest, context: Context) -> pb.InviteReply:
        """Register a device and give out its ticket."""
        actor, now, code = self._actor(context), self._verifier.clock(), secrets.token_bytes(TICKET_CODE_BYTES)
        if request.kind not in set(Kind):
            raise Malformed.of(Reason.USAGE, "kind camera or gateway", ascii(request.kind[:40]))
        try:
            pinned = bytes.fromhex(request.ek_sha256) if request.ek_sha256 else None
        except ValueError as error:
            raise Malformed.of(Reason.USAGE, "an EK hash in hexadecimal", ascii(request.ek_sha256[:80])) from error
        if pinned is not None and len(pinned) != 32:
            raise Malformed.of(Reason.USAGE, "an EK hash of 64 hexadecimal digits", len(pinned) * 2, "framegate-agent ek prints it")
        life = min(request.life_s or TICKET_LIFE_S, TICKET_LIFE_S)

        def run() -> str:
            with self._verifier.database.transaction() as session:
                return invite(
                    session, kind=Kind(request.kind), zone=request.zone, name=request.name, profile=request.profile, ek_sha256=pinned, code=code,
                    life_s=life, actor=actor, now_ms=now, replaces=request.replace,
                )  # fmt: skip

        device = await asyncio.to_thread(run)
        return pb.InviteReply(
            device=device, code=code, join_address=self._addresses.join, fleet_address=self._addresses.fleet, server_name=self._addresses.server_name,
            root=self._verifier.keys.root.der, expires_ms=now + life * 1000, now_ms=now,
        )  # fmt: skip

    @guarded
    async def List(self, request: pb.ListRequest, context: Context) -> pb.ListReply:
        """All devices of a kind."""
        self._actor(context)

        def run() -> pb.ListReply:
            with self._verifier.database.transaction() as session:
                query = select(Device).order_by(Device.zone, Device.name)
                rows = session.scalars(query.where(Device.kind == request.kind) if request.kind else query).all()
                return pb.ListReply(devices=[to_summary(session, row, self._verifier.clock()) for row in rows])

        return await asyncio.to_thread(run)

    @guarded
    async def Show(self, request: pb.DeviceRequest, context: Context) -> pb.DeviceDetail:
        """Everything known about one device."""
        self._actor(context)

        def run() -> pb.DeviceDetail:
            with self._verifier.database.transaction() as session:
                row = find_device(session, request.device)
                clock = load_clock(row)
                events = session.scalars(select(Event).where(Event.device == row.id).order_by(Event.id.desc()).limit(20)).all()
                return pb.DeviceDetail(
                    summary=to_summary(session, row, self._verifier.clock()), failures=to_failures(tuple(load_failures(row))), failures_ms=row.failures_ms,
                    tpm=row.manufacturer.to_bytes(4, "big").decode("ascii", "replace").strip("\0 ") if row.manufacturer else "",
                    tpm_firmware=row.firmware_version, ek_sha256=(row.ek_sha256 or b"").hex(), ek_endorsement=row.endorsement,
                    vector=json.loads(row.vector), posture=row.posture, reset_count=clock.reset_count if clock else 0,
                    restart_count=clock.restart_count if clock else 0, certificate_expires_ms=row.certificate_expires_ms,
                    events=[to_event(e) for e in events], pcrs=json.loads(row.pcrs), findings=to_failures(tuple(load_findings(row))),
                    ear=self._last_ear(session, row.id), ima_entries=json.loads(row.ima_prefix)[0] if row.ima_prefix else 0,
                )  # fmt: skip

        return await asyncio.to_thread(run)

    @guarded
    async def Change(self, request: pb.ChangeRequest, context: Context) -> pb.DeviceSummary:
        """Quarantine, release, retire, approve, or ask for evidence now."""
        actor = self._actor(context)
        edge = _EDGES.get(request.event)
        if edge is None and request.event != "attest-now":
            raise Malformed.of(Reason.USAGE, f"{', '.join(_EDGES)} or attest-now", ascii(request.event[:40]))

        def run() -> pb.DeviceSummary:
            with self._verifier.database.transaction() as session:
                row, now = find_device(session, request.device), self._verifier.clock()
                if edge is None:
                    if row.state in {State.RETIRED, State.INVITED}:
                        raise Refused.of(Reason.TRANSITION, "a device that has joined", row.state)
                    record(session, now, row.id, "attest-now", actor, request.reason[:MAX_REASON])
                else:
                    change_state(session, row, edge, actor, now, request.reason[:MAX_REASON])
                    if edge == Edge.RELEASE and any(f.reason == Reason.COUNTERS for f in load_failures(row)):
                        row.clock = ""  # the operator has decided about the reset; the next evidence sets the new baseline
                        record(session, now, row.id, "counters-accepted", actor, request.reason[:MAX_REASON])
                    if edge in {Edge.QUARANTINE, Edge.RETIRE}:
                        row.result_expires_ms = min(row.result_expires_ms, now)
                    if edge == Edge.RETIRE:
                        row.certificate_expires_ms = 0
                        for ticket in session.scalars(select(Ticket).where(Ticket.device == row.id)).all():
                            session.delete(ticket)
                return to_summary(session, row, now)

        summary = await asyncio.to_thread(run)
        if edge is not None:
            await self._hub.changed(summary.device)
        if edge is None or edge in {Edge.RELEASE, Edge.APPROVED}:
            self._hub.tell(summary.device, pb.WatchEvent(kind=pb.WatchEvent.ATTEST_NOW))
        return summary

    @guarded
    async def AddTpmCa(self, request: pb.TpmCa, context: Context) -> pb.TpmCa:
        """Trust a TPM maker's CA."""
        actor = self._actor(context)
        try:
            certificate = x509.load_der_x509_certificate(request.certificate)
        except ValueError as error:
            raise Malformed.of(Reason.CERTIFICATE, "a DER certificate", type(error).__name__) from error

        def run() -> pb.TpmCa:
            with self._verifier.database.transaction() as session:
                return _authority(add_authority(session, certificate, actor, self._verifier.clock()))

        return await asyncio.to_thread(run)

    @guarded
    async def ListTpmCas(self, request: pb.ListRequest, context: Context) -> pb.TpmCas:
        """The makers' CAs that are trusted."""
        self._actor(context)

        def run() -> pb.TpmCas:
            with self._verifier.database.transaction() as session:
                return pb.TpmCas(authorities=[_authority(r) for r in session.scalars(select(TpmAuthority).order_by(TpmAuthority.subject)).all()])

        return await asyncio.to_thread(run)

    @guarded
    async def FleetStatus(self, request: pb.ListRequest, context: Context) -> pb.FleetStatusReply:
        """How many devices stand where."""
        self._actor(context)

        def run() -> pb.FleetStatusReply:
            with self._verifier.database.transaction() as session:
                states = Counter(session.scalars(select(Device.state)).all())
                revision = session.scalars(select(Revision.value)).one()
            return pb.FleetStatusReply(
                fleet=self._verifier.keys.fleet, controller=self._verifier.controller, states=states, revision=revision,
                attest_interval_ms=self._verifier.timing.interval_ms, watchers=sum(map(len, self._hub.watchers.values())),
                feeds=sum(map(len, self._hub.feeds.values())),
            )  # fmt: skip

        return await asyncio.to_thread(run)

    @guarded
    async def Events(self, request: pb.EventsRequest, context: Context) -> pb.EventsReply:
        """The latest events, newest first."""
        self._actor(context)

        def run() -> pb.EventsReply:
            with self._verifier.database.transaction() as session:
                query = select(Event).order_by(Event.id.desc()).limit(min(request.limit or 50, MAX_EVENTS))
                if request.device:
                    query = query.where(Event.device == find_device(session, request.device).id)
                return pb.EventsReply(events=[to_event(e) for e in session.scalars(query).all()])

        return await asyncio.to_thread(run)

    @guarded
    async def SetMasks(self, request: pb.SetMasksRequest, context: Context) -> pb.MasksReply:
        """Sign a camera's masks under the next version; the camera hears of it at once."""
        actor, now, keys = self._actor(context), self._verifier.clock(), self._verifier.keys
        regions = strict_json(request.regions)
        if type(regions) is not list:
            raise Malformed.of(Reason.MASK, "a list of regions", type(regions).__name__)
        parse_regions(regions)

        def run() -> pb.MasksReply:
            with self._verifier.database.transaction() as session:
                row = find_device(session, request.device, Kind.CAMERA)
                held = session.get(MaskRow, row.id)
                statement = MaskStatement(camera=row.id, version=held.version + 1 if held else 1, regions=tuple(regions), issued_at_ms=now)
                signer = keys.signing["mask"]
                envelope = statement.seal(signer.der, signer.sign)
                session.merge(MaskRow(device=row.id, version=statement.version, sha256=sha256(statement.payload()), envelope=envelope))
                record(session, now, row.id, "masks-set", actor, f"version {statement.version}, {len(regions)} regions")
                return pb.MasksReply(device=row.id, version=statement.version, envelope=envelope)

        reply = await asyncio.to_thread(run)
        self._hub.tell(reply.device, pb.WatchEvent(kind=pb.WatchEvent.GRANTS_CHANGED))
        return reply

    @guarded
    async def ShowMasks(self, request: pb.DeviceRequest, context: Context) -> pb.MasksReply:
        """A camera's masks in force; version 0 where there are none."""
        self._actor(context)

        def run() -> pb.MasksReply:
            with self._verifier.database.transaction() as session:
                row = find_device(session, request.device, Kind.CAMERA)
                held = session.get(MaskRow, row.id)
                return pb.MasksReply(device=row.id, version=held.version if held else 0, envelope=held.envelope if held else b"")

        return await asyncio.to_thread(run)

    @guarded
    async def Result(self, request: pb.ResultRequest, context: Context) -> pb.ResultReply:
        """What a receipt's result id stands for: the quote, and the firmware profile it was appraised under."""
        self._actor(context)

        def run() -> pb.ResultReply:
            with self._verifier.database.transaction() as session:
                row = session.get(Result, request.result_id)
                if row is None:
                    raise Refused.of(Reason.NOT_FOUND, "an affirming result's id", ascii(request.result_id[:80]), "framegate receipt show ID names it")
                return pb.ResultReply(
                    result_id=row.id, device=row.device, at_ms=row.at_ms, evidence_sha256=row.evidence_sha256, quote=row.quote, signature=row.signature,
                    ak_public=row.ak_public, firmware_profile=row.profile, firmware_profile_sha256=row.profile_sha256, ear=row.ear, evidence=row.evidence,
                    ear_certificate=self._verifier.keys.signing["result"].der,
                )  # fmt: skip

        return await asyncio.to_thread(run)

    def _last_ear(self, session: Session, device: str) -> bytes:
        """The EAR of the device's last evidence that verified, affirming or not."""
        found = session.scalars(select(EvidenceRow.ear).where(EvidenceRow.device == device).order_by(EvidenceRow.last_ms.desc()).limit(1)).one_or_none()
        return (found or "").encode()

    def _actor(self, context: Context) -> str:
        return verify_peer(context, self._verifier.keys, Purpose.OPERATOR).name


def _authority(row: TpmAuthority) -> pb.TpmCa:
    return pb.TpmCa(certificate=row.certificate, subject=row.subject, sha256=row.sha256.hex(), added_ms=row.added_ms, expires_ms=row.expires_ms)
