"""Tells watchers and gateways at once what has been committed: wake-ups for agents, trust updates for relying parties."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from framegate.access.questions import device_facts
from framegate.errors import FramegateError
from framegate.machines.lifecycle import Event as Edge
from framegate.machines.lifecycle import State
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.ca.rotation import tick as tick_ca
from framegate_controller.fleet.rollouts import tick_all
from framegate_controller.people.operators import quorum, roles_now
from framegate_controller.people.policies import current_row
from framegate_controller.record.ledger import checkpoint
from framegate_controller.store.database import Database
from framegate_controller.store.inspection import all_parts, pin_in_force
from framegate_controller.store.registry import change_state, raise_revision, record
from framegate_controller.store.tables import AccessRequest, Device, OperatorRow, OperatorSession, Revision, ZoneRow
from framegate_controller.timing import Timing
from framegate_host.witness_file import write_head
from framegate_proto.v1 import framegate_pb2 as pb

log = logging.getLogger(__name__)
F = TypeVar("F")
ROLLOUT_TICK_S: Final = 1.0
HOUSEKEEPING_S: Final = 2.0
"""Ended roles and maintenance are over by the clock at once; this only says so, and moves CAs on."""
HEADS_WHOLE_MS: Final = 86_400_000
HEAD_EVERY_MS: Final = 3_600_000
"""Heads of the log are kept whole for a day, then one an hour."""
QUEUE: Final = 1024
"""Events a slow watcher may lag behind before it is cut off and starts again from a snapshot."""


class Hub:
    """Subscriptions of one controller process, and the timers that make silent devices stale."""

    def __init__(self, database: Database, timing: Timing, controller: str, clock: Callable[[], int], keys: FleetKeys | None = None, state: Path | None = None) -> None:
        self.database, self.timing, self.controller, self.clock, self.keys, self.state = database, timing, controller, clock, keys, state
        self.watchers: dict[str, set[asyncio.Queue[pb.WatchEvent]]] = defaultdict(set)
        self.feeds: dict[str, set[asyncio.Queue[pb.TrustUpdate]]] = defaultdict(set)
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._rolling: list[asyncio.Task[None]] = []
        self.witnesses: list[Path] = []
        self._thinned_ms = 0

    @property
    def key_folder(self) -> Path:
        """Where the fleet's keys lie."""
        assert self.state is not None  # noqa: S101 - given wherever CAs are steered
        return self.state / "keys"

    async def start(self) -> None:
        """Arm the timers of devices that were trusted when the last controller stopped."""
        for device, result_ms in await asyncio.to_thread(self._trusted):
            self._arm(device, result_ms)
        self._rolling = [asyncio.get_running_loop().create_task(work()) for work in (self._rollouts, self._minutes)]

    async def _rollouts(self) -> None:
        """Let rollouts move on, a look a second at the few that run."""
        while True:
            await asyncio.sleep(ROLLOUT_TICK_S)
            try:
                await asyncio.to_thread(self._tick)
            except Exception:  # a store that is busy for once must not end every rollout's clock
                log.exception("rollouts: not moved on")

    async def _minutes(self) -> None:
        """What has to happen now and then: CAs on their way, ended maintenance, ended roles, a head of the log kept outside the store."""
        while True:
            await asyncio.sleep(HOUSEKEEPING_S)
            try:
                moved, ended, people = await asyncio.to_thread(self._keep_house)
                for device in ended:
                    await self.changed(device)
                if moved or people:
                    await self.access_changed()
                if moved:
                    await self.attest_everybody()
            except Exception:  # one failure must not end it
                log.exception("housekeeping")

    def _keep_house(self) -> tuple[list[str], list[str], bool]:
        """(CAs that moved on, devices whose maintenance ended, whether somebody's role ended)."""
        with self.database.transaction() as session:
            now = self.clock()
            ended, people = [], False
            for row in session.scalars(select(Device).where(Device.maintenance_until_ms != 0, Device.maintenance_until_ms <= now)).all():
                row.maintenance_until_ms, row.maintenance = 0, ""
                record(session, now, row.id, "maintenance-ended", "controller", "its time is over")
                ended.append(row.id)
            for request in session.scalars(select(AccessRequest).where(AccessRequest.role != "", AccessRequest.state == "approved", AccessRequest.until_ms <= now)).all():
                request.state, people = "ended", True
                record(session, now, "", "role-ended", "controller", f"{request.id}: {request.requester}, {request.summary}")
            moved = tick_ca(session, self.keys, self.state / "keys", self.timing, now) if self.keys is not None and self.state is not None else []
            if ended or moved or people:
                raise_revision(session)
            head = checkpoint(session.info["tx"], self.keys) if self.keys is not None else b""
            if now - self._thinned_ms > HEAD_EVERY_MS:
                session.info["tx"].log.thin_heads(now - HEADS_WHOLE_MS, HEAD_EVERY_MS)
                self._thinned_ms = now
        for path in self.witnesses if head else ():
            try:
                write_head(path, head)
            except (OSError, FramegateError) as error:  # another machine's disk may be away, or the file damaged; the log, and this task, go on
                log.error("witness %s: %s", path, error)
        return moved, ended, people

    def _tick(self) -> None:
        with self.database.transaction() as session:
            tick_all(session, self.clock())

    def stop(self) -> None:
        """Cancel every timer."""
        for task in self._rolling:
            task.cancel()
        for timer in self._timers.values():
            timer.cancel()

    async def changed(self, device: str) -> None:
        """A device's row was committed: tell its watcher, its zone's gateways and, for a gateway host, its zone's cameras."""
        row, revision = await asyncio.to_thread(self._read, device)
        if row is None:
            return
        if row.state == State.TRUSTED:
            self._arm(device, row.result_ms)
        update = pb.TrustUpdate(revision=revision, devices=[self.trust(row)], controller=self.controller, now_ms=self.clock())
        for feed in list(self.feeds[row.zone]):
            self._put(self.feeds[row.zone], feed, update)
        self.tell(device, pb.WatchEvent(kind=pb.WatchEvent.STATE, state=row.state))
        if row.kind == "gateway":
            event = pb.WatchEvent(kind=pb.WatchEvent.GRANTS_CHANGED, revoked_publics=[] if row.state == State.TRUSTED else [device])
            for camera in await asyncio.to_thread(self._cameras, row.zone):
                self.tell(camera, event)

    def tell(self, device: str, event: pb.WatchEvent) -> None:
        """Send `event` to whoever watches as `device`."""
        for queue in list(self.watchers.get(device, ())):
            self._put(self.watchers[device], queue, event)

    def trust(self, row: Device) -> pb.DeviceTrust:
        """A device's trust as relying parties see it: nothing remains unless it is trusted."""
        now = self.clock()
        remaining = max(0, row.result_expires_ms - now) if row.state == State.TRUSTED else 0
        return pb.DeviceTrust(
            facts=json.dumps(facts_of(row, now)), device=row.id, state=row.state, result_id=row.result_id, remaining_ms=remaining, spki_sha256=row.tls_spki_sha256 or b"",
            evidence_sha256=row.evidence_sha256, firmware_profile=row.appraised_profile, firmware_profile_sha256=row.appraised_profile_sha256,
        )  # fmt: skip

    def snapshot(self, zone: str) -> pb.TrustUpdate:
        """Every device of `zone`, at one revision."""
        with self.database.transaction() as session:
            revision = session.scalars(select(Revision.value)).one()
            rows = session.scalars(select(Device).where(Device.zone == zone)).all()
            return pb.TrustUpdate(
                revision=revision, snapshot=True, devices=[self.trust(r) for r in rows], controller=self.controller, now_ms=self.clock(), access=self._access(session, zone),
                parts=pb.PartsUpdate(parts=all_parts(session)),
            )  # fmt: skip

    async def access_changed(self, *, grants: bool = False) -> None:
        """People, policy or a zone's rule changed and are committed: tell every gateway; and cameras, where `grants` may fall otherwise."""
        for zone in [z for z, feeds in self.feeds.items() if feeds]:
            update = await asyncio.to_thread(self._access_update, zone)
            for feed in list(self.feeds[zone]):
                self._put(self.feeds[zone], feed, update)
        for device in await asyncio.to_thread(self._all_cameras) if grants else ():
            self.tell(device, pb.WatchEvent(kind=pb.WatchEvent.GRANTS_CHANGED))

    async def part_changed(self, envelope: bytes) -> None:
        """A part changed and is committed: tell every gateway of it."""
        update = await asyncio.to_thread(self.heartbeat)
        update.parts.parts.append(envelope)
        for feeds in list(self.feeds.values()):
            for feed in list(feeds):
                self._put(feeds, feed, update)

    async def attest_everybody(self) -> None:
        """Ask every machine that listens for fresh evidence."""
        for device in list(self.watchers):
            self.tell(device, pb.WatchEvent(kind=pb.WatchEvent.ATTEST_NOW))

    def _access_update(self, zone: str) -> pb.TrustUpdate:
        with self.database.transaction() as session:
            revision = session.scalars(select(Revision.value)).one()
            return pb.TrustUpdate(revision=revision, controller=self.controller, now_ms=self.clock(), access=self._access(session, zone))

    def _access(self, session: Session, zone: str) -> pb.AccessUpdate:
        """Policy, people and the zone's rule, as its gateways are told."""
        now, rule, policy = self.clock(), session.get(ZoneRow, zone), current_row(session)
        sessions: dict[str, list[OperatorSession]] = defaultdict(list)
        for row in session.scalars(select(OperatorSession).where(OperatorSession.ended_ms == 0, OperatorSession.expires_ms > now)).all():
            sessions[row.operator].append(row)
        people = []
        for person in session.scalars(select(OperatorRow).where(OperatorRow.enabled).order_by(OperatorRow.name)).all():
            held = [pb.SessionTrust(spki_sha256=s.spki_sha256, expires_ms=s.expires_ms, factor_ms=s.factor_ms, break_glass=bool(s.break_glass)) for s in sessions[person.name]]
            people.append(pb.OperatorTrust(name=person.name, roles=[str(r) for r in roles_now(session, person, now)], sessions=held))
        return pb.AccessUpdate(
            policy=policy.envelope if policy else b"", operators=people, quorum=quorum(session), grace=bool(rule and rule.grace), frozen=bool(rule and rule.frozen),
            authorities=self.keys.authorities if self.keys else [], model_pin=pin_in_force(session, zone),
        )  # fmt: skip

    def _all_cameras(self) -> list[str]:
        with self.database.transaction() as session:
            return list(session.scalars(select(Device.id).where(Device.kind == "camera", Device.state == State.TRUSTED)).all())

    def heartbeat(self) -> pb.TrustUpdate:
        """The present revision and nothing else."""
        with self.database.transaction() as session:
            return pb.TrustUpdate(revision=session.scalars(select(Revision.value)).one(), controller=self.controller, now_ms=self.clock())

    def _put(self, group: set[asyncio.Queue[F]], queue: asyncio.Queue[F], item: F) -> None:
        try:
            queue.put_nowait(item)
        except asyncio.QueueFull:
            group.discard(queue)  # its stream notices, ends, and the peer comes back for a snapshot

    def _arm(self, device: str, result_ms: int) -> None:
        if (old := self._timers.pop(device, None)) is not None:
            old.cancel()
        delay = max(0.0, (result_ms + self.timing.stale_ms - self.clock()) / 1000)
        self._timers[device] = asyncio.get_running_loop().call_later(delay, self._late, device)

    def _late(self, device: str) -> None:
        task = asyncio.get_running_loop().create_task(self._make_stale(device))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _make_stale(self, device: str) -> None:
        stale, due_from_ms = await asyncio.to_thread(self._stale_now, device)
        if stale:
            await self.changed(device)
        elif due_from_ms:  # the timer fired a breath early, or a result came in between: without a new one the device would never be stale
            self._arm(device, due_from_ms)

    def _stale_now(self, device: str) -> tuple[bool, int]:
        """(whether the device was made stale, else when its last result came, 0 where it is not trusted)."""
        with self.database.transaction() as session:
            row, now = session.get(Device, device), self.clock()
            if row is None or row.state != State.TRUSTED:
                return False, 0
            if row.result_ms + self.timing.stale_ms > now:
                return False, row.result_ms
            serviced = ", expected: in maintenance" if row.maintenance_until_ms > now else ""
            change_state(session, row, Edge.LATE, "controller", now, f"no result for {(now - row.result_ms) / 1000:.0f} s{serviced}")
            return True, 0

    def _trusted(self) -> list[tuple[str, int]]:
        with self.database.transaction() as session:
            return [(r.id, r.result_ms) for r in session.scalars(select(Device).where(Device.state == State.TRUSTED)).all()]

    def _read(self, device: str) -> tuple[Device | None, int]:
        with self.database.transaction() as session:
            return session.get(Device, device), session.scalars(select(Revision.value)).one()

    def _cameras(self, zone: str) -> list[str]:
        with self.database.transaction() as session:
            return list(session.scalars(select(Device.id).where(Device.zone == zone, Device.kind == "camera")).all())


def facts_of(row: Device, now_ms: int) -> dict[str, Any]:
    """What the access policy may ask of a device."""
    return device_facts(
        device=row.id, kind=row.kind, zone=row.zone, name=row.name, state=row.state, maintenance=row.maintenance_until_ms > now_ms, profile=row.profile,
        vector=json.loads(row.vector), posture=json.loads(row.posture) if row.posture else {},
    )  # fmt: skip
