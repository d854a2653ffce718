"""Verdicts that come before their trigger, and how many wait for how long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from framegate.signed.statement import Verdict

EARLY: Final = 256
"""Verdicts that came before their trigger and wait for it: a fast camera overtakes a slow PLC by a
few parts.
"""
EARLY_MS: Final = 5_000
"""How long it waits; the trigger of a part is not that much slower than its picture."""


@dataclass(frozen=True, slots=True)
class Early:
    """A verdict that waits for its trigger: the envelope too, because it must hold again then."""

    envelope: bytes
    verdict: Verdict
    came_ms: int
