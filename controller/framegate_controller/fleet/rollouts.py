"""Rollouts in the store: which profile is coming for a device, what each device has shown, when a step begins."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from framegate.errors import Failure, Reason, Refused
from framegate.machines.lifecycle import State
from framegate.machines.rollout import Plan, Rollout, RolloutState, Seen, advance, assign, classify, command, parse_plan
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.fleet.profiles import LoadedProfile, load_revision, put_in_force
from framegate_controller.store.registry import record
from framegate_controller.store.tables import Device, Profile, ProfileRevision, RolloutDevice, RolloutRow

_LIVE: Final = (RolloutState.SHADOW, RolloutState.RUNNING, RolloutState.PAUSED, RolloutState.ENFORCED)


@dataclass(frozen=True, slots=True)
class ActiveRollout:
    """A rollout as one device meets it. `other` is the revision not in force that counts for it too, if any."""

    row: RolloutRow
    rollout: Rollout
    device: RolloutDevice
    old: LoadedProfile
    new: LoadedProfile
    other: LoadedProfile | None

    def noticed(self, session: Session, affirmed: dict[bytes, bool], now_ms: int) -> list[Failure]:
        """Note what this device's evidence was, by digest of the profile that affirms it or not; returns findings to tell."""
        old, new = affirmed.get(self.old.sha256, False), affirmed.get(self.new.sha256, False)
        row, state = self.device, self.rollout.state
        if state == RolloutState.ABORTED:
            back = row.seen == Seen.UPDATED and not old
            return [Failure(Reason.ROLLOUT, f"{self.old.words}: the rollout was aborted", "the new firmware", "put this machine back")] if back else []
        seen = classify(old=old, new=new, reached=self.rollout.reaches(row.step), enforced=state in {RolloutState.ENFORCED, RolloutState.RETIRED})
        if seen != row.seen:
            record(session, now_ms, row.device, "rollout", "controller", f"{self.row.id}: {row.seen} -> {seen}")
        row.seen, row.shadow, row.at_ms = seen, "pass" if new else "fail", now_ms
        tick(session, self.row, now_ms)
        if seen == Seen.EARLY:
            turn = self.rollout.plan.step_name(row.step)
            return [Failure(Reason.ROLLOUT, f"the new firmware not before {turn}", "early", "updated before its turn: no compromise; who updates your machines?")]
        if seen == Seen.OVERDUE:
            return [Failure(Reason.ROLLOUT, f"{self.new.words} by now", "overdue", "update this machine; framegate rollout status shows all that are late")]
        return []


def as_rollout(row: RolloutRow) -> Rollout:
    """The state machine's view of a row."""
    return Rollout(row.id, parse_plan(row.plan), RolloutState(row.state), row.step, row.step_ms)


def active_rollout(session: Session, keys: FleetKeys, device: Device) -> ActiveRollout | None:
    """The latest rollout of the device's profile, where it still means something for this device."""
    row = session.scalars(select(RolloutRow).where(RolloutRow.profile == device.profile).order_by(RolloutRow.started_ms.desc()).limit(1)).one_or_none()
    if row is None or row.state == RolloutState.RETIRED:
        return None
    mine = session.get(RolloutDevice, (row.id, device.id))
    if mine is None:
        if row.state not in _LIVE:
            return None
        mine = RolloutDevice(rollout=row.id, device=device.id, step=parse_plan(row.plan).steps - 1, seen=Seen.WAITING, at_ms=0)  # joined while it ran: last
        session.add(mine)
    if row.state == RolloutState.ABORTED and mine.seen not in {Seen.UPDATED, Seen.EARLY}:
        return None
    old, new = load_revision(session, keys, row.profile, row.from_revision), load_revision(session, keys, row.profile, row.to_revision)
    enforced = row.state == RolloutState.ENFORCED
    return ActiveRollout(row, as_rollout(row), mine, old, new, old if enforced else new)


def start_rollout(session: Session, keys: FleetKeys, name: str, plan: Plan, actor: str, now_ms: int) -> RolloutRow:
    """Begin to bring the newest imported revision of `name` to its devices. Raises Refused: nothing newer, another rollout under way, other PCRs."""
    current = session.get(Profile, name)
    newest = session.scalars(select(ProfileRevision.revision).where(ProfileRevision.name == name).order_by(ProfileRevision.revision.desc()).limit(1)).one_or_none()
    if current is None or newest is None:
        raise Refused.of(Reason.NOT_FOUND, "a firmware profile of the fleet", ascii(name[:63]), "framegate profile list")
    if newest <= current.revision:
        raise Refused.of(Reason.CONFLICT, f"a revision above {current.revision} that is imported and not in force", "none", "framegate profile import FILE --for-rollout")
    running = session.scalars(select(RolloutRow).where(RolloutRow.profile == name, RolloutRow.state.in_([s.value for s in _LIVE]))).first()
    if running is not None:
        raise Refused.of(Reason.CONFLICT, f"no rollout of {name} under way", f"{running.id} is {running.state}", f"framegate rollout abort {running.id}, or retire it")
    old, new = load_revision(session, keys, name, current.revision), load_revision(session, keys, name, newest)
    if old.profile.selection != new.profile.selection:
        raise Refused.of(
            Reason.PCR_SELECTION, f"the PCRs of revision {current.revision}: {old.profile.selection.pcrs}", str(new.profile.selection.pcrs),
            "one quote cannot serve both: put the new revision in force at once instead",
        )  # fmt: skip
    devices = session.scalars(select(Device.id).where(Device.profile == name, Device.state != State.RETIRED)).all()
    identifier = secrets.token_hex(4)
    state = RolloutState.SHADOW if plan.shadow else RolloutState.RUNNING
    row = RolloutRow(
        id=identifier, profile=name, from_revision=current.revision, to_revision=newest, plan=plan.marshal(), state=state, step=0, step_ms=now_ms, started_ms=now_ms,
        note="shadow: the new revision is only tried" if plan.shadow else f"{plan.step_name(0)} begins",
    )  # fmt: skip
    session.add(row)
    for device, step in assign(identifier, plan, devices).items():
        session.add(RolloutDevice(rollout=identifier, device=device, step=step, seen=Seen.WAITING, at_ms=0))
    record(session, now_ms, "", "rollout-started", actor, f"{identifier}: {name} revision {current.revision} -> {newest}, {len(devices)} devices")
    return row


def tick(session: Session, row: RolloutRow, now_ms: int) -> bool:
    """Let time and failures move a rollout on; True where they did."""
    rollout = as_rollout(row)
    if rollout.state != RolloutState.RUNNING:
        return False
    session.flush()
    failed = select(func.count()).select_from(RolloutDevice).where(RolloutDevice.rollout == row.id, RolloutDevice.seen == Seen.FAILED, RolloutDevice.step <= row.step)
    after, words = advance(rollout, session.scalars(failed).one(), now_ms)
    if not words:
        return False
    _apply(session, row, after, words, "controller", now_ms)
    return True


def change_rollout(session: Session, row: RolloutRow, verb: str, actor: str, now_ms: int) -> None:
    """An operator's pause, resume, abort or retire. Raises Refused (TRANSITION)."""
    after = command(as_rollout(row), verb, now_ms)
    if verb == "resume":  # whoever resumes has looked at the failures: they are counted anew
        for device in session.scalars(select(RolloutDevice).where(RolloutDevice.rollout == row.id, RolloutDevice.seen == Seen.FAILED)).all():
            device.seen = Seen.WAITING
    _apply(session, row, after, f"{verb} by {actor}", actor, now_ms)


def _apply(session: Session, row: RolloutRow, after: Rollout, words: str, actor: str, now_ms: int) -> None:
    row.state, row.step, row.step_ms, row.note = after.state, after.step, after.step_ms, words
    if after.state == RolloutState.ENFORCED:
        target = session.get(ProfileRevision, (row.profile, row.to_revision))
        if target is not None:
            put_in_force(session, row.profile, row.to_revision, target.envelope, now_ms)
    record(session, now_ms, "", f"rollout-{after.state}", actor, f"{row.id}: {words}")


def tick_all(session: Session, now_ms: int) -> bool:
    """Let every running rollout move on; there are never many."""
    rows = session.scalars(select(RolloutRow).where(RolloutRow.state == RolloutState.RUNNING)).all()
    return sum(tick(session, row, now_ms) for row in rows) > 0
