"""The controllers of a fleet, as they make themselves known to each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class KnownController:
    """A controller: its issuing CAs' certificates (DER), and when it was last there. Whoever reads
    the certificates verifies them.
    """

    name: str
    authorities: tuple[bytes, ...]
    seen_ms: int


class Controllers(Protocol):
    """Controllers of the fleet."""

    def all(self) -> list[KnownController]:
        """By name."""

    def put(self, controller: KnownController) -> None:
        """A new or changed one."""
