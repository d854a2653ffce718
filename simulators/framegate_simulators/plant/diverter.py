"""A part on the line, and how the PLC hears whether it may pass. The diverter opens for a part only
by a permission that names that very part, in time, while the adapter's heart beats.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

WATCHDOG_S: Final = 1.5
"""Six missed heartbeats: the diverter then opens for nothing."""


@dataclass
class Part:
    """One part on the conveyor; `good` is what it really is, which nobody but the simulation
    knows.
    """

    part: str
    part_type: str
    sequence: int
    entered_ms: int
    good: bool
    entered_s: float
    due_s: float
    let_through: bool | None = None
    said: str = ""


class Diverter(Protocol):
    """How the PLC hears whether a part may pass."""

    def permits(self, part: Part) -> bool:
        """Whether the diverter opens for this part now."""

    def close(self) -> None:
        """Let go."""
