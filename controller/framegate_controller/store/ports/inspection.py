"""Models, parts, the receipts of inspections, and what gateways and lines report."""

from __future__ import annotations

from typing import Protocol

from framegate.registry.model import (
    Model,
    Part,
    ReceiptBatchEntry,
    ReportEntry,
    ReporterSeen,
    ZonePin,
)


class Models(Protocol):
    """Registered models and the pins that put them in force."""

    def get(self, digest: str) -> Model | None:
        """By digest (hex)."""

    def find(self, digest: str) -> Model:
        """By digest or its unique beginning of eight digits or more. Raises Refused (NOT_FOUND)."""

    def all(self, most: int) -> list[Model]:
        """Newest first."""

    def approved(self, most: int) -> list[Model]:
        """The newest approved ones."""

    def put(self, model: Model) -> None:
        """A new or changed one."""

    def pin(self, zone: str) -> ZonePin | None:
        """The pin in force."""

    def pins(self, *, zone: str = "", digest: str = "", most: int = 100) -> list[ZonePin]:
        """Pins of a zone, newest first; or those that named a model, by zone and sequence."""

    def pinned_zones(self) -> list[str]:
        """Zones in which a model is in force."""

    def zones_of(self, digest: str) -> list[str]:
        """Zones in which this model is in force."""

    def add_pin(self, pin: ZonePin) -> None:
        """In force from now on."""


class Parts(Protocol):
    """Parts and golden images."""

    def get(self, part_type: str) -> Part | None:
        """By type; a removed one too."""

    def all(self, *, removed: bool) -> list[Part]:
        """By type; with removed ones where asked."""

    def count(self) -> int:
        """How many there ever were."""

    def put(self, part: Part) -> None:
        """A new or changed one."""

    def golden(self, sha256: bytes) -> bytes | None:
        """A golden image by its digest."""

    def keep_golden(self, image: bytes) -> str:
        """Keep an image; its digest in hex."""


class Receipts(Protocol):
    """Gateways' batches of receipts that are in the log."""

    def batch(self, gateway: str, store: str, number: int) -> ReceiptBatchEntry | None:
        """One."""

    def last(self, gateway: str, store: str) -> ReceiptBatchEntry | None:
        """The last of a store."""

    def add(self, batch: ReceiptBatchEntry) -> None:
        """A new one."""


class Reports(Protocol):
    """Reports that are in the log, the latest of each store, and who reports."""

    def get(self, reporter: str, store: str, number: int) -> ReportEntry | None:
        """One."""

    def last(self, reporter: str, store: str) -> ReportEntry | None:
        """The last of a store."""

    def add(self, report: ReportEntry, keep: int) -> None:
        """A new one; of its store the latest `keep` stay."""

    def seen(self, reporter: str) -> ReporterSeen | None:
        """When it was heard."""

    def reporters(self) -> list[ReporterSeen]:
        """All, by name."""

    def put_seen(self, seen: ReporterSeen) -> None:
        """A new or changed one."""
