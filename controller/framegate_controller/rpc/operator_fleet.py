"""The operator's calls about zones, maintenance, and the fleet's certificate authorities."""

from __future__ import annotations

from collections import Counter

from sqlalchemy import select
from sqlalchemy.orm import Session

from framegate.errors import Malformed, Reason, Refused
from framegate.identity.names import Kind, parse_name
from framegate.machines.lifecycle import State
from framegate_controller.ca.rotation import ca_rows, plan_rotation, rotate
from framegate_controller.people.authority import Aim, Allowed, Caller
from framegate_controller.rpc.calls import MAX_REASON, OperatorCalls, asked_for
from framegate_controller.rpc.wire import Context, guarded, to_summary
from framegate_controller.store.registry import find_device, raise_revision, record
from framegate_controller.store.tables import Device, ZoneRow
from framegate_proto.v1 import framegate_pb2 as pb

MAX_MAINTENANCE_MIN = 7 * 24 * 60
"""A machine that is away for longer is retired, or quarantined."""


class FleetCalls(OperatorCalls):
    """Mixed into the operator's service."""

    @guarded
    async def ListZones(self, request: pb.ListRequest, context: Context) -> pb.ZonesReply:
        """Every zone with a machine or a rule, as far as the caller sees it."""

        def work(session: Session, allowed: Allowed, _caller: Caller) -> pb.ZonesReply:
            rules = {r.name: r for r in session.scalars(select(ZoneRow)).all()}
            machines = [d for d in session.execute(select(Device.zone, Device.kind, Device.state)).all() if d[2] != State.RETIRED]
            names = sorted({z for z, _, _ in machines} | set(rules))
            return pb.ZonesReply(zones=[_zone(n, rules.get(n), Counter((k, s) for z, k, s in machines if z == n)) for n in names if allowed.sees(n)])

        return await self._do(context, request, Aim("zone.show"), work)

    @guarded
    async def SetZone(self, request: pb.SetZoneRequest, context: Context) -> pb.ZoneRow:
        """A zone's rules: what its gateways do when the controller is silent."""
        self._peer(context)
        zone = parse_name(request.zone, "zone")
        if request.feed_silence not in {"", "close", "grace"}:
            raise Malformed.of(Reason.USAGE, "close or grace", ascii(request.feed_silence[:20]))

        def work(session: Session, _allowed: Allowed, caller: Caller) -> pb.ZoneRow:
            row = _held(session, zone)
            if request.feed_silence:
                row.grace = request.feed_silence == "grace"
            if request.set_words:
                row.words = request.words[:200]
            row.by, row.since_ms = caller.actor, self._now()
            raise_revision(session)
            record(session, row.since_ms, "", "zone-set", caller.actor, f"{zone}: feed silence {'grace' if row.grace else 'close'}{f', {row.words}' if row.words else ''}")
            return _zone(zone, row, Counter())

        async def after(_row: pb.ZoneRow) -> None:
            await self._hub.access_changed()

        return await self._do(context, request, Aim("zone.set", zone, zone, f"zone {zone}: feed silence {request.feed_silence or 'as it is'}"), work, after)

    @guarded
    async def FreezeZone(self, request: pb.FreezeZoneRequest, context: Context) -> pb.ZoneRow:
        """Bar changes in a zone: no machine joins, is released, replaced, retired or masked. Inspection goes on, and holding a machine stays possible."""
        self._peer(context)
        zone = parse_name(request.zone, "zone")
        if request.frozen and not request.reason.strip():
            raise Malformed.of(Reason.USAGE, "a reason", "none", "--reason TEXT; whoever is refused reads it")

        def work(session: Session, _allowed: Allowed, caller: Caller) -> pb.ZoneRow:
            row = _held(session, zone)
            row.frozen, row.reason, row.by, row.since_ms = request.frozen, request.reason[:MAX_REASON], caller.actor, self._now()
            raise_revision(session)
            record(session, row.since_ms, "", "zone-frozen" if request.frozen else "zone-thawed", caller.actor, f"{zone}: {row.reason}")
            return _zone(zone, row, Counter())

        async def after(_row: pb.ZoneRow) -> None:
            await self._hub.access_changed()

        return await self._do(context, request, Aim("zone.freeze", zone, zone), work, after)

    @guarded
    async def ChangeMaintenance(self, request: pb.MaintenanceRequest, context: Context) -> pb.DeviceSummary:
        """Begin or end maintenance. A machine in maintenance is not inspected with, and its silence is expected; what its TPM says counts as ever."""
        self._peer(context)
        if request.minutes > MAX_MAINTENANCE_MIN:
            raise Malformed.of(Reason.USAGE, f"at most {MAX_MAINTENANCE_MIN} minutes", request.minutes, "quarantine it, or retire it")
        if request.minutes and not request.reason.strip():
            raise Malformed.of(Reason.USAGE, "a reason", "none", "--reason TEXT")

        def aim(session: Session) -> Aim:
            row = find_device(session, request.device)
            return Aim("maintenance.change", row.zone, row.id)

        def work(session: Session, _allowed: Allowed, caller: Caller) -> pb.DeviceSummary:
            row, now = find_device(session, request.device), self._now()
            if row.state == State.RETIRED:
                raise Refused.of(Reason.TRANSITION, "a machine of the fleet", row.state)
            if not request.minutes and row.maintenance_until_ms <= now:
                raise Refused.of(Reason.CONFLICT, "a machine in maintenance", "it is not", f"framegate maintenance start {row.name} --for 1h --reason TEXT")
            row.maintenance_until_ms = now + request.minutes * 60_000 if request.minutes else 0
            row.maintenance = request.reason[:MAX_REASON] if request.minutes else ""
            raise_revision(session)
            record(
                session,
                now,
                row.id,
                "maintenance-began" if request.minutes else "maintenance-ended",
                caller.actor,
                f"{request.minutes} min: {row.maintenance}" if request.minutes else "",
            )
            return to_summary(session, row, now)

        async def after(summary: pb.DeviceSummary) -> None:
            await self._hub.changed(summary.device)
            self._hub.tell(summary.device, pb.WatchEvent(kind=pb.WatchEvent.ATTEST_NOW))

        return await self._do(context, request, aim, work, after)

    @guarded
    async def ShowCa(self, request: pb.ListRequest, context: Context) -> pb.CaReply:
        """The root and every generation of the issuing CAs."""

        def work(session: Session, _allowed: Allowed, _caller: Caller) -> pb.CaReply:
            return pb.CaReply(rows=[pb.CaRow(**r) for r in ca_rows(session, self._verifier.keys)])

        return await self._do(context, request, Aim("ca.show"), work)

    @guarded
    async def RotateCa(self, request: pb.RotateCaRequest, context: Context) -> pb.CaReply:
        """Make the next generation of an issuing CA; with `plan`, only say what would happen when."""
        if request.plan:

            def look(session: Session, _allowed: Allowed, _caller: Caller) -> pb.CaReply:
                return pb.CaReply(
                    plan=plan_rotation(session, self._verifier.keys, self._verifier.timing, request.label), rows=[pb.CaRow(**r) for r in ca_rows(session, self._verifier.keys)]
                )

            return await self._do(context, request, Aim("ca.show"), look)

        _, dry = asked_for(context)

        def work(session: Session, _allowed: Allowed, caller: Caller) -> pb.CaReply:
            plan = plan_rotation(session, self._verifier.keys, self._verifier.timing, request.label)
            if not dry:  # keys are files, or in a token: no transaction takes them back
                rotate(session, self._verifier.keys, self._hub.key_folder, request.label, caller.actor, self._now())
            return pb.CaReply(plan=plan, rows=[pb.CaRow(**r) for r in ca_rows(session, self._verifier.keys)])

        async def after(_reply: pb.CaReply) -> None:
            await self._hub.access_changed()
            await self._hub.attest_everybody()

        return await self._do(context, request, Aim("ca.rotate", target=request.label[:40], summary=f"rotate the {request.label[:40]}"), work, after)


def _held(session: Session, zone: str) -> ZoneRow:
    row = session.get(ZoneRow, zone)
    if row is None:
        row = ZoneRow(name=zone, grace=False, frozen=False, reason="", by="", since_ms=0, words="")
        session.add(row)
    return row


def _zone(name: str, row: ZoneRow | None, machines: Counter[tuple[str, str]]) -> pb.ZoneRow:
    made = pb.ZoneRow(
        name=name, cameras=sum(n for (k, _), n in machines.items() if k == Kind.CAMERA), gateways=sum(n for (k, _), n in machines.items() if k == Kind.GATEWAY),
        trusted=sum(n for (_, s), n in machines.items() if s == State.TRUSTED),
    )  # fmt: skip
    if row is not None:
        made.grace, made.frozen, made.reason, made.by, made.since_ms, made.words = row.grace, row.frozen, row.reason, row.by, row.since_ms, row.words
    return made
