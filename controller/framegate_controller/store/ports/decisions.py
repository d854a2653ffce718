"""The log of decisions, beside the record, and its witnesses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from framegate.transparency.decision import Decision, Named


@dataclass(frozen=True, slots=True)
class KeptCosignature:
    """A witness's latest cosignature on a head, verified when it came; `witness` is its key's
    text.
    """

    origin: str
    size: int
    witness: str
    at_s: int
    line: str


@dataclass(frozen=True, slots=True)
class WitnessStanding:
    """How a witness stands: what it cosigned last, since when it fails (0: it does not), and
    why.
    """

    witness: str
    origin: str = ""
    size: int = 0
    at_ms: int = 0
    failing_ms: int = 0
    error: str = ""


class Decisions(Protocol):
    """The log of decisions. It only grows."""

    def append(self, decision: Decision) -> int:
        """Log it; its index."""

    def size(self) -> int:
        """How many there are."""

    def entries(self, first: int, most: int) -> list[bytes]:
        """Entries from index `first` on, at most so many."""

    def index_of(self, named: Named) -> int | None:
        """Where the last entry about this stands."""

    def node(self, level: int, position: int) -> bytes:
        """Hash of a complete subtree. KeyError where there is none."""

    def root(self) -> bytes:
        """Root of the whole tree."""

    def head(self, origin: str, size: int) -> bytes | None:
        """The note of the head that was signed over `size` entries."""

    def add_head(self, origin: str, size: int, note: bytes) -> None:
        """Keep a signed head."""

    def cosigned_sizes(self, origin: str, most: int) -> list[int]:
        """Sizes of heads that have a cosignature, the largest first."""

    def cosignatures(self, origin: str, size: int) -> list[KeptCosignature]:
        """What witnesses said to the head of this size, by their keys."""

    def put_cosignature(self, cosignature: KeptCosignature) -> None:
        """A new or younger one."""

    def witnesses(self) -> list[WitnessStanding]:
        """How every witness stands that was ever asked."""

    def put_witness(self, standing: WitnessStanding) -> None:
        """A new or changed one."""
