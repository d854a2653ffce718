"""Versions of what is signed for others, who never go back behind one that they saw: policies,
model pins, masks, parts.
"""

from __future__ import annotations

from typing import Final

from framegate_controller.store.ports import Transaction

_FLOOR: Final = "version-floor"


def next_version(tx: Transaction, earlier: int) -> int:
    """The version after `earlier`, and above whatever a restored registry may have given out."""
    return max(earlier, int(tx.settings.get(_FLOOR) or 0)) + 1


def raise_versions(tx: Transaction, highest: int, step: int) -> int:
    """From now on every version is above `highest` by more than `step`; the new floor."""
    floor = max(highest, int(tx.settings.get(_FLOOR) or 0)) + step
    tx.settings.put(_FLOOR, str(floor))
    return floor
