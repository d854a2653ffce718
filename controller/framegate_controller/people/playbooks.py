"""Playbooks in force: signed beside the access policy, verified before they count, stopped at
once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from framegate.access.caller import OPERATOR_PREFIX, PlaybookCaller
from framegate.errors import Reason, Refused
from framegate.machines.playbook_step import StepEvent, StepState
from framegate.playbooks.playbook import Playbook
from framegate.playbooks.statement import PlaybookStatement, verify_playbook
from framegate.record.playbook_events import PlaybookDisabled, PlaybookEnabled, PlaybookExpired
from framegate.registry.playbook import EnabledPlaybook
from framegate.wire import sha256
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.people.operators import enrolled
from framegate_controller.store.ports import CONTROLLER, Transaction
from framegate_controller.store.shared.versions import next_version

RUN: Final = "playbook.run"
"""The verb that others approve where a playbook asks."""
MAX_NOTE: Final = 500
MAX_PLAYBOOKS: Final = 64
"""In force at once; every entry of the record is held against each."""
MOST_STEPS: Final = 10_000
"""Steps of one playbook that are read at once."""


@dataclass(frozen=True, slots=True)
class ActingPlaybook:
    """A playbook that asks to do a step: the engine's word, which `playbook_caller` checks.
    `request` is the approval it acts on beside its own, where a person was asked.
    """

    name: str
    revision: int
    request: str = ""


def enable_playbook(
    tx: Transaction, keys: FleetKeys, playbook: Playbook, *, base: int, note: str
) -> EnabledPlaybook:
    """Put a playbook in force, in the name of who acts.

    1. `base` is the revision that is kept, 0 for a new one: whoever changed another one meanwhile
    is not overwritten; 2. not more than `MAX_PLAYBOOKS` run; 3. it is signed under the next
    revision. Raises Refused (CONFLICT, TOO_LARGE).
    """
    kept = tx.playbooks.newest(playbook.name)
    revision = kept.revision if kept is not None else 0
    if base != revision:  # 1
        wanted, hint = f"a change of revision {revision}", "framegate playbook list"
        raise Refused.of(Reason.CONFLICT, wanted, f"one of revision {base}", hint)
    running = {p.name for p in tx.playbooks.all() if not p.ended}
    if len(running | {playbook.name}) > MAX_PLAYBOOKS:  # 2
        hint = "framegate playbook disable NAME"
        raise Refused.of(Reason.TOO_LARGE, f"at most {MAX_PLAYBOOKS} playbooks", len(running), hint)
    enabled = _signed(tx, keys, playbook.name, playbook.text, playbook.mode.value, note)  # 3
    if kept is not None:
        _drop_waiting(tx, playbook.name, "another revision is in force")
    tx.record(
        PlaybookEnabled(
            playbook=playbook.name,
            revision=enabled.revision,
            mode=enabled.mode,
            sha256=enabled.sha256,
            note=enabled.note,
        )
    )
    return enabled


def disable_playbook(tx: Transaction, keys: FleetKeys, name: str, why: str) -> EnabledPlaybook:
    """Stop a playbook; what it had not done yet is not done. Raises Refused (NOT_FOUND,
    CONFLICT).
    """
    kept = _kept(tx, name)
    if kept.ended:
        raise Refused.of(Reason.CONFLICT, f"{name} in force", "it was stopped before")
    ended = _signed(tx, keys, name, "", kept.mode, why)
    tx.record(PlaybookDisabled(playbook=name, revision=ended.revision, why=ended.note))
    _drop_waiting(tx, name, "the playbook was stopped")
    return ended


def statement_of(kept: EnabledPlaybook, keys: FleetKeys) -> PlaybookStatement:
    """What a kept revision says, verified. Raises Malformed or Refused."""
    return verify_playbook(kept.envelope, kept.name, kept.revision, keys.root.certificate)


def standing_people(tx: Transaction, statement: PlaybookStatement) -> tuple[str, ...]:
    """Of those who put it in force and approved it, who are there, enabled, and able to sign in.
    That the policy let them, it said then; a role that was theirs for an hour may be over.
    """
    people = (tx.people.get(n) for n in sorted({statement.enabled_by, *statement.approvers}))
    return tuple(p.name for p in people if p is not None and p.enabled and enrolled(tx, p))


def playbook_caller(tx: Transaction, acting: ActingPlaybook, keys: FleetKeys) -> PlaybookCaller:
    """The playbook that acts, as the access policy is asked.

    1. this revision is the newest of its name, and did not end; 2. its signature holds; 3. only
    people who still stand are its approvers. Raises Malformed or Refused (PLAYBOOK).
    """
    kept = tx.playbooks.newest(acting.name)
    if kept is None or kept.ended or kept.revision != acting.revision:  # 1
        wanted = f"playbook {acting.name} revision {acting.revision} in force"
        raise Refused.of(Reason.PLAYBOOK, wanted, "it is not", "framegate playbook list")
    statement = statement_of(kept, keys)  # 2
    people = standing_people(tx, statement)  # 3
    return PlaybookCaller(
        name=acting.name,
        roles=(),
        session=b"",
        factor_ms=kept.enabled_ms,
        break_glass=False,
        source="",
        mode=kept.mode,
        approvers=people,
        request=acting.request,
    )


def _kept(tx: Transaction, name: str) -> EnabledPlaybook:
    kept = tx.playbooks.newest(name)
    if kept is None:
        hint = "framegate playbook list"
        raise Refused.of(Reason.NOT_FOUND, "a playbook's name", ascii(name[:63]), hint)
    return kept


def _signed(
    tx: Transaction, keys: FleetKeys, name: str, text: str, mode: str, note: str
) -> EnabledPlaybook:
    signer, act, kept = keys.signing["policy"], tx.act, tx.playbooks.newest(name)
    by = act.actor if act is not None else CONTROLLER
    statement = PlaybookStatement(
        name=name,
        revision=next_version(tx, kept.revision if kept is not None else 0),
        text=text,
        enabled_by=by.removeprefix(OPERATOR_PREFIX),
        approvers=act.approved_by if act is not None else (),
        enabled_at_ms=tx.now_ms,
    )
    enabled = EnabledPlaybook(
        name=name,
        revision=statement.revision,
        sha256=sha256(text.encode()),
        envelope=statement.seal(signer.der, signer.sign),
        mode=mode,
        ended=not text,
        enabled_by=by,
        enabled_ms=tx.now_ms,
        note=note[:MAX_NOTE],
    )
    tx.playbooks.add(enabled)
    return enabled


def _drop_waiting(tx: Transaction, name: str, why: str) -> None:
    waiting = (StepState.PLANNED, StepState.HELD, StepState.ASKED)
    dropped = 0
    while steps := tx.playbooks.in_state(waiting, MOST_STEPS, name):
        for step in steps:
            tx.playbooks.put(step.after(StepEvent.EXPIRE, tx.now_ms, why))
        dropped += len(steps)
    if dropped:
        tx.record(PlaybookExpired(playbook=name, steps=dropped, why=why))
