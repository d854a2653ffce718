"""Playbooks as the controller keeps them, and what they did or wait for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from framegate.machines.playbook_step import StepEvent, StepState, step


@dataclass(frozen=True, slots=True, kw_only=True)
class EnabledPlaybook:
    """A revision of a playbook, as its signed envelope; the highest one of a name counts. One with
    `ended` puts nothing in force.
    """

    name: str
    revision: int
    sha256: bytes
    envelope: bytes
    mode: str
    ended: bool
    enabled_by: str
    enabled_ms: int
    note: str


class WaitingStep(NamedTuple):
    """What a person is asked for already, or will be: an action on a target, under a revision."""

    revision: int
    action: str
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaybookStep:
    """One step of one run: playbook, revision, trigger (an entry's index) and number are its key,
    under which it is done once at most.

    `at_ms` is the trigger's time, `planned_ms` when it was last decided that it is to be done, and
    `ended_ms` when it came to its end. `request` is the approval it waits for, `why` says what kept
    it back; of a roll-back that was done, the digest of the model that it took out of force.
    """

    playbook: str
    revision: int
    trigger: int
    number: int
    action: str
    target: str
    zone: str
    event: str
    state: StepState
    at_ms: int
    planned_ms: int = 0
    ended_ms: int = 0
    request: str = ""
    why: str = ""

    def after(self, event: StepEvent, now_ms: int, why: str = "") -> PlaybookStep:
        """The step after `event`. Raises Refused (TRANSITION)."""
        state = step(self.state, event)
        planned = now_ms if state == StepState.PLANNED else self.planned_ms
        ended = 0 if state in {StepState.PLANNED, StepState.ASKED} else now_ms
        return replace(self, state=state, planned_ms=planned, ended_ms=ended, why=why or self.why)
