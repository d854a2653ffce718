"""Firmware profiles, rollouts and kept evidence over SQLAlchemy."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Row, bindparam, delete, func, insert, select, update

from framegate.errors import Reason, Refused
from framegate.identity.names import DeviceId
from framegate.ima.allowlist import Allowlist, parse_allowlist
from framegate.machines.lifecycle import State
from framegate.machines.rollout import RolloutState, Seen, parse_plan
from framegate.registry.evidence import KeptEvidence, KeptResult
from framegate.registry.rollout import (
    ProfileInForce,
    ProfileRevision,
    RevokedSigner,
    RolloutDevice,
    RolloutRecord,
)
from framegate_controller.store import tables
from framegate_controller.store.sql.rows import (
    Rows,
    failures_text,
    fields_of,
    read_failures,
    read_mapping,
    table_of,
)

_PROFILES: Final = table_of(tables.Profile)
_REVISIONS: Final = table_of(tables.ProfileRevision)
_REVOKED: Final = table_of(tables.RevokedSigner)
_ROLLOUTS: Final = table_of(tables.RolloutRow)
_ROLLOUT_DEVICES: Final = table_of(tables.RolloutDevice)
_DEVICES: Final = table_of(tables.Device)
_EVIDENCE: Final = table_of(tables.EvidenceRow)
_RESULTS: Final = table_of(tables.Result)
_LOGS: Final = table_of(tables.BootLogRow)
_SEGMENTS: Final = table_of(tables.ImaSegment)
_ALLOWLISTS: Final = table_of(tables.AllowlistRow)

_LAST_CONTENT: Final = (
    select(_EVIDENCE.c.id, _EVIDENCE.c.content_sha256)
    .where(_EVIDENCE.c.device == bindparam("of"))
    .order_by(_EVIDENCE.c.last_ms.desc())
    .limit(1)
)
_SEEN_AGAIN: Final = (
    update(_EVIDENCE).where(_EVIDENCE.c.id == bindparam("of")).values(count=_EVIDENCE.c.count + 1)
)
_ADD_RESULT: Final = insert(_RESULTS)


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
        found = self._rows.all(query) if text else ()
        if len(found) != 1:
            raise Refused.of(
                Reason.NOT_FOUND,
                "a rollout's id or unique prefix",
                ascii(text[:16]),
                "framegate rollout list",
            )
        return _rollout(found[0])

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
        query = select(_ROLLOUT_DEVICES, _DEVICES.c.state).join(
            _DEVICES, _DEVICES.c.id == _ROLLOUT_DEVICES.c.device
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


class SqlEvidence:
    """See `ports.EvidenceKept`."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def get(self, identifier: str) -> KeptEvidence | None:
        """By id."""
        row = self._rows.one(select(_EVIDENCE).where(_EVIDENCE.c.id == identifier))
        return _evidence(row) if row is not None else None

    def last(self, device: str) -> KeptEvidence | None:
        """The device's last evidence that verified."""
        query = (
            select(_EVIDENCE)
            .where(_EVIDENCE.c.device == device)
            .order_by(_EVIDENCE.c.last_ms.desc())
            .limit(1)
        )
        row = self._rows.one(query)
        return _evidence(row) if row is not None else None

    def last_content(self, device: str) -> tuple[str, bytes] | None:
        """See `ports.EvidenceKept.last_content`."""
        row = self._rows.one(_LAST_CONTENT, {"of": device})
        return (row.id, row.content_sha256) if row is not None else None

    def ids_since(
        self, since_ms: int, *, device: str = "", profile: str = ""
    ) -> list[tuple[str, str]]:
        """See `ports.EvidenceKept.ids_since`."""
        query = select(_EVIDENCE.c.id, _DEVICES.c.zone).join(
            _DEVICES, _DEVICES.c.id == _EVIDENCE.c.device
        )
        query = query.where(_EVIDENCE.c.last_ms >= since_ms)
        query = query.where(_DEVICES.c.id == device) if device else query
        query = query.where(_DEVICES.c.profile == profile) if profile else query
        return [
            (r.id, r.zone)
            for r in self._rows.all(query.order_by(_EVIDENCE.c.device, _EVIDENCE.c.first_ms))
        ]

    def add(self, evidence: KeptEvidence) -> None:
        """New evidence."""
        packed = {
            "proof": zlib.compress(evidence.proof),
            "pcrs": json.dumps(list(evidence.pcrs)),
            "failures": failures_text(evidence.failures),
            "vector": json.dumps(dict(evidence.vector)),
        }
        self._rows.run(insert(_EVIDENCE).values(**{**fields_of(evidence), **packed}))

    def seen_again(self, identifier: str, ear: str, now_ms: int) -> None:
        """The same came once more."""
        self._rows.run(_SEEN_AGAIN, {"of": identifier, "last_ms": now_ms, "ear": ear})

    def prune(self, device: str, before_ms: int) -> None:
        """Forget what was last seen before."""
        self._rows.run(
            delete(_EVIDENCE).where(_EVIDENCE.c.device == device, _EVIDENCE.c.last_ms < before_ms)
        )

    def result(self, identifier: str) -> KeptResult | None:
        """By its id."""
        row = self._rows.one(select(_RESULTS).where(_RESULTS.c.id == identifier))
        return (
            KeptResult(**{**row._mapping, "device": DeviceId(row.device)})
            if row is not None
            else None
        )

    def add_result(self, result: KeptResult) -> None:
        """A new one."""
        self._rows.run(_ADD_RESULT, fields_of(result))

    def boot_log(self, sha256: bytes) -> bytes | None:
        """By its digest."""
        row = self._rows.one(select(_LOGS.c.content).where(_LOGS.c.sha256 == sha256))
        return zlib.decompress(row.content) if row is not None else None

    def keep_boot_log(self, sha256: bytes, log: bytes) -> None:
        """Keep it, once."""
        if self._rows.one(select(_LOGS.c.sha256).where(_LOGS.c.sha256 == sha256)) is None:
            self._rows.run(insert(_LOGS).values(sha256=sha256, content=zlib.compress(log)))

    def ima_list(self, device: str, reset_count: int, restart_count: int, entries: int) -> bytes:
        """See `ports.EvidenceKept.ima_list`."""
        s = _SEGMENTS.c
        query = select(_SEGMENTS).where(
            s.device == device, s.reset_count == reset_count, s.restart_count == restart_count
        )
        out, have = [], 0
        for segment in self._rows.all(query.order_by(s.start)):
            if segment.start != have or have >= entries:
                break
            out.append(zlib.decompress(segment.content))
            have += segment.entries
        return b"".join(out) if have >= entries else b""

    def keep_ima(
        self,
        device: str,
        reset_count: int,
        restart_count: int,
        start: int,
        entries: int,
        content: bytes,
    ) -> None:
        """See `ports.EvidenceKept.keep_ima`."""
        s = _SEGMENTS.c
        same = (s.device == device, s.reset_count == reset_count, s.restart_count == restart_count)
        self._rows.run(delete(_SEGMENTS).where(*same, s.start >= start))
        if start == 0:
            kept = select(_EVIDENCE.c.reset_count).where(_EVIDENCE.c.device == device)
            self._rows.run(
                delete(_SEGMENTS).where(
                    s.device == device, s.reset_count != reset_count, s.reset_count.not_in(kept)
                )
            )
        if entries:
            values = {"device": device, "reset_count": reset_count, "restart_count": restart_count}
            self._rows.run(
                insert(_SEGMENTS).values(
                    **values, start=start, entries=entries, content=zlib.compress(content)
                )
            )

    def has_allowlist(self, sha256: bytes) -> bool:
        """Whether it is kept."""
        return (
            self._rows.one(select(_ALLOWLISTS.c.sha256).where(_ALLOWLISTS.c.sha256 == sha256))
            is not None
        )

    def allowlist(self, sha256: bytes) -> Allowlist | None:
        """See `ports.EvidenceKept.allowlist`."""
        row = self._rows.one(select(_ALLOWLISTS.c.content).where(_ALLOWLISTS.c.sha256 == sha256))
        if row is None:
            return None
        found = parse_allowlist(zlib.decompress(row.content))
        if found.digest != sha256:
            hint = "the store was changed: restore it, or add the file again"
            raise Refused.of(
                Reason.ALLOWLIST, f"the allowlist {sha256.hex()}", found.digest.hex(), hint
            )
        return found

    def add_allowlist(self, content: bytes, now_ms: int) -> Allowlist:
        """See `ports.EvidenceKept.add_allowlist`."""
        parsed = parse_allowlist(content)
        if not self.has_allowlist(parsed.digest):
            values = {
                "sha256": parsed.digest,
                "content": zlib.compress(content),
                "files": parsed.size,
                "added_ms": now_ms,
            }
            self._rows.run(insert(_ALLOWLISTS).values(**values))
        return parsed


def _evidence(r: Row[Any]) -> KeptEvidence:
    unpacked = {
        "device": DeviceId(r.device),
        "proof": zlib.decompress(r.proof),
        "pcrs": tuple(json.loads(r.pcrs)),
        "failures": read_failures(r.failures),
        "vector": read_mapping(r.vector),
    }
    return KeptEvidence(**{**r._mapping, **unpacked})
