"""What a playbook is, once it was read: values, no behaviour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from framegate.playbooks.actions import Action
from framegate.record.event import Severity

HOUR_MS: Final = 3_600_000
"""What caps are counted over: sliding, so that no burst at a full hour counts half."""


class Mode(StrEnum):
    """How far a playbook goes by itself."""

    SHADOW = "shadow"  # writes down what it would do
    ASK = "ask"  # asks a person for everything
    ACT = "act"  # acts up to its cap, and asks for the rest


class By(StrEnum):
    """What entries are counted by."""

    DEVICE = "device"
    ZONE = "zone"
    ACTOR = "actor"
    FLEET = "fleet"


class Never(StrEnum):
    """Who or what a playbook never touches by itself."""

    LAST_CAMERA = "last-camera"
    BREAK_GLASS = "break-glass"
    APPROVER = "approver"


ALWAYS: Final = (Never.BREAK_GLASS, Never.APPROVER)
"""What no playbook may leave out: people who would have to undo what it did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """Which entries of the record it looks for: every member that is not empty has to match, and
    `count` of them in `window_ms`, counted by `by`.
    """

    events: frozenset[str]
    reasons: frozenset[str]
    severity: Severity
    zones: frozenset[str]
    count: int
    window_ms: int
    by: By


@dataclass(frozen=True, slots=True)
class Cap:
    """How much it does by itself in any hour: so many targets in the fleet, and `share` percent of
    a zone's machines, counted over all playbooks.
    """

    devices: int
    share: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Playbook:
    """A playbook as its file says it; `text` is that file. Made by `parse_playbook` only.

    `undo` says of each action what undoes it, or why nothing does, in the author's words.
    """

    name: str
    summary: str
    mode: Mode
    when: When
    do: tuple[Action, ...]
    undo: Mapping[Action, str]
    cap: Cap
    cooldown_ms: int
    never: frozenset[Never]
    text: str
