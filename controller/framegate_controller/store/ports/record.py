"""The record as rows: entries, tree nodes, signed heads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class LoggedEntry:
    """An entry of the record: its index, and the bytes that were logged."""

    index: int
    at_ms: int
    kind: str
    device: str
    event: str
    actor: str
    entry: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryQuery:
    """Which entries: of a device, an event, an actor, since a time; empty members match
    everything.
    """

    device: str = ""
    event: str = ""
    actor: str = ""
    kind: str = ""
    since_ms: int = 0
    but_events: tuple[str, ...] = ()


class RecordStore(Protocol):
    """The append-only record as rows: entries, tree nodes, signed heads.
    `framegate_controller.record` gives them their meaning.
    """

    def append(self, body: Mapping[str, Any]) -> int:
        """Add an entry in this transaction; its index."""

    def entry(self, index: int) -> LoggedEntry | None:
        """One entry."""

    def entries(
        self, query: EntryQuery, *, first: int, below: int, most: int, newest_first: bool = False
    ) -> list[LoggedEntry]:
        """At most `most` entries with `first` <= index < `below` that match."""

    def spoken_of(self, first: int, *, but_event: str) -> set[str]:
        """The devices of which entries from `first` on speak, those of `but_event` left out."""

    def size(self) -> int:
        """How many entries there are."""

    def node(self, level: int, position: int) -> bytes:
        """Hash of a complete subtree. KeyError where there is none."""

    def nodes(self, level: int, first: int, most: int) -> list[bytes]:
        """Hashes of complete subtrees of a level, from position `first` on; at most so many."""

    def root(self) -> str:
        """Root of the whole tree in hex, as this transaction sees it."""

    def head(self, size: int) -> bytes | None:
        """The head that was signed over `size` entries."""

    def add_head(self, size: int, at_ms: int, envelope: bytes) -> None:
        """Keep a signed head."""

    def heads(self, below: int, most: int) -> list[bytes]:
        """Heads over fewer than `below` entries, oldest first, the last `most`."""

    def thin_heads(self, keep_from_ms: int, every_ms: int) -> None:
        """Of heads older than `keep_from_ms` keep one in `every_ms`."""
