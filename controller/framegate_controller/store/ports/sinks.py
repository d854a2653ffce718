"""The record's sinks as rows."""

from __future__ import annotations

from typing import Protocol

from framegate.registry.sink import Sink


class Sinks(Protocol):
    """Where the record is sent, and how far each is."""

    def all(self) -> list[Sink]:
        """By name."""

    def get(self, name: str) -> Sink | None:
        """One."""

    def put(self, sink: Sink) -> None:
        """Keep one."""

    def remove(self, name: str) -> None:
        """Forget one."""
