"""What the ledger tells of a line's parts, and how long it keeps them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from framegate_line.rules import EnteredPart, PartKey, Ruling


@dataclass(frozen=True, slots=True)
class DecidedPart:
    """A part and what became of it."""

    part: EnteredPart
    ruling: Ruling
    verdicts: tuple[str, ...]
    decided_ms: int


@dataclass(frozen=True, slots=True)
class PartRow:
    """A part as listings show it."""

    key: PartKey
    opened_ms: int
    outcome: str
    reason: str
    decided_ms: int
    emitted: int


@dataclass(frozen=True, slots=True)
class Counts:
    """What came in and what became of it, from the first part on: outcomes, reasons of UNINSPECTED,
    parts still open, verdicts that came too late or for nothing, parts that are counted only.
    """

    outcomes: Counter[str]
    reasons: Counter[str]
    waiting: int
    late: int
    pruned: int


@dataclass(frozen=True, slots=True)
class Retention:
    """How long and how much a ledger keeps: ms, and bytes of its file that hold something."""

    keep_ms: int
    quota: int


@dataclass(frozen=True, slots=True)
class Fill:
    """How full a ledger is: bytes in use, and when its oldest part was entered (ms, 0: none)."""

    used: int
    oldest_ms: int


@dataclass(slots=True)
class Done:
    """What was done since this process started; bytes of the ledger as they were last looked at."""

    outcomes: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    stops: int = 0
    ledger_bytes: int = 0
