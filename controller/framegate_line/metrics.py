"""Metrics and checks of a line adapter: what it shows to whoever watches it. It asks nothing of the
disk while parts are on the way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from framegate.signed.statement import Outcome
from framegate_host.telemetry.exposition import Exposition
from framegate_host.telemetry.families import (
    REASONS,
    SHARED,
    Family,
    FamilyKind,
    Label,
    Reading,
    each,
)
from framegate_host.telemetry.health import Checks
from framegate_line.adapter import Adapter
from framegate_line.reach import Reach

PEERS: Final = frozenset({"broker", "plc", "file"})
PARTS: Final = Family(
    "framegate_line_parts_total",
    FamilyKind.COUNTER,
    "Parts that were decided since this process started, by outcome.",
    (Label("outcome", frozenset(o.value for o in Outcome)),),
)
UNINSPECTED: Final = Family(
    "framegate_line_uninspected_total",
    FamilyKind.COUNTER,
    "Those that were not inspected, by reason.",
    (Label("reason", REASONS),),
)
IN_A_ROW: Final = Family(
    "framegate_line_uninspected_in_a_row",
    FamilyKind.GAUGE,
    "UNINSPECTED parts since the last inspected one.",
)
STOPS: Final = Family(
    "framegate_line_stops_asked_total",
    FamilyKind.COUNTER,
    "How often it was asked for the line to be stopped.",
)
REFUSED: Final = Family(
    "framegate_line_verdicts_refused_total",
    FamilyKind.COUNTER,
    "Verdicts that were not of this line, not signed, or not in time.",
)
DUPLICATES: Final = Family(
    "framegate_line_triggers_repeated_total",
    FamilyKind.COUNTER,
    "Triggers that were delivered again.",
)
ANSWERS: Final = Family(
    "framegate_line_peers",
    FamilyKind.GAUGE,
    "Broker, PLCs and files that take decisions, by whether they answer.",
    (Label("peer", PEERS), Label("answers", frozenset({"yes", "no"}))),
)
LEDGER: Final = Family(
    "framegate_line_ledger_bytes", FamilyKind.GAUGE, "Bytes of the ledger in use, of this minute."
)
QUOTA: Final = Family(
    "framegate_line_ledger_quota_bytes", FamilyKind.GAUGE, "How large the ledger may grow."
)
FAMILIES: Final = (
    *SHARED,
    PARTS,
    UNINSPECTED,
    IN_A_ROW,
    STOPS,
    REFUSED,
    DUPLICATES,
    ANSWERS,
    LEDGER,
    QUOTA,
)
"""All of a line adapter's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineMetrics:
    """Reads what a line adapter shows."""

    adapter: Adapter
    reach: Reach
    quota: int
    exposition: Exposition = field(default_factory=lambda: Exposition(FAMILIES))

    @property
    def checks(self) -> Checks:
        """What has to hold for good parts to pass."""
        return Checks([("broker", lambda: self._away("broker")), ("outputs", self._outputs_away)])

    async def read(self) -> list[Reading]:
        """Every series of this moment."""
        return list(self._readings())

    def _readings(self) -> Iterator[Reading]:
        done = self.adapter.done
        yield from each(PARTS, done.outcomes)
        yield from each(UNINSPECTED, done.reasons)
        yield Reading(IN_A_ROW, self.adapter.in_a_row)
        yield Reading(STOPS, done.stops)
        yield Reading(REFUSED, self.adapter.refused)
        yield Reading(DUPLICATES, self.adapter.duplicates)
        for name, peer in dict(self.reach.peers).items():
            yield Reading(ANSWERS, 1, (_kind(name), "yes" if peer.answers else "no"))
        yield Reading(LEDGER, done.ledger_bytes)
        yield Reading(QUOTA, self.quota)

    def _away(self, kind: str) -> str:
        """Who of that kind does not answer, and why; somebody who was never tried has not
        answered.
        """
        peers = {n: p for n, p in dict(self.reach.peers).items() if _kind(n) == kind}
        away = [f"{n}: {p.problem or 'no answer'}" for n, p in peers.items() if not p.answers]
        return "; ".join(away) if peers else f"no {kind} was tried so far"

    def _outputs_away(self) -> str:
        peers = dict(self.reach.peers).items()
        return "; ".join(
            f"{name}: {peer.problem or 'no answer'}"
            for name, peer in peers
            if _kind(name) != "broker" and not peer.answers
        )


def _kind(name: str) -> str:
    """broker, plc or file: how `Reach` calls its peers begins so."""
    return name.partition(" ")[0].lower()
