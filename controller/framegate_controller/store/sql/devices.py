"""Machines, tickets, makers' CAs, gateway processes and masks over SQLAlchemy."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import Row, Select, bindparam, delete, func, insert, or_, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from framegate.errors import Reason, Refused
from framegate.evidence.challenge import unknown_session
from framegate.identity.names import DeviceId, Kind
from framegate.ima.replay import ImaPrefix
from framegate.machines.lifecycle import State
from framegate.registry.device import (
    Baseline,
    CameraMasks,
    Device,
    GatewayProcess,
    Shown,
    Standing,
    TlsKey,
    TpmIdentity,
    TpmMaker,
)
from framegate.registry.ticket import Ticket
from framegate.tpm.attest import ClockInfo
from framegate_controller.store import tables
from framegate_controller.store.ports import Census, Moved
from framegate_controller.store.sql.rows import (
    Rows,
    failures_text,
    fields_of,
    read_failures,
    read_mapping,
    table_of,
)

_DEVICES: Final = table_of(tables.Device)
_TICKETS: Final = table_of(tables.Ticket)
_SPENT: Final = table_of(tables.SpentChallenge)
_MAKERS: Final = table_of(tables.TpmAuthority)
_GATEWAYS: Final = table_of(tables.Gateway)
_MASKS: Final = table_of(tables.MaskRow)
_BY_ID: Final = select(_DEVICES).where(_DEVICES.c.id == bindparam("of"))
_BY_TLS_KEY: Final = select(_DEVICES).where(_DEVICES.c.tls_spki_sha256 == bindparam("of"))
_PUT: Final = update(_DEVICES).where(
    _DEVICES.c.id == bindparam("of"), _DEVICES.c.version == bindparam("was")
)
_SPEND: Final = upsert(_SPENT).on_conflict_do_nothing()
MOST_NEAR: Final = 20
"""Names told to whoever typed a prefix of several."""


class SqlDevices:
    """See `ports.Devices`."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def get(self, device: str) -> Device | None:
        """By id."""
        return _maybe(self._rows.one(_BY_ID, {"of": device}))

    def named(self, name: str) -> Device | None:
        """By name."""
        return _maybe(self._rows.one(select(_DEVICES).where(_DEVICES.c.name == name)))

    def by_ek(self, ek_sha256: bytes) -> Device | None:
        """By EK."""
        return _maybe(self._rows.one(select(_DEVICES).where(_DEVICES.c.ek_sha256 == ek_sha256)))

    def by_tls_key(self, spki_sha256: bytes) -> Device | None:
        """By present TLS key."""
        return _maybe(self._rows.one(_BY_TLS_KEY, {"of": spki_sha256}))

    def owners(self, ek_sha256: bytes, ak_name: bytes) -> list[Device]:
        """Those that have this EK or AK."""
        query = select(_DEVICES).where(
            or_(_DEVICES.c.ek_sha256 == ek_sha256, _DEVICES.c.ak_name == ak_name)
        )
        return [_device(r) for r in self._rows.all(query)]

    def find(self, text: str, kind: str = "") -> Device:
        """See `ports.Devices.find`."""
        exact = self._rows.all(
            select(_DEVICES).where(or_(_DEVICES.c.id == text, _DEVICES.c.name == text))
        )
        found = [r for r in exact if not kind or r.kind == kind]
        if not found and text:
            near = or_(
                _DEVICES.c.name.startswith(text, autoescape=True),
                _DEVICES.c.id.startswith(text, autoescape=True),
            )
            found = [
                r
                for r in self._rows.all(select(_DEVICES).where(near).limit(MOST_NEAR))
                if not kind or r.kind == kind
            ]
        if len(found) == 1:
            return _device(found[0])
        if found:
            raise Refused.of(
                Reason.USAGE,
                "an id or unique prefix",
                f"{text[:80]!a}: {', '.join(sorted(r.name for r in found))}",
            )
        raise Refused.of(
            Reason.NOT_FOUND,
            f"a {kind or 'device'} of the registry",
            ascii(text[:80]),
            f"framegate {kind or 'camera'} list",
        )

    def all(
        self, *, kind: str = "", zone: str = "", profile: str = "", states: Sequence[State] = ()
    ) -> list[Device]:
        """See `ports.Devices.all`."""
        query = _matching(select(_DEVICES), kind, zone, profile, states, ())
        return [
            _device(r) for r in self._rows.all(query.order_by(_DEVICES.c.zone, _DEVICES.c.name))
        ]

    def ids(
        self,
        *,
        kind: str = "",
        zone: str = "",
        profile: str = "",
        states: Sequence[State] = (),
        but: Sequence[State] = (),
    ) -> list[DeviceId]:
        """See `ports.Devices.ids`."""
        return [
            DeviceId(i)
            for i in self._rows.scalars(
                _matching(select(_DEVICES.c.id), kind, zone, profile, states, but)
            )
        ]

    def count(self, profile: str) -> int:
        """See `ports.Devices.count`."""
        query = select(func.count()).select_from(_DEVICES)
        return int(
            self._rows.scalar(
                query.where(_DEVICES.c.profile == profile, _DEVICES.c.state != State.RETIRED.value)
            )
        )

    def census(self) -> list[Census]:
        """All, counted."""
        columns = (_DEVICES.c.zone, _DEVICES.c.kind, _DEVICES.c.state)
        found = self._rows.all(select(*columns, func.count().label("machines")).group_by(*columns))
        return [Census(r.zone, Kind(r.kind), State(r.state), r.machines) for r in found]

    def results(self) -> list[tuple[DeviceId, int]]:
        """Trusted machines and when their last result came."""
        query = select(_DEVICES.c.id, _DEVICES.c.result_ms).where(
            _DEVICES.c.state == State.TRUSTED.value
        )
        return [(DeviceId(r.id), r.result_ms) for r in self._rows.all(query)]

    def unaware(self, since_ms: int) -> int:
        """Trusted machines without a result after `since_ms`."""
        query = (
            select(func.count())
            .select_from(_DEVICES)
            .where(_DEVICES.c.state == State.TRUSTED.value, _DEVICES.c.result_ms <= since_ms)
        )
        return int(self._rows.scalar(query))

    def maintenance_over(self, now_ms: int) -> list[Device]:
        """See `ports.Devices.maintenance_over`."""
        query = select(_DEVICES).where(
            _DEVICES.c.maintenance_until_ms != 0, _DEVICES.c.maintenance_until_ms <= now_ms
        )
        return [_device(r) for r in self._rows.all(query)]

    def add(self, device: Device) -> None:
        """A new one."""
        self._rows.run(insert(_DEVICES).values(**_columns(device), version=device.version))

    def put(self, device: Device) -> Device:
        """See `ports.Devices.put`."""
        values = {
            **_columns(device),
            "version": device.version + 1,
            "of": device.id,
            "was": device.version,
        }
        if self._rows.run(_PUT, values) != 1:
            raise Moved.of_what(device.id)
        return replace(device, version=device.version + 1)

    def remove(self, device: str) -> None:
        """Forget a row."""
        self._rows.run(delete(_DEVICES).where(_DEVICES.c.id == device))


def _matching(
    query: Select[Any],
    kind: str,
    zone: str,
    profile: str,
    states: Sequence[State],
    but: Sequence[State],
) -> Select[Any]:
    for column, wanted in (
        (_DEVICES.c.kind, kind),
        (_DEVICES.c.zone, zone),
        (_DEVICES.c.profile, profile),
    ):
        query = query.where(column == wanted) if wanted else query
    query = query.where(_DEVICES.c.state.in_([s.value for s in states])) if states else query
    return query.where(_DEVICES.c.state.not_in([s.value for s in but])) if but else query


def _maybe(row: Row[Any] | None) -> Device | None:
    return _device(row) if row is not None else None


def _device(r: Row[Any]) -> Device:
    tpm = tls = None
    if r.ak_public is not None and r.ek_sha256 is not None:
        tpm = TpmIdentity(
            ek_sha256=r.ek_sha256,
            ek_public=r.ek_public or b"",
            ak_name=r.ak_name or b"",
            ak_public=r.ak_public,
            manufacturer=r.manufacturer,
            endorsement=r.endorsement,
        )
    if r.tls_public is not None:
        tls = TlsKey(
            public=r.tls_public,
            spki_sha256=r.tls_spki_sha256 or b"",
            certificate_expires_ms=r.certificate_expires_ms,
        )
    prefix = json.loads(r.ima_prefix) if r.ima_prefix else None
    return Device(
        id=DeviceId(r.id),
        kind=Kind(r.kind),
        zone=r.zone,
        name=r.name,
        state=State(r.state),
        since_ms=r.since_ms,
        profile=r.profile,
        tpm=tpm,
        tls=tls,
        standing=Standing(
            result_id=r.result_id,
            result_ms=r.result_ms,
            expires_ms=r.result_expires_ms,
            evidence_sha256=r.evidence_sha256,
            profile=r.appraised_profile,
            profile_sha256=r.appraised_profile_sha256,
        ),
        shown=Shown(
            firmware_version=r.firmware_version,
            pcrs=read_mapping(r.pcrs),
            posture=r.posture,
            vector=read_mapping(r.vector),
            findings=read_failures(r.findings),
            failures=read_failures(r.failures),
            failures_ms=r.failures_ms,
        ),
        baseline=Baseline(
            clock=ClockInfo(*json.loads(r.clock)) if r.clock else None,
            boot_log_sha256=r.boot_log_sha256,
            ima=ImaPrefix(prefix[0], prefix[1], bytes.fromhex(prefix[2]), prefix[3], prefix[4])
            if prefix
            else None,
            ima_profile_sha256=r.ima_profile_sha256,
        ),
        maintenance_until_ms=r.maintenance_until_ms,
        maintenance=r.maintenance,
        version=r.version,
    )


def _columns(d: Device) -> Mapping[str, Any]:
    clock, ima = d.baseline.clock, d.baseline.ima
    return MappingProxyType(
        {
            "id": d.id,
            "kind": d.kind.value,
            "zone": d.zone,
            "name": d.name,
            "state": d.state.value,
            "since_ms": d.since_ms,
            "profile": d.profile,
            "ek_sha256": d.tpm.ek_sha256 if d.tpm else None,
            "ek_public": d.tpm.ek_public if d.tpm else None,
            "endorsement": d.tpm.endorsement if d.tpm else "",
            "ak_name": d.tpm.ak_name if d.tpm else None,
            "ak_public": d.tpm.ak_public if d.tpm else None,
            "manufacturer": d.tpm.manufacturer if d.tpm else 0,
            "tls_public": d.tls.public if d.tls else None,
            "tls_spki_sha256": d.tls.spki_sha256 if d.tls else None,
            "certificate_expires_ms": d.certificate_expires_ms,
            "result_id": d.standing.result_id,
            "result_ms": d.standing.result_ms,
            "result_expires_ms": d.standing.expires_ms,
            "evidence_sha256": d.standing.evidence_sha256,
            "appraised_profile": d.standing.profile,
            "appraised_profile_sha256": d.standing.profile_sha256,
            "firmware_version": d.shown.firmware_version,
            "pcrs": json.dumps(dict(d.shown.pcrs)),
            "posture": d.shown.posture,
            "vector": json.dumps(dict(d.shown.vector)),
            "findings": failures_text(d.shown.findings),
            "failures": failures_text(d.shown.failures),
            "failures_ms": d.shown.failures_ms,
            "clock": json.dumps([clock.clock, clock.reset_count, clock.restart_count, clock.safe])
            if clock
            else "",
            "boot_log_sha256": d.baseline.boot_log_sha256,
            "ima_prefix": json.dumps(
                [ima.entries, ima.violations, ima.value.hex(), ima.reset_count, ima.restart_count]
            )
            if ima
            else "",
            "ima_profile_sha256": d.baseline.ima_profile_sha256,
            "maintenance_until_ms": d.maintenance_until_ms,
            "maintenance": d.maintenance,
        }
    )


class SqlTickets:
    """See `ports.Tickets`."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def get(self, code_sha256: bytes) -> Ticket | None:
        """By hash."""
        row = self._rows.one(select(_TICKETS).where(_TICKETS.c.code_sha256 == code_sha256))
        return (
            Ticket(**{**row._mapping, "device": DeviceId(row.device)}) if row is not None else None
        )

    def add(self, ticket: Ticket) -> None:
        """A new one in the place of the device's earlier one."""
        self.remove_of(ticket.device)
        self._rows.run(insert(_TICKETS).values(**fields_of(ticket)))

    def put(self, ticket: Ticket) -> None:
        """Keep a changed value."""
        self._rows.put(_TICKETS, fields_of(ticket))

    def remove_of(self, device: str) -> None:
        """Forget a device's tickets."""
        self._rows.run(delete(_TICKETS).where(_TICKETS.c.device == device))


class SqlSpentChallenges:
    """See `ports.SpentChallenges`."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def forget(self, now_ms: int) -> None:
        """Those that have run out."""
        self._rows.run(delete(_SPENT).where(_SPENT.c.expires_ms < now_ms))

    def spend(self, challenge: bytes, expires_ms: int) -> None:
        """See `ports.SpentChallenges.spend`."""
        if self._rows.run(_SPEND, {"id": challenge, "expires_ms": expires_ms}) != 1:
            raise unknown_session()


class SqlTpmMakers:
    """See `ports.TpmMakers`."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def get(self, sha256: bytes) -> TpmMaker | None:
        """By hash."""
        row = self._rows.one(select(_MAKERS).where(_MAKERS.c.sha256 == sha256))
        return TpmMaker(**row._mapping) if row is not None else None

    def all(self) -> list[TpmMaker]:
        """By subject."""
        return [
            TpmMaker(**r._mapping)
            for r in self._rows.all(select(_MAKERS).order_by(_MAKERS.c.subject))
        ]

    def add(self, maker: TpmMaker) -> None:
        """A new one."""
        self._rows.run(insert(_MAKERS).values(**fields_of(maker)))


class SqlGatewayProcesses:
    """See `ports.GatewayProcesses`."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def of_host(self, host: str) -> list[GatewayProcess]:
        """Those of one host."""
        return [
            _process(r) for r in self._rows.all(select(_GATEWAYS).where(_GATEWAYS.c.host == host))
        ]

    def of_zone(self, zone: str) -> list[tuple[GatewayProcess, Device]]:
        """Those of a zone, each with its host."""
        hosts = {
            h.id: h
            for h in (
                _device(r)
                for r in self._rows.all(
                    select(_DEVICES).where(
                        _DEVICES.c.zone == zone, _DEVICES.c.kind == Kind.GATEWAY.value
                    )
                )
            )
        }
        found = (
            self._rows.all(select(_GATEWAYS).where(_GATEWAYS.c.host.in_(list(hosts))))
            if hosts
            else ()
        )
        return [(_process(r), hosts[DeviceId(r.host)]) for r in found]

    def replace(self, host: str, processes: Sequence[GatewayProcess]) -> None:
        """Exactly these from now on."""
        self._rows.run(delete(_GATEWAYS).where(_GATEWAYS.c.host == host))
        for process in processes:
            self._rows.run(insert(_GATEWAYS).values(**fields_of(process)))


def _process(r: Row[Any]) -> GatewayProcess:
    return GatewayProcess(
        publics_sha256=r.publics_sha256,
        host=DeviceId(r.host),
        publics=r.publics,
        result_id=r.result_id,
    )


class SqlMasks:
    """See `ports.Masks`."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def get(self, device: str) -> CameraMasks | None:
        """Those in force."""
        row = self._rows.one(select(_MASKS).where(_MASKS.c.device == device))
        return (
            CameraMasks(**{**row._mapping, "device": DeviceId(row.device)})
            if row is not None
            else None
        )

    def put(self, masks: CameraMasks) -> None:
        """In force from now on."""
        self._rows.put(_MASKS, fields_of(masks))
