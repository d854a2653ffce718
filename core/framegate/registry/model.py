"""Registered models, the pins that put them in force, parts and golden images, as the controller
keeps them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from framegate.machines.model import ModelEvent, ModelState, step


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A registered bundle by its digest (hex): who must have signed it (`anchor`, `signer`), its
    files' SHA-256 in hex, who approved it.
    """

    digest: str
    name: str
    version: int
    signer: str
    anchor: str
    files: Mapping[str, str]
    recipe: bytes
    card: bytes
    state: ModelState
    registered_by: str
    approved_by: tuple[str, ...]
    at_ms: int

    def after(self, event: ModelEvent, approved_by: tuple[str, ...] = ()) -> Model:
        """The model after `event`. Raises Refused (CONFLICT)."""
        return replace(self, state=step(self.state, event), approved_by=approved_by)


@dataclass(frozen=True, slots=True, kw_only=True)
class ZonePin:
    """A model pin of a zone, as its signed envelope; the highest sequence is in force."""

    zone: str
    sequence: int
    digest: str
    envelope: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part as its signed envelope; a removed one stays, so that its version never falls."""

    part_type: str
    version: int
    removed: bool
    envelope: bytes
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptBatchEntry:
    """A gateway's batch of receipts that is in the log."""

    gateway: str
    store: str
    number: int
    sha256: bytes
    payload: bytes
    log_index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportEntry:
    """A gateway's or a line's report that is in the log."""

    reporter: str
    store: str
    number: int
    sha256: bytes
    closed_at_ms: int
    log_index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReporterSeen:
    """When a reporter's latest report came, by the controller's clock, or since when one is waited
    for; `silent` once it was said that none comes.
    """

    reporter: str
    heard_ms: int
    silent: bool
