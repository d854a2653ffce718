"""The fleet port for operators: machines, TPM makers, events, masks, results. Every call is asked of the access policy; a device's certificate opens none (N81)."""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from cryptography import x509
from sqlalchemy import select
from sqlalchemy.orm import Session

from framegate.errors import Malformed, Reason, Refused
from framegate.identity.certificates import UNREADABLE
from framegate.identity.names import Kind, parse_name
from framegate.machines.lifecycle import Event as Edge
from framegate.machines.lifecycle import State
from framegate.signed.dsse import strict_json
from framegate.signed.mask import MaskStatement, parse_regions
from framegate.wire import TICKET_CODE_BYTES, sha256
from framegate_controller.fleet.attestation import Verifier
from framegate_controller.people.authority import Aim, Allowed, Authority, Caller
from framegate_controller.people.signin import SignIn
from framegate_controller.rpc.calls import MAX_REASON
from framegate_controller.rpc.hub import Hub
from framegate_controller.rpc.operator_fleet import FleetCalls
from framegate_controller.rpc.operator_models import ModelCalls
from framegate_controller.rpc.operator_people import PeopleCalls
from framegate_controller.rpc.operator_policy import PolicyCalls
from framegate_controller.rpc.operator_profiles import ProfileCalls
from framegate_controller.rpc.wire import Context, guarded, to_event, to_summary
from framegate_controller.store.registry import add_authority, change_state, find_device, invite, load_clock, load_failures, load_findings, record
from framegate_controller.store.tables import Device, EvidenceRow, LogEntry, MaskRow, Result, Revision, Ticket, TpmAuthority
from framegate_controller.timing import TICKET_LIFE_S
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


class OperatorService(ProfileCalls, PeopleCalls, PolicyCalls, FleetCalls, ModelCalls, rpc.OperatorServicer):
    """RPCs of operators; the other parts stand in modules of their own."""

    def __init__(self, verifier: Verifier, hub: Hub, addresses: Addresses, authority: Authority, sign_in: SignIn) -> None:
        self._verifier, self._hub, self._addresses, self._authority, self._sign_in = verifier, hub, addresses, authority, sign_in

    @guarded
    async def Invite(self, request: pb.InviteRequest, context: Context) -> pb.InviteReply:
        """Register a device and give out its ticket."""
        self._peer(context)
        code = secrets.token_bytes(TICKET_CODE_BYTES)
        if request.kind not in set(Kind):
            raise Malformed.of(Reason.USAGE, "kind camera or gateway", ascii(request.kind[:40]))
        parse_name(request.zone, "zone")
        try:
            pinned = bytes.fromhex(request.ek_sha256) if request.ek_sha256 else None
        except ValueError as error:
            raise Malformed.of(Reason.USAGE, "an EK hash in hexadecimal", ascii(request.ek_sha256[:80])) from error
        if pinned is not None and len(pinned) != 32:
            raise Malformed.of(Reason.USAGE, "an EK hash of 64 hexadecimal digits", len(pinned) * 2, "framegate-agent ek prints it")
        life = min(request.life_s or TICKET_LIFE_S, TICKET_LIFE_S)

        def aim(session: Session) -> Aim:
            held = session.scalars(select(Device).where(Device.name == request.name)).one_or_none()
            zone = held.zone if held is not None and request.replace else request.zone
            return Aim("device.replace" if request.replace else "device.invite", zone, f"{request.kind}.{zone}.{request.name}"[:200])

        def work(session: Session, _allowed: Allowed, caller: Caller) -> pb.InviteReply:
            now = self._now()
            device = invite(
                session, kind=Kind(request.kind), zone=request.zone, name=request.name, profile=request.profile, ek_sha256=pinned, code=code,
                life_s=life, actor=caller.actor, now_ms=now, replaces=request.replace,
            )  # fmt: skip
            return pb.InviteReply(
                device=device, code=code, join_address=self._addresses.join, fleet_address=self._addresses.fleet, server_name=self._addresses.server_name,
                root=self._verifier.keys.root.der, expires_ms=now + life * 1000, now_ms=now,
            )  # fmt: skip

        return await self._do(context, request, aim, work)

    @guarded
    async def List(self, request: pb.ListRequest, context: Context) -> pb.ListReply:
        """All devices of a kind, in the zones that the caller sees."""

        def work(session: Session, allowed: Allowed, _caller: Caller) -> pb.ListReply:
            query = select(Device).order_by(Device.zone, Device.name)
            rows = session.scalars(query.where(Device.kind == request.kind) if request.kind else query).all()
            return pb.ListReply(devices=[to_summary(session, row, self._now()) for row in rows if allowed.sees(row.zone)])

        return await self._do(context, request, Aim("device.list"), work)

    @guarded
    async def Show(self, request: pb.DeviceRequest, context: Context) -> pb.DeviceDetail:
        """Everything known about one device."""

        def work(session: Session, _allowed: Allowed, _caller: Caller) -> pb.DeviceDetail:
            row = find_device(session, request.device)
            clock = load_clock(row)
            events = session.scalars(select(LogEntry).where(LogEntry.device == row.id).order_by(LogEntry.id.desc()).limit(20)).all()
            return pb.DeviceDetail(
                summary=to_summary(session, row, self._now()), failures=to_failures(tuple(load_failures(row))), failures_ms=row.failures_ms,
                tpm=row.manufacturer.to_bytes(4, "big").decode("ascii", "replace").strip("\0 ") if row.manufacturer else "",
                tpm_firmware=row.firmware_version, ek_sha256=(row.ek_sha256 or b"").hex(), ek_endorsement=row.endorsement,
                vector=json.loads(row.vector), posture=row.posture, reset_count=clock.reset_count if clock else 0,
                restart_count=clock.restart_count if clock else 0, certificate_expires_ms=row.certificate_expires_ms,
                events=[to_event(e) for e in events], pcrs=json.loads(row.pcrs), findings=to_failures(tuple(load_findings(row))),
                ear=self._last_ear(session, row.id), ima_entries=json.loads(row.ima_prefix)[0] if row.ima_prefix else 0,
            )  # fmt: skip

        return await self._do(context, request, _at(request.device, "device.show"), work)

    @guarded
    async def Change(self, request: pb.ChangeRequest, context: Context) -> pb.DeviceSummary:
        """Quarantine, release, retire, approve, or ask for evidence now. Lifting a quarantine is a verb of its own."""
        self._peer(context)
        edge = _EDGES.get(request.event)
        if edge is None and request.event != "attest-now":
            raise Malformed.of(Reason.USAGE, f"{', '.join(_EDGES)} or attest-now", ascii(request.event[:40]))

        def aim(session: Session) -> Aim:
            row = find_device(session, request.device)
            lifting = edge == Edge.RELEASE and row.state == State.QUARANTINED
            return Aim("device.lift" if lifting else f"device.{request.event}", row.zone, row.id, f"{'lift the quarantine of' if lifting else request.event} {row.id}")

        def work(session: Session, _allowed: Allowed, caller: Caller) -> pb.DeviceSummary:
            row, now, why = find_device(session, request.device), self._now(), request.reason[:MAX_REASON]
            if edge is None:
                if row.state in {State.RETIRED, State.INVITED}:
                    raise Refused.of(Reason.TRANSITION, "a device that has joined", row.state)
                record(session, now, row.id, "attest-now", caller.actor, why)
            else:
                change_state(session, row, edge, caller.actor, now, why)
                if edge == Edge.RELEASE and any(f.reason == Reason.COUNTERS for f in load_failures(row)):
                    row.clock = ""  # the operator has decided about the reset; the next evidence sets the new baseline
                    record(session, now, row.id, "counters-accepted", caller.actor, why)
                if edge in {Edge.QUARANTINE, Edge.RETIRE}:
                    row.result_expires_ms = min(row.result_expires_ms, now)
                if edge == Edge.RETIRE:
                    row.certificate_expires_ms = 0
                    for ticket in session.scalars(select(Ticket).where(Ticket.device == row.id)).all():
                        session.delete(ticket)
            return to_summary(session, row, now)

        async def after(summary: pb.DeviceSummary) -> None:
            if edge is not None:
                await self._hub.changed(summary.device)
            if edge is None or edge in {Edge.RELEASE, Edge.APPROVED}:
                self._hub.tell(summary.device, pb.WatchEvent(kind=pb.WatchEvent.ATTEST_NOW))

        return await self._do(context, request, aim, work, after)

    @guarded
    async def AddTpmCa(self, request: pb.TpmCa, context: Context) -> pb.TpmCa:
        """Trust a TPM maker's CA."""
        self._peer(context)
        try:
            certificate = x509.load_der_x509_certificate(request.certificate)
            subject = certificate.subject.rfc4514_string()
        except UNREADABLE as error:
            raise Malformed.of(Reason.CERTIFICATE, "a DER certificate", type(error).__name__) from error

        def work(session: Session, _allowed: Allowed, caller: Caller) -> pb.TpmCa:
            return _authority(add_authority(session, certificate, caller.actor, self._now()))

        return await self._do(context, request, Aim("trust.add", target=subject[:200], summary=f"trust the TPM maker {subject[:200]}"), work)

    @guarded
    async def ListTpmCas(self, request: pb.ListRequest, context: Context) -> pb.TpmCas:
        """The makers' CAs that are trusted."""

        def work(session: Session, _allowed: Allowed, _caller: Caller) -> pb.TpmCas:
            return pb.TpmCas(authorities=[_authority(r) for r in session.scalars(select(TpmAuthority).order_by(TpmAuthority.subject)).all()])

        return await self._do(context, request, Aim("trust.show"), work)

    @guarded
    async def FleetStatus(self, request: pb.ListRequest, context: Context) -> pb.FleetStatusReply:
        """How many devices stand where."""

        def work(session: Session, allowed: Allowed, _caller: Caller) -> pb.FleetStatusReply:
            states = Counter(state for state, zone in session.execute(select(Device.state, Device.zone)).all() if allowed.sees(zone))
            return pb.FleetStatusReply(
                fleet=self._verifier.keys.fleet, controller=self._verifier.controller, states=states, revision=session.scalars(select(Revision.value)).one(),
                attest_interval_ms=self._verifier.timing.interval_ms, watchers=sum(map(len, self._hub.watchers.values())),
                feeds=sum(map(len, self._hub.feeds.values())),
            )  # fmt: skip

        return await self._do(context, request, Aim("fleet.show"), work)

    @guarded
    async def Events(self, request: pb.EventsRequest, context: Context) -> pb.EventsReply:
        """The latest events, newest first; of people and the fleet as a whole only for whoever sees all zones."""

        def work(session: Session, allowed: Allowed, _caller: Caller) -> pb.EventsReply:
            most = min(request.limit or 50, MAX_EVENTS)
            query = select(LogEntry).where(LogEntry.kind == "event").order_by(LogEntry.id.desc())
            if request.device:
                query = query.where(LogEntry.device == find_device(session, request.device).id)
            elif allowed.zones is None:
                query = query.where(LogEntry.event.not_in(("attested", "allowed")))  # routine: framegate audit list has them
            found = []
            for row in session.scalars(query.limit(most if allowed.zones is None else 20 * most)):
                if allowed.zones is None or (row.device.count(".") == 2 and row.device.split(".")[1] in allowed.zones):
                    found.append(to_event(row))
                if len(found) >= most:
                    break
            return pb.EventsReply(events=found)

        return await self._do(context, request, Aim("events.list"), work)

    @guarded
    async def SetMasks(self, request: pb.SetMasksRequest, context: Context) -> pb.MasksReply:
        """Sign a camera's masks under the next version; the camera hears of it at once."""
        self._peer(context)
        keys = self._verifier.keys
        regions = strict_json(request.regions)
        if type(regions) is not list:
            raise Malformed.of(Reason.MASK, "a list of regions", type(regions).__name__)
        parse_regions(regions)

        def aim(session: Session) -> Aim:
            row = find_device(session, request.device, Kind.CAMERA)
            return Aim("mask.set", row.zone, row.id, f"{len(regions)} masked regions on {row.id}")

        def work(session: Session, _allowed: Allowed, caller: Caller) -> pb.MasksReply:
            row, now = find_device(session, request.device, Kind.CAMERA), self._now()
            held = session.get(MaskRow, row.id)
            statement = MaskStatement(camera=row.id, version=held.version + 1 if held else 1, regions=tuple(regions), issued_at_ms=now)
            signer = keys.signing["mask"]
            envelope = statement.seal(signer.der, signer.sign)
            session.merge(MaskRow(device=row.id, version=statement.version, sha256=sha256(statement.payload()), envelope=envelope))
            record(session, now, row.id, "masks-set", caller.actor, f"version {statement.version}, {len(regions)} regions")
            return pb.MasksReply(device=row.id, version=statement.version, envelope=envelope)

        async def after(reply: pb.MasksReply) -> None:
            self._hub.tell(reply.device, pb.WatchEvent(kind=pb.WatchEvent.GRANTS_CHANGED))

        return await self._do(context, request, aim, work, after)

    @guarded
    async def ShowMasks(self, request: pb.DeviceRequest, context: Context) -> pb.MasksReply:
        """A camera's masks in force; version 0 where there are none."""

        def work(session: Session, _allowed: Allowed, _caller: Caller) -> pb.MasksReply:
            row = find_device(session, request.device, Kind.CAMERA)
            held = session.get(MaskRow, row.id)
            return pb.MasksReply(device=row.id, version=held.version if held else 0, envelope=held.envelope if held else b"")

        return await self._do(context, request, _at(request.device, "mask.show", Kind.CAMERA), work)

    @guarded
    async def Result(self, request: pb.ResultRequest, context: Context) -> pb.ResultReply:
        """What a receipt's result id stands for: the quote, and the firmware profile it was appraised under."""

        def work(session: Session, allowed: Allowed, _caller: Caller) -> pb.ResultReply:
            row = session.get(Result, request.result_id)
            if row is None or not allowed.sees(row.device.split(".")[1]):
                raise Refused.of(Reason.NOT_FOUND, "an affirming result's id", ascii(request.result_id[:80]), "framegate receipt show ID names it")
            return pb.ResultReply(
                result_id=row.id, device=row.device, at_ms=row.at_ms, evidence_sha256=row.evidence_sha256, quote=row.quote, signature=row.signature,
                ak_public=row.ak_public, firmware_profile=row.profile, firmware_profile_sha256=row.profile_sha256, ear=row.ear, evidence=row.evidence,
                ear_certificate=self._verifier.keys.signing["result"].der,
            )  # fmt: skip

        return await self._do(context, request, Aim("result.show"), work)

    def _last_ear(self, session: Session, device: str) -> bytes:
        """The EAR of the device's last evidence that verified, affirming or not."""
        found = session.scalars(select(EvidenceRow.ear).where(EvidenceRow.device == device).order_by(EvidenceRow.last_ms.desc()).limit(1)).one_or_none()
        return (found or "").encode()


def _at(device: str, verb: str, kind: str = "") -> Callable[[Session], Aim]:
    """The verb in the zone of the device that this text names."""

    def aim(session: Session) -> Aim:
        row = find_device(session, device, kind)
        return Aim(verb, row.zone, row.id)

    return aim


def _authority(row: TpmAuthority) -> pb.TpmCa:
    return pb.TpmCa(certificate=row.certificate, subject=row.subject, sha256=row.sha256.hex(), added_ms=row.added_ms, expires_ms=row.expires_ms)
