"""Firmware profiles and their rollouts over SQLAlchemy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Row, func, insert, select, update

from framegate.errors import Reason, Refused
from framegate.identity.names import DeviceId
from framegate.machines.lifecycle import State
from framegate.machines.rollout import RolloutState, Seen, parse_plan
from framegate.registry.rollout import (
    ProfileInForce,
    ProfileRevision,
    RevokedSigner,
    RolloutDevice,
    RolloutRecord,
)
from framegate_controller.store.sql.device_rows import DEVICES
from framegate_controller.store.sql.rows import Rows, fields_of, table_of
from framegate_controller.store.tables import firmware

_PROFILES: Final = table_of(firmware.Profile)
_REVISIONS: Final = table_of(firmware.ProfileRevision)
_REVOKED: Final = table_of(firmware.RevokedSigner)
_ROLLOUTS: Final = table_of(firmware.RolloutRow)
_ROLLOUT_DEVICES: Final = table_of(firmware.RolloutDevice)


class SqlProfiles:
    """See `ports.Profiles`."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def in_force(self, name: str) -> ProfileInForce | None:
        """The revision in force."""
        row = self._rows.one(select(_PROFILES).where(_PROFILES.c.name == name))
        return ProfileInForce(**row._mapping) if row is not None else None

    def put_in_force(self, profile: ProfileInForce) -> None:
        """In force from now on."""
        self._rows.put(_PROFILES, fields_of(profile))

    def names(self) -> list[str]:
        """Of all that are in force."""
        return self._rows.scalars(select(_PROFILES.c.name).order_by(_PROFILES.c.name))

    def revision(self, name: str, revision: int) -> ProfileRevision | None:
        """A revision that was imported."""
        row = self._rows.one(
            select(_REVISIONS).where(_REVISIONS.c.name == name, _REVISIONS.c.revision == revision)
        )
        return ProfileRevision(**row._mapping) if row is not None else None

    def newest(self, name: str) -> int:
        """The highest revision imported."""
        return int(
            self._rows.scalar(
                select(func.max(_REVISIONS.c.revision)).where(_REVISIONS.c.name == name)
            )
            or 0
        )

    def revisions(self) -> list[ProfileRevision]:
        """By name, newest first."""
        query = select(_REVISIONS).order_by(_REVISIONS.c.name, _REVISIONS.c.revision.desc())
        return [ProfileRevision(**r._mapping) for r in self._rows.all(query)]

    def add_revision(self, revision: ProfileRevision) -> None:
        """A new one."""
        self._rows.run(insert(_REVISIONS).values(**fields_of(revision)))

    def revoked(self, sha256: bytes) -> RevokedSigner | None:
        """A signer whose word counts no more."""
        row = self._rows.one(select(_REVOKED).where(_REVOKED.c.sha256 == sha256))
        return RevokedSigner(**row._mapping) if row is not None else None

    def revoke(self, signer: RevokedSigner) -> None:
        """From now on its word does not count."""
        self._rows.run(insert(_REVOKED).values(**fields_of(signer)))


class SqlRollouts:
    """See `ports.Rollouts`."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def latest(self, profile: str) -> RolloutRecord | None:
        """The latest one of a profile."""
        query = (
            select(_ROLLOUTS)
            .where(_ROLLOUTS.c.profile == profile)
            .order_by(_ROLLOUTS.c.started_ms.desc())
            .limit(1)
        )
        row = self._rows.one(query)
        return _rollout(row) if row is not None else None

    def find(self, text: str) -> RolloutRecord:
        """See `ports.Rollouts.find`."""
        query = (
            select(_ROLLOUTS).where(_ROLLOUTS.c.id.startswith(text[:16], autoescape=True)).limit(2)
        )
        matches = self._rows.all(query) if text else ()
        if len(matches) != 1:
            raise Refused.of(
                Reason.NOT_FOUND,
                "a rollout's id or unique prefix",
                ascii(text[:16]),
                "framegate rollout list",
            )
        return _rollout(matches[0])

    def all(self, most: int) -> list[RolloutRecord]:
        """The latest ones first."""
        return [
            _rollout(r)
            for r in self._rows.all(
                select(_ROLLOUTS).order_by(_ROLLOUTS.c.started_ms.desc()).limit(most)
            )
        ]

    def in_state(self, states: Sequence[RolloutState], profile: str = "") -> list[RolloutRecord]:
        """Those that stand in one of these states."""
        query = select(_ROLLOUTS).where(_ROLLOUTS.c.state.in_([s.value for s in states]))
        return [
            _rollout(r)
            for r in self._rows.all(
                query.where(_ROLLOUTS.c.profile == profile) if profile else query
            )
        ]

    def put(self, rollout: RolloutRecord) -> None:
        """A new or changed one."""
        self._rows.put(
            _ROLLOUTS,
            {**fields_of(rollout), "plan": rollout.plan.marshal(), "state": rollout.state.value},
        )

    def device(self, rollout: str, device: str) -> RolloutDevice | None:
        """What it has seen of one device."""
        row = self._rows.one(
            select(_ROLLOUT_DEVICES).where(
                _ROLLOUT_DEVICES.c.rollout == rollout, _ROLLOUT_DEVICES.c.device == device
            )
        )
        return _rollout_device(row) if row is not None else None

    def devices(self, rollout: str) -> list[tuple[RolloutDevice, State]]:
        """By step and device."""
        query = select(_ROLLOUT_DEVICES, DEVICES.c.state).join(
            DEVICES, DEVICES.c.id == _ROLLOUT_DEVICES.c.device
        )
        query = query.where(_ROLLOUT_DEVICES.c.rollout == rollout).order_by(
            _ROLLOUT_DEVICES.c.step, _ROLLOUT_DEVICES.c.device
        )
        return [(_rollout_device(r), State(r.state)) for r in self._rows.all(query)]

    def put_device(self, device: RolloutDevice) -> None:
        """A new or changed one."""
        self._rows.put(_ROLLOUT_DEVICES, {**fields_of(device), "seen": device.seen.value})

    def failed(self, rollout: str, most_step: int) -> int:
        """Devices in steps up to `most_step` that match neither revision."""
        d = _ROLLOUT_DEVICES.c
        query = select(func.count()).select_from(_ROLLOUT_DEVICES)
        return int(
            self._rows.scalar(
                query.where(d.rollout == rollout, d.seen == Seen.FAILED.value, d.step <= most_step)
            )
        )

    def seen_anew(self, rollout: str, before: Seen, after: Seen) -> None:
        """Every device seen as `before` counts as `after`."""
        d = _ROLLOUT_DEVICES.c
        self._rows.run(
            update(_ROLLOUT_DEVICES)
            .where(d.rollout == rollout, d.seen == before.value)
            .values(seen=after.value)
        )


def _rollout(r: Row[Any]) -> RolloutRecord:
    return RolloutRecord(
        **{**r._mapping, "plan": parse_plan(r.plan), "state": RolloutState(r.state)}
    )


def _rollout_device(r: Row[Any]) -> RolloutDevice:
    return RolloutDevice(
        rollout=r.rollout,
        device=DeviceId(r.device),
        step=r.step,
        seen=Seen(r.seen),
        shadow=r.shadow,
        at_ms=r.at_ms,
    )
