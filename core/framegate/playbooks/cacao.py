"""A playbook as CACAO 2.0 JSON (OASIS, Committee Specification 01, 27 November 2023), for exchange.

One way only: nothing here reads CACAO. What CACAO has no words for (caps, cooldown, mode, what is
never touched) stands in the description, and the whole text in an external reference's.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, Final

from framegate.playbooks.actions import NATURES, Action
from framegate.playbooks.playbook import Playbook

_SPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, "urn:framegate:playbook:v1")
"""Ids are derived from names, so that the same playbook gets the same ones."""
_MADE: Final = "2026-01-01T00:00:00.000Z"
"""A playbook's file bears no date, and the same file exports to the same bytes."""
_TYPES: Final[Mapping[Action, str]] = {
    Action.QUARANTINE: "mitigation",
    Action.ATTEST_NOW: "investigation",
    Action.FREEZE_ZONE: "mitigation",
    Action.DISABLE_OPERATOR: "mitigation",
    Action.END_SESSIONS: "mitigation",
    Action.ROLL_BACK_MODEL: "remediation",
    Action.KEEP_EVIDENCE: "investigation",
    Action.NOTIFY: "notification",
    Action.OPEN_INCIDENT: "notification",
}
"""`playbook-type-ov` and `playbook-activity` values of the actions (CACAO 2.0, 3.1.1)."""


def cacao_of(playbook: Playbook) -> dict[str, Any]:
    """A CACAO 2.0 playbook: start, one action step an action, end; a person does each (`manual`),
    as no other system may act in a fleet.
    """
    ids = [_id("action", f"{playbook.name}/{n}") for n in range(len(playbook.do))]
    start, end = _id("start", playbook.name), _id("end", playbook.name)
    agent = _id("individual", "operator")
    following = [*ids[1:], end]
    workflow: dict[str, Any] = {
        start: {"type": "start", "on_completion": ids[0]},
        end: {"type": "end"},
    }
    for action, step, after in zip(playbook.do, ids, following, strict=True):
        workflow[step] = _step(playbook, action, agent, after)
    return {
        "type": "playbook",
        "spec_version": "cacao-2.0",
        "id": f"playbook--{uuid.uuid5(_SPACE, playbook.name)}",
        "name": playbook.name,
        "description": f"{playbook.summary}. {limits_of(playbook)}",
        "playbook_types": sorted({_TYPES[a] for a in playbook.do}),
        "created_by": f"identity--{uuid.uuid5(_SPACE, 'framegate')}",
        "created": _MADE,
        "modified": _MADE,
        "revoked": False,
        "workflow_start": start,
        "workflow": workflow,
        "agent_definitions": {agent: {"type": "individual", "name": "operator"}},
        "external_references": [
            {"name": "framegate", "description": playbook.text},
        ],
    }


def limits_of(playbook: Playbook) -> str:
    """When it runs and what limits it, in words."""
    when = playbook.when
    what = ", ".join(sorted(when.events)) or f"severity {when.severity.name.lower()} and above"
    times = f" {when.count} times in {when.window_ms // 1000} s" if when.count > 1 else ""
    never = ", ".join(sorted(playbook.never))
    return (
        f"On {what}{times}, by {when.by}. Mode {playbook.mode}; at most {playbook.cap.devices} "
        f"targets and {playbook.cap.share} % of a zone an hour, then a person is asked; cooldown "
        f"{playbook.cooldown_ms // 1000} s; never: {never}."
    )


def _step(playbook: Playbook, action: Action, agent: str, after: str) -> dict[str, Any]:
    nature = NATURES[action]
    undo = (
        nature.command.format(kind="KIND", target="NAME", model="DIGEST") or playbook.undo[action]
    )
    return {
        "type": "action",
        "name": action.value,
        "description": f"On the {nature.on} that the entry is about. Undone by: {undo}",
        "commands": [{"type": "manual", "command": f"{nature.verb} {{{nature.on}}}"}],
        "agent": agent,
        "on_completion": after,
    }


def _id(kind: str, name: str) -> str:
    return f"{kind}--{uuid.uuid5(_SPACE, f'{kind}/{name}')}"
