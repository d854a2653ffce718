"""The controllers of a fleet, as they make themselves known to each other, and what all of them can
read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

READS: Final = 1
"""Which form of rows this version reads: 0 is version 0.1.0's; 1 keeps boot logs and headers of
results once (migrations 0020, 0021).
"""
SIGN_OF_LIFE_MS: Final = 3_600_000
"""How often a controller says that it is there."""
GONE_MS: Final = 2 * SIGN_OF_LIFE_MS
"""A controller that said nothing for so long has ended: nothing is kept readable for it."""


@dataclass(frozen=True, slots=True)
class KnownController:
    """A controller: its issuing CAs' certificates (DER), when it was last there, and up to which
    form it reads rows. Whoever reads the certificates verifies them.
    """

    name: str
    authorities: tuple[bytes, ...]
    seen_ms: int
    reads: int = READS


class Controllers(Protocol):
    """Controllers of the fleet."""

    def all(self) -> list[KnownController]:
        """By name."""

    def put(self, controller: KnownController) -> None:
        """A new or changed one."""

    def expect(self, form: int) -> None:
        """`all_read` of it is asked soon: it may be looked up with what is asked before that."""

    def all_read(self, form: int) -> bool:
        """Whether every controller that was there of late reads rows of `form`: only then are they
        written. One of before cannot start on a newer schema, so this only ever becomes true, but
        for one that was cut off and comes back.
        """
