"""The closed set of what a playbook may do, each with what undoes it, or why nothing does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Action(StrEnum):
    """One thing that a playbook may do. What is not here no playbook does."""

    QUARANTINE = "quarantine"
    ATTEST_NOW = "attest-now"
    FREEZE_ZONE = "freeze-zone"
    DISABLE_OPERATOR = "disable-operator"
    END_SESSIONS = "end-sessions"
    ROLL_BACK_MODEL = "roll-back-model"
    KEEP_EVIDENCE = "keep-evidence"
    NOTIFY = "notify"
    OPEN_INCIDENT = "open-incident"


class On(StrEnum):
    """What an action is done to: the machine, the zone or the person that an entry is about."""

    DEVICE = "device"
    ZONE = "zone"
    OPERATOR = "operator"
    SUBJECT = "subject"  # whatever the entry is about


@dataclass(frozen=True, slots=True)
class Nature:
    """Of an action: what it is done to, the verb by which the access policy is asked, what undoes
    it (`undo`, empty where nothing does, for the reason `why_not`) and the command for that.
    `contains` says whether it takes something away from a line or from people.
    """

    on: On
    verb: str
    undo: str = ""
    command: str = ""
    why_not: str = ""
    contains: bool = False


NATURES: Final[Mapping[Action, Nature]] = MappingProxyType(
    {
        Action.QUARANTINE: Nature(
            On.DEVICE,
            "device.quarantine",
            "release",
            "framegate {kind} release {target}",
            contains=True,
        ),
        Action.ATTEST_NOW: Nature(
            On.DEVICE, "device.attest-now", why_not="asking for a proof changes nothing"
        ),
        Action.FREEZE_ZONE: Nature(
            On.ZONE, "zone.freeze", "thaw", "framegate zone thaw {target}", contains=True
        ),
        Action.DISABLE_OPERATOR: Nature(
            On.OPERATOR,
            "operator.disable",
            "enable",
            "framegate operator enable {target}",
            contains=True,
        ),
        Action.END_SESSIONS: Nature(
            On.OPERATOR,
            "session.end",
            why_not="a session that ended begins anew with framegate login",
            contains=True,
        ),
        Action.ROLL_BACK_MODEL: Nature(
            On.ZONE,
            "model.rollback",
            "promote",
            "framegate model promote {model} {target}",
            contains=True,
        ),
        Action.KEEP_EVIDENCE: Nature(
            On.DEVICE, "evidence.keep", why_not="what is kept longer harms nobody"
        ),
        Action.NOTIFY: Nature(On.SUBJECT, "playbook.tell", why_not="what was told is known"),
        Action.OPEN_INCIDENT: Nature(
            On.SUBJECT, "playbook.tell", why_not="an incident is closed by who looked into it"
        ),
    }
)
"""Every action's nature; a test holds that each has an undo or says why not."""


def undo_command(action: Action, target: str, model: str = "") -> str:
    """The command that undoes `action` on `target`; empty where nothing does. `model` is the digest
    that was in force before, where it was one of a model.
    """
    kind, name = target.split(".", 1)[0], target.rsplit(".", 1)[-1]
    return NATURES[action].command.format(kind=kind, target=name, model=model or "DIGEST")
