"""Restorations that a registry went through, as it keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from framegate.record.following import parse_restorations_json, restorations_json
from framegate.signed.dsse import parse_envelope
from framegate.signed.restoration import Restoration
from framegate_controller.store.ports import Transaction

_RESTORATIONS: Final = "restorations"
"""The single value that keeps them: envelopes, in order."""


@dataclass(frozen=True, slots=True)
class KeptRestoration:
    """A restoration of this registry, which signed it, and its envelope."""

    restoration: Restoration
    envelope: bytes


def restorations(tx: Transaction, after: int = 0) -> list[KeptRestoration]:
    """This registry's restorations with a number above `after`, oldest first."""
    kept = []
    for envelope in parse_restorations_json(tx.settings.get(_RESTORATIONS) or ""):
        payload = parse_envelope(envelope, Restoration.TYPE).payload
        restoration = Restoration.parse_payload(payload)
        if restoration.number > after:
            kept.append(KeptRestoration(restoration, envelope))
    return kept


def restored_times(tx: Transaction) -> int:
    """The number of the last restoration, 0 where there was none."""
    return max((k.restoration.number for k in restorations(tx)), default=0)


def add_restoration(tx: Transaction, envelope: bytes) -> None:
    """Keep a new one."""
    earlier = [k.envelope for k in restorations(tx)]
    tx.settings.put(_RESTORATIONS, restorations_json([*earlier, envelope]))
