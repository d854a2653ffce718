"""What a join port says that it refused by itself, on its way into the record."""

from __future__ import annotations

from typing import Final

from framegate.errors import Reason
from framegate_controller.fleet.strangers import RefusedKind, StrangersRecord
from framegate_controller.joinport.messages import RefusalReport, RefusedStrangers
from framegate_controller.joinport.refusals import OTHERS
from framegate_host.prefixes import is_prefix

_REASONS: Final = frozenset(Reason)


def record_refusals(record: StrangersRecord, report: bytes) -> None:
    """Write down what the port refused by itself. What it names no reason or network by, counts
    with the others: it writes no words of its own into the record (N236). Raises Malformed.
    """
    refused = [RefusedStrangers.parse(r) for r in RefusalReport.parse(report).refused]
    record.add(
        RefusedKind(
            r.reason if r.reason in _REASONS else OTHERS,
            r.prefix if is_prefix(r.prefix) else OTHERS,
            r.count,
        )
        for r in refused
    )
