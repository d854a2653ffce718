"""A step as a verb: the same verb that an operator would ask for, done once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Final

from framegate.access.caller import PlaybookCaller
from framegate.errors import Reason, Refused
from framegate.identity.names import Kind, Zone
from framegate.machines.playbook_step import StepEvent, StepState
from framegate.playbooks.actions import NATURES, Action, On, undo_command
from framegate.playbooks.playbook import Never
from framegate.playbooks.site import is_last_camera
from framegate.playbooks.statement import in_force_of
from framegate.record.playbook_events import PlaybookStepDone
from framegate.registry.playbook import PlaybookStep
from framegate_controller.people.authority import Aim
from framegate_controller.people.playbooks import statement_of
from framegate_controller.store.ports import Transaction
from framegate_controller.verbs.devices import Change, ChangeDevice
from framegate_controller.verbs.people import DisableOperator
from framegate_controller.verbs.pins import RollBackModel
from framegate_controller.verbs.responses import EndSessions, KeepEvidence, Tell
from framegate_controller.verbs.verb import Call, Outcome, Verb
from framegate_controller.verbs.zones import FreezeZone


def why_of(step: PlaybookStep) -> str:
    """What entries give as the reason."""
    return f"playbook {step.playbook}, for entry {step.trigger}: {step.event}"


Maker = Callable[[PlaybookStep, str], Verb[Any]]
_VERBS: Final[Mapping[Action, Maker]] = MappingProxyType(
    {
        Action.QUARANTINE: lambda s, why: ChangeDevice(s.target, Change.QUARANTINE, why),
        Action.ATTEST_NOW: lambda s, why: ChangeDevice(s.target, Change.ATTEST_NOW, why),
        Action.FREEZE_ZONE: lambda s, why: FreezeZone(Zone(s.target), frozen=True, why=why),
        Action.DISABLE_OPERATOR: lambda s, why: DisableOperator(s.target, why),
        Action.END_SESSIONS: lambda s, why: EndSessions(s.target, why),
        Action.ROLL_BACK_MODEL: lambda s, _: RollBackModel(Zone(s.target), ""),
        Action.KEEP_EVIDENCE: lambda s, _: KeepEvidence(s.target),
        Action.NOTIFY: lambda s, why: Tell(Action.NOTIFY, s.target, s.trigger, why),
        Action.OPEN_INCIDENT: lambda s, why: Tell(Action.OPEN_INCIDENT, s.target, s.trigger, why),
    }
)


@dataclass(frozen=True, slots=True)
class DoStep(Verb[None]):
    """A step, done in the transaction in which it was allowed and marked as done.

    1. it is planned still: whoever did it before, in a process that was killed, left it done;
    2. what is never touched is not, as things are now; 3. the verb; 4. it is done, and says so.
    """

    step: PlaybookStep

    WRITES: ClassVar[bool] = True

    @property
    def verb(self) -> Verb[Any]:
        """What an operator would ask for."""
        return _VERBS[Action(self.step.action)](self.step, why_of(self.step))

    @property
    def reason(self) -> str:
        """See `Verb.reason`."""
        return why_of(self.step)

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        return self.verb.aim(tx)

    def run(self, tx: Transaction, call: Call) -> Outcome[None]:
        """See `Verb.run`."""
        step = tx.playbooks.step(self.step)
        if step is None or step.state != StepState.PLANNED:  # 1
            stands = "unknown" if step is None else step.state
            raise Refused.of(Reason.CONFLICT, "a step that is planned", stands)
        _require_touchable(tx, step, call)  # 2
        action, model = Action(step.action), ""
        if action == Action.ROLL_BACK_MODEL and (pin := tx.models.pin(step.target)) is not None:
            model = pin.digest
        outcome = self.verb.run(tx, call)  # 3
        tx.playbooks.put(step.after(StepEvent.DO, tx.now_ms, model))  # 4
        tx.record(
            PlaybookStepDone(
                playbook=step.playbook,
                revision=step.revision,
                trigger=step.trigger,
                step=step.number,
                action=step.action,
                target=step.target,
                undo=undo_command(action, step.target, model),
            )
        )
        return Outcome(None, outcome.tell)


def _require_touchable(tx: Transaction, step: PlaybookStep, call: Call) -> None:
    """Raises Refused (POLICY_DENIED)."""
    kept = tx.playbooks.revision(step.playbook, step.revision)
    in_force = kept and in_force_of(statement_of(kept, call.fleet.keys))
    assert in_force and isinstance(call.caller, PlaybookCaller)  # noqa: S101 - the caller stands
    action, never = Action(step.action), in_force.playbook.never
    why = ""
    if action == Action.QUARANTINE and Never.LAST_CAMERA in never:
        machine = tx.devices.find(step.target)
        here = [c for c in tx.devices.census() if (c.zone, c.kind) == (machine.zone, Kind.CAMERA)]
        cameras = {c.state.value: c.count for c in here}
        last = is_last_camera(machine.kind, machine.state, cameras)
        why = f"the last camera of {machine.zone}" if last else ""
    if NATURES[action].on == On.OPERATOR:
        sessions = tx.people.sessions(tx.now_ms, step.target)
        broke = any(s.break_glass for s in sessions)
        approves = step.target in in_force.people | set(call.allowed.act.approved_by)
        why = "broke the glass" if broke else "an approver" if approves else ""
    if why:
        raise Refused.of(Reason.POLICY_DENIED, "what a playbook may touch", why, "do it by hand")
