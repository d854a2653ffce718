"""Rollouts of the fleet: which profile is coming for a device, what each has shown.

Time and failures move a rollout on by `tick`, an operator by `change_rollout`.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from framegate.errors import Failure, Reason, Refused
from framegate.machines.lifecycle import State
from framegate.machines.rollout import (
    Plan,
    Rollout,
    RolloutState,
    Seen,
    advance,
    assign,
    classify,
    command,
)
from framegate.profile.signed import LoadedProfile
from framegate.record.fleet_events import RolloutMoved, RolloutStarted
from framegate.record.machine_events import RolloutSeen
from framegate.registry.device import Device
from framegate.registry.rollout import RolloutDevice, RolloutRecord
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.fleet.profiles import load_revision, put_in_force
from framegate_controller.store.ports import CONTROLLER, Moved, Transaction
from framegate_controller.store.shared.firmware import VerifiedProfiles

LIVE: Final = (
    RolloutState.SHADOW,
    RolloutState.RUNNING,
    RolloutState.PAUSED,
    RolloutState.ENFORCED,
)
"""States in which a profile has a rollout under way."""
_TAKEN: Final = frozenset({RolloutState.ENFORCED, RolloutState.RETIRED})


@dataclass(frozen=True, slots=True)
class Revisions:
    """From which revision to which a rollout leads."""

    old: LoadedProfile
    new: LoadedProfile


@dataclass(frozen=True, slots=True)
class Noticed:
    """What evidence is to a rollout: what the device counts as, None where nothing is to be kept.

    `new` is whether the new revision affirms it; `findings` are to be told.
    """

    seen: Seen | None
    new: bool
    findings: tuple[Failure, ...]


@dataclass(frozen=True, slots=True)
class ActiveRollout:
    """A rollout as one device meets it; read, nothing is kept of it yet."""

    record: RolloutRecord
    device: RolloutDevice
    old: LoadedProfile
    new: LoadedProfile

    @property
    def other(self) -> LoadedProfile:
        """The revision not in force that counts for the device too."""
        return self.old if self.record.state == RolloutState.ENFORCED else self.new

    def look(self, affirmed: Mapping[bytes, bool]) -> Noticed:
        """What this device's evidence is to the rollout; nothing is read or written.

        `affirmed` says, by the digest of a profile, whether that affirms it.
        """
        mine, state = self.device, self.record.state
        old, new = affirmed.get(self.old.sha256, False), affirmed.get(self.new.sha256, False)
        if state == RolloutState.ABORTED:
            return Noticed(
                None, new, (self._put_back(),) if mine.seen == Seen.UPDATED and not old else ()
            )
        seen = classify(
            old=old,
            new=new,
            reached=self.record.rollout.reaches(mine.step),
            enforced=state in _TAKEN,
        )
        return Noticed(seen, new, tuple(self._told(seen)))

    def note(self, tx: Transaction, noticed: Noticed) -> None:
        """Keep what was noticed, in the transaction of the evidence; the rollout may pause by it.

        Raises Moved where the rollout is not what it was when it was looked at.
        """
        mine, seen = self.device, noticed.seen
        if tx.rollouts.find(self.record.id) != self.record:
            raise Moved.of_what(f"rollout {self.record.id}")
        if seen is None:
            return
        if seen != mine.seen:
            tx.record(
                RolloutSeen(
                    device=mine.device, rollout=self.record.id, before=mine.seen, after=seen
                ),
                by=CONTROLLER,
            )
        tx.rollouts.put_device(
            replace(mine, seen=seen, shadow="pass" if noticed.new else "fail", at_ms=tx.now_ms)
        )
        tick(tx, self.record)

    def _told(self, seen: Seen) -> list[Failure]:
        if seen == Seen.EARLY:
            turn = self.record.plan.step_name(self.device.step)
            hint = "updated before its turn: no compromise; who updates your machines?"
            return [Failure(Reason.ROLLOUT, f"the new firmware not before {turn}", "early", hint)]
        if seen == Seen.OVERDUE:
            hint = "update this machine; framegate rollout status shows all that are late"
            return [Failure(Reason.ROLLOUT, f"{self.new.label} by now", "overdue", hint)]
        return []

    def _put_back(self) -> Failure:
        expected = f"{self.old.label}: the rollout was aborted"
        return Failure(Reason.ROLLOUT, expected, "the new firmware", "put this machine back")


def latest_rollout(tx: Transaction, profile: str) -> RolloutRecord | None:
    """The latest rollout of `profile`, while it means anything for appraisal."""
    rollout = tx.rollouts.latest(profile)
    return rollout if rollout is not None and rollout.state != RolloutState.RETIRED else None


def load_revisions(
    tx: Transaction,
    keys: FleetKeys,
    record: RolloutRecord,
    verified: VerifiedProfiles | None = None,
) -> Revisions:
    """The two revisions of a rollout. Raises as `load_revision`."""
    return Revisions(
        load_revision(tx, keys, record.profile, record.from_revision, verified),
        load_revision(tx, keys, record.profile, record.to_revision, verified),
    )


def place_in(tx: Transaction, record: RolloutRecord, device: Device) -> RolloutDevice | None:
    """Where `device` stands in a rollout, None where that means nothing for it."""
    mine = tx.rollouts.device(record.id, device.id)
    if mine is None and record.state in LIVE:  # it joined while the rollout ran: last
        return RolloutDevice(
            rollout=record.id, device=device.id, step=record.plan.steps - 1, seen=Seen.WAITING
        )
    if (
        mine is not None
        and record.state == RolloutState.ABORTED
        and mine.seen not in {Seen.UPDATED, Seen.EARLY}
    ):
        return None
    return mine


def start_rollout(tx: Transaction, keys: FleetKeys, name: str, plan: Plan) -> RolloutRecord:
    """Begin to bring the newest imported revision of `name` to its devices.

    Raises Refused: nothing newer, another rollout under way, other PCRs.
    """
    before, after = _next_revision(tx, name)
    running = next(iter(tx.rollouts.in_state(LIVE, name)), None)
    if running is not None:
        hint = f"framegate rollout abort {running.id}, or retire it"
        raise Refused.of(
            Reason.CONFLICT,
            f"no rollout of {name} under way",
            f"{running.id} is {running.state}",
            hint,
        )
    _same_pcrs(load_revision(tx, keys, name, before), load_revision(tx, keys, name, after))
    devices = tx.devices.ids(profile=name, but=[State.RETIRED])
    record = RolloutRecord(
        id=secrets.token_hex(4),
        profile=name,
        from_revision=before,
        to_revision=after,
        plan=plan,
        state=RolloutState.SHADOW if plan.shadow else RolloutState.RUNNING,
        step=0,
        step_ms=tx.now_ms,
        started_ms=tx.now_ms,
        note="shadow: the new revision is only tried"
        if plan.shadow
        else f"{plan.step_name(0)} begins",
    )
    tx.rollouts.put(record)
    steps = assign(record.id, plan, devices)
    for device in devices:
        tx.rollouts.put_device(
            RolloutDevice(rollout=record.id, device=device, step=steps[device], seen=Seen.WAITING)
        )
    tx.raise_firmware_revision()
    tx.record(
        RolloutStarted(
            rollout=record.id,
            profile=name,
            from_revision=before,
            to_revision=after,
            devices=len(devices),
        )
    )
    return record


def _next_revision(tx: Transaction, name: str) -> tuple[int, int]:
    current, newest = tx.profiles.in_force(name), tx.profiles.newest(name)
    if current is None or not newest:
        hint = "framegate profile list"
        raise Refused.of(
            Reason.NOT_FOUND, "a firmware profile of the fleet", ascii(name[:63]), hint
        )
    if newest <= current.revision:
        wanted = f"a revision above {current.revision} that is imported and not in force"
        raise Refused.of(
            Reason.CONFLICT, wanted, "none", "framegate profile import FILE --for-rollout"
        )
    return current.revision, newest


def _same_pcrs(old: LoadedProfile, new: LoadedProfile) -> None:
    if old.profile.selection != new.profile.selection:
        wanted = f"the PCRs of revision {old.profile.revision}: {old.profile.selection.pcrs}"
        hint = "one quote cannot serve both: put the new revision in force at once instead"
        raise Refused.of(Reason.PCR_SELECTION, wanted, str(new.profile.selection.pcrs), hint)


def tick(tx: Transaction, record: RolloutRecord) -> bool:
    """Let time and failures move a rollout on; True where they did."""
    if record.state != RolloutState.RUNNING:
        return False
    after, what = advance(record.rollout, tx.rollouts.failed(record.id, record.step), tx.now_ms)
    if not what:
        return False
    _move(tx, record, after, what, CONTROLLER)
    return True


def tick_all(tx: Transaction) -> bool:
    """Let every running rollout move on; there are never many."""
    return sum(tick(tx, r) for r in tx.rollouts.in_state([RolloutState.RUNNING])) > 0


def change_rollout(tx: Transaction, record: RolloutRecord, verb: str, by: str) -> RolloutRecord:
    """The rollout after an operator's pause, resume, abort, retire. Raises Refused (TRANSITION)."""
    after = command(record.rollout, verb, tx.now_ms)
    if verb == "resume":  # whoever resumes has looked at the failures: they are counted anew
        tx.rollouts.seen_anew(record.id, Seen.FAILED, Seen.WAITING)
    return _move(tx, record, after, f"{verb} by {by}", by)


def _move(
    tx: Transaction, record: RolloutRecord, after: Rollout, what: str, by: str
) -> RolloutRecord:
    moved = replace(record, state=after.state, step=after.step, step_ms=after.step_ms, note=what)
    tx.rollouts.put(moved)
    target = tx.profiles.revision(record.profile, record.to_revision)
    if after.state == RolloutState.ENFORCED and target is not None:
        put_in_force(tx, record.profile, record.to_revision, target.envelope)
    tx.raise_firmware_revision()
    tx.record(RolloutMoved(rollout=record.id, state=after.state, what=what), by=by)
    return moved
