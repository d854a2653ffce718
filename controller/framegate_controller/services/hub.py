"""Tells watchers and gateways at once what has been committed: wake-ups for agents, trust updates for relying parties."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable
from typing import Final, TypeVar

from sqlalchemy import select

from framegate.lifecycle import Event as Edge
from framegate.lifecycle import State
from framegate_controller.store.database import Database
from framegate_controller.store.registry import change_state
from framegate_controller.store.tables import Device, Revision
from framegate_controller.timing import Timing
from framegate_controller.verifier.rollouts import tick_all
from framegate_proto.v1 import framegate_pb2 as pb

log = logging.getLogger(__name__)
F = TypeVar("F")
ROLLOUT_TICK_S: Final = 1.0
QUEUE: Final = 1024
"""Events a slow watcher may lag behind before it is cut off and starts again from a snapshot."""


class Hub:
    """Subscriptions of one controller process, and the timers that make silent devices stale."""

    def __init__(self, database: Database, timing: Timing, controller: str, clock: Callable[[], int]) -> None:
        self.database, self.timing, self.controller, self.clock = database, timing, controller, clock
        self.watchers: dict[str, set[asyncio.Queue[pb.WatchEvent]]] = defaultdict(set)
        self.feeds: dict[str, set[asyncio.Queue[pb.TrustUpdate]]] = defaultdict(set)
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._rolling: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Arm the timers of devices that were trusted when the last controller stopped."""
        for device, result_ms in await asyncio.to_thread(self._trusted):
            self._arm(device, result_ms)
        self._rolling = asyncio.get_running_loop().create_task(self._rollouts())

    async def _rollouts(self) -> None:
        """Let rollouts move on, a look a second at the few that run."""
        while True:
            await asyncio.sleep(ROLLOUT_TICK_S)
            try:
                await asyncio.to_thread(self._tick)
            except Exception:  # a store that is busy for once must not end every rollout's clock
                log.exception("rollouts: not moved on")

    def _tick(self) -> None:
        with self.database.transaction() as session:
            tick_all(session, self.clock())

    def stop(self) -> None:
        """Cancel every timer."""
        if self._rolling is not None:
            self._rolling.cancel()
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
        remaining = max(0, row.result_expires_ms - self.clock()) if row.state == State.TRUSTED else 0
        return pb.DeviceTrust(
            device=row.id, state=row.state, result_id=row.result_id, remaining_ms=remaining, spki_sha256=row.tls_spki_sha256 or b"",
            evidence_sha256=row.evidence_sha256, firmware_profile=row.appraised_profile, firmware_profile_sha256=row.appraised_profile_sha256,
        )  # fmt: skip

    def snapshot(self, zone: str) -> pb.TrustUpdate:
        """Every device of `zone`, at one revision."""
        with self.database.transaction() as session:
            revision = session.scalars(select(Revision.value)).one()
            rows = session.scalars(select(Device).where(Device.zone == zone)).all()
            return pb.TrustUpdate(revision=revision, snapshot=True, devices=[self.trust(r) for r in rows], controller=self.controller, now_ms=self.clock())

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
            change_state(session, row, Edge.LATE, "controller", now, f"no result for {(now - row.result_ms) / 1000:.0f} s")
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
