"""What a playbook answers to one entry: a run, its steps, and whether they are done."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from framegate.playbooks.actions import Action


class Verdict(StrEnum):
    """What becomes of a run."""

    ACT = "act"  # its steps are done
    ASK = "ask"  # a person is asked
    SHADOW = "shadow"  # it is only written down
    NEVER = "never"  # what it is about is never touched by a playbook


@dataclass(frozen=True, slots=True)
class Step:
    """One action on one target. Together with playbook, revision and entry it is done once."""

    number: int
    action: Action
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A playbook's answer to the entry `trigger`, about `subject` in `zone`; `why` says in words
    what keeps it from acting, empty where nothing does.
    """

    playbook: str
    revision: int
    trigger: int
    at_ms: int
    event: str
    subject: str
    zone: str
    verdict: Verdict
    why: str
    steps: tuple[Step, ...]
