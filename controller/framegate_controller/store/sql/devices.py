"""Machines over SQLAlchemy."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from sqlalchemy import Row, Select, bindparam, delete, func, insert, or_, select, update

from framegate.errors import Reason, Refused
from framegate.identity.names import DeviceId, Kind
from framegate.machines.lifecycle import State
from framegate.registry.device import Device
from framegate_controller.store.ports import Census, Moved
from framegate_controller.store.sql.device_rows import DEVICES, columns_of, device_of
from framegate_controller.store.sql.prepared import Prepared
from framegate_controller.store.sql.rows import Rows

_BY_ID: Final = Prepared(select(DEVICES).where(DEVICES.c.id == bindparam("of")))
_BY_TLS_KEY: Final = Prepared(select(DEVICES).where(DEVICES.c.tls_spki_sha256 == bindparam("of")))
_OWNERS: Final = Prepared(
    select(DEVICES).where(
        or_(DEVICES.c.ek_sha256 == bindparam("ek"), DEVICES.c.ak_name == bindparam("ak"))
    )
)
_PUT: Final = Prepared(
    update(DEVICES).where(DEVICES.c.id == bindparam("of"), DEVICES.c.version == bindparam("was"))
)
_KEYED: Final = tuple(
    c.name
    for c in DEVICES.columns
    if c.unique or any(c.name in index.columns for index in DEVICES.indexes)
)
"""Columns that an index has. They seldom change, and SQLite writes each index anew of which a
column is set, though to what it was; PostgreSQL does not.
"""
_PUT_BESIDE: Final = Prepared(
    update(DEVICES).where(
        DEVICES.c.id == bindparam("of"),
        DEVICES.c.version == bindparam("was"),
        *(DEVICES.c[name].is_not_distinct_from(bindparam(f"same_{name}")) for name in _KEYED),
    )
)
"""The same where nothing changes but what no index has."""
MOST_NEAR: Final = 20
"""Names told to whoever typed a prefix of several."""


class SqlDevices:
    """See `ports.Devices`."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._expected: dict[str | bytes, Callable[[], Any]] = {}

    def get(self, device: str) -> Device | None:
        """By id."""
        expected = self._expected.pop(device, None)
        return _maybe(expected() if expected else self._rows.one(_BY_ID, {"of": device}))

    def expect(self, devices: Iterable[str] = (), *, keys: Iterable[bytes] = ()) -> None:
        """See `ports.Devices.expect`."""
        self._expected |= {of: self._rows.ahead(_BY_ID, {"of": of}) for of in devices}
        self._expected |= {of: self._rows.ahead(_BY_TLS_KEY, {"of": of}) for of in keys}

    def named(self, name: str) -> Device | None:
        """By name."""
        return _maybe(self._rows.one(select(DEVICES).where(DEVICES.c.name == name)))

    def by_ek(self, ek_sha256: bytes) -> Device | None:
        """By EK."""
        return _maybe(self._rows.one(select(DEVICES).where(DEVICES.c.ek_sha256 == ek_sha256)))

    def by_tls_key(self, spki_sha256: bytes) -> Device | None:
        """By present TLS key."""
        expected = self._expected.pop(spki_sha256, None)
        return _maybe(expected() if expected else self._rows.one(_BY_TLS_KEY, {"of": spki_sha256}))

    def eks(self, of: Collection[str] | None = None) -> dict[DeviceId, bytes]:
        """See `ports.Devices.eks`."""
        query = select(DEVICES.c.id, DEVICES.c.ek_sha256).where(
            DEVICES.c.ek_sha256.is_not(None), DEVICES.c.state != State.RETIRED
        )
        query = query.where(DEVICES.c.id.in_(of)) if of is not None else query
        return {DeviceId(row.id): row.ek_sha256 for row in self._rows.all(query)}

    def owners(self, ek_sha256: bytes, ak_name: bytes) -> list[Device]:
        """Those that have this EK or AK."""
        return [device_of(r) for r in self._rows.all(_OWNERS, {"ek": ek_sha256, "ak": ak_name})]

    def find(self, text: str, kind: str = "") -> Device:
        """See `ports.Devices.find`."""
        exact = self._rows.all(
            select(DEVICES).where(or_(DEVICES.c.id == text, DEVICES.c.name == text))
        )
        matches = [r for r in exact if not kind or r.kind == kind]
        if not matches and text:
            near = or_(
                DEVICES.c.name.startswith(text, autoescape=True),
                DEVICES.c.id.startswith(text, autoescape=True),
            )
            matches = [
                r
                for r in self._rows.all(select(DEVICES).where(near).limit(MOST_NEAR))
                if not kind or r.kind == kind
            ]
        if len(matches) == 1:
            return device_of(matches[0])
        if matches:
            raise Refused.of(
                Reason.USAGE,
                "an id or unique prefix",
                f"{text[:80]!a}: {', '.join(sorted(r.name for r in matches))}",
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
        query = _matching(select(DEVICES), kind, zone, profile, states, ())
        return [
            device_of(r) for r in self._rows.all(query.order_by(DEVICES.c.zone, DEVICES.c.name))
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
                _matching(select(DEVICES.c.id), kind, zone, profile, states, but)
            )
        ]

    def count(self, profile: str) -> int:
        """See `ports.Devices.count`."""
        query = select(func.count()).select_from(DEVICES)
        return int(
            self._rows.scalar(
                query.where(DEVICES.c.profile == profile, DEVICES.c.state != State.RETIRED.value)
            )
        )

    def census(self) -> list[Census]:
        """All, counted."""
        columns = (DEVICES.c.zone, DEVICES.c.kind, DEVICES.c.state)
        counts = self._rows.all(select(*columns, func.count().label("machines")).group_by(*columns))
        return [Census(r.zone, Kind(r.kind), State(r.state), r.machines) for r in counts]

    def results(self) -> list[tuple[DeviceId, int]]:
        """Trusted machines and when their last result came."""
        query = select(DEVICES.c.id, DEVICES.c.result_ms).where(
            DEVICES.c.state == State.TRUSTED.value
        )
        return [(DeviceId(r.id), r.result_ms) for r in self._rows.all(query)]

    def unaware(self, since_ms: int) -> int:
        """Trusted machines without a result after `since_ms`."""
        query = (
            select(func.count())
            .select_from(DEVICES)
            .where(DEVICES.c.state == State.TRUSTED.value, DEVICES.c.result_ms <= since_ms)
        )
        return int(self._rows.scalar(query))

    def maintenance_over(self, now_ms: int) -> list[Device]:
        """See `ports.Devices.maintenance_over`."""
        query = select(DEVICES).where(
            DEVICES.c.maintenance_until_ms != 0, DEVICES.c.maintenance_until_ms <= now_ms
        )
        return [device_of(r) for r in self._rows.all(query)]

    def add(self, device: Device) -> None:
        """A new one."""
        self._expected.clear()
        self._rows.run(insert(DEVICES).values(**columns_of(device), version=device.version))

    def put(self, device: Device) -> Device:
        """See `ports.Devices.put`."""
        self._expected.clear()
        columns = columns_of(device)
        row = {"version": device.version + 1, "of": device.id, "was": device.version}
        put = replace(device, version=device.version + 1)
        if self._rows.dialect != "sqlite":
            self._rows.later(_PUT, {**columns, **row}, partial(_require_one, device.id))
            return put
        beside = {name: v for name, v in columns.items() if name not in _KEYED and name != "id"}
        same = {f"same_{name}": columns[name] for name in _KEYED}
        if (
            self._rows.run(_PUT_BESIDE, {**beside, **same, **row}) != 1
            and self._rows.run(_PUT, {**columns, **row}) != 1
        ):
            raise Moved.of_what(device.id)
        return put

    def remove(self, device: str) -> None:
        """Forget a row."""
        self._expected.clear()
        self._rows.run(delete(DEVICES).where(DEVICES.c.id == device))


def _matching(
    query: Select[Any],
    kind: str,
    zone: str,
    profile: str,
    states: Sequence[State],
    but: Sequence[State],
) -> Select[Any]:
    for column, wanted in (
        (DEVICES.c.kind, kind),
        (DEVICES.c.zone, zone),
        (DEVICES.c.profile, profile),
    ):
        query = query.where(column == wanted) if wanted else query
    query = query.where(DEVICES.c.state.in_([s.value for s in states])) if states else query
    return query.where(DEVICES.c.state.not_in([s.value for s in but])) if but else query


def _require_one(device: str, changed: int) -> None:
    if changed != 1:
        raise Moved.of_what(device)


def _maybe(row: Row[Any] | None) -> Device | None:
    return device_of(row) if row is not None else None
