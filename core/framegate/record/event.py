"""What an event of the record is, and how one is declared: name, severity, who sees it, and typed
members, all in one place.

The record's entries, the reference page and every sink are made from these declarations; an event
that is not declared cannot be recorded.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any, ClassVar, Final, TypeVar, dataclass_transform

MAX_DETAIL: Final = 4_000
"""Characters of an event's detail."""


class Severity(IntEnum):
    """How much an event asks of people, with OCSF's `severity_id` as values (OCSF 1.8.0, base
    event).
    """

    INFORMATIONAL = 1
    LOW = 2
    MEDIUM = 3
    HIGH = 4
    CRITICAL = 5


class Audience(StrEnum):
    """Who sees an event in `framegate events`. The whole record is the auditors'."""

    ZONE = "zone"  # whoever sees the zone of the machine it is about
    FLEET = "fleet"  # whoever sees every zone: people, policy, keys


@dataclass(frozen=True, slots=True)
class Declaration:
    """What is known of an event before it happens. `routine` ones are left out of `framegate
    events` unless asked for.
    """

    names: tuple[str, ...]
    severity: Severity
    seen_by: Audience
    routine: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Base of all events. `device` is the machine it is about, empty where it is about none."""

    DECLARED: ClassVar[Declaration]

    device: str = ""

    @property
    def name(self) -> str:
        """The declared name of this one."""
        return self.DECLARED.names[0]

    @property
    def severity(self) -> Severity:
        """How much this one asks of people."""
        return self.DECLARED.severity

    @property
    def detail(self) -> str:
        """What happened, in words, for people."""
        return ""

    @property
    def states(self) -> tuple[str, str]:
        """(state before, state after), empty where nothing moved."""
        return "", ""

    def members(self) -> dict[str, Any]:
        """The typed members, as JSON values, for whoever must not read words; empty ones are left
        out.
        """
        members = {
            f.name: _plain(getattr(self, f.name))
            for f in dataclasses.fields(self)
            if f.name != "device"
        }
        return {name: value for name, value in members.items() if value not in ("", [], None)}


E = TypeVar("E", bound=Event)
_DECLARED: dict[str, type[Event]] = {}


@dataclass_transform(frozen_default=True, kw_only_default=True)
def event(
    *names: str, severity: Severity, seen_by: Audience, routine: bool = False
) -> Callable[[type[E]], type[E]]:
    """Declare an event; its class is a frozen, keyword-only dataclass. ValueError where a name is
    declared twice.
    """

    def declare(cls: type[E]) -> type[E]:
        declared = dataclass(frozen=True, slots=True, kw_only=True)(cls)
        declared.DECLARED = Declaration(names, severity, seen_by, routine)
        for name in names:
            if name in _DECLARED:
                raise ValueError(f"event {name} is declared twice")
            _DECLARED[name] = declared
        return declared

    return declare


def declared() -> Mapping[str, type[Event]]:
    """Every declared event by its name, in the order of declaration."""
    return _DECLARED


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    return value.value if isinstance(value, StrEnum) else value
