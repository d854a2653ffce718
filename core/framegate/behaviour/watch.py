"""The ten rules over the record, entry by entry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from framegate.behaviour.agreeing import EachOther, Freeze
from framegate.behaviour.counting import BreakGlass, Denials, Exports, FailuresThenSuccess
from framegate.behaviour.deed import Deed, Sites, deed_of
from framegate.behaviour.finding import Finding
from framegate.behaviour.habits import Dormant, FirstSeen, OddHours, TwoSites
from framegate.behaviour.rules import Limits


class Detector(Protocol):
    """One rule: sees every deed in the record's order."""

    def see(self, deed: Deed) -> Iterable[Finding]:
        """Findings of this deed."""


class BehaviourWatch:
    """Holds entries against the ten rules. What it finds follows from the entries alone: from their
    order and their own times, which never go back here, whatever a clock did.
    """

    def __init__(self, limits: Limits | None = None, sites: Sites | None = None) -> None:
        limits, sites = limits or Limits(), sites or Sites()
        self._detectors: tuple[Detector, ...] = (
            FailuresThenSuccess(limits),
            FirstSeen(limits, sites),
            OddHours(limits),
            Exports(limits),
            Denials(limits),
            EachOther(limits),
            BreakGlass(limits),
            Dormant(limits),
            Freeze(limits),
            TwoSites(limits, sites),
        )
        self._now_ms = 0

    def entry(self, index: int, body: Mapping[str, Any]) -> tuple[Finding, ...]:
        """What entry `index` with this body leads to."""
        deed = deed_of(index, body)
        return self.deed(deed) if deed is not None else ()

    def deed(self, deed: Deed) -> tuple[Finding, ...]:
        """The same for an entry that was read."""
        self._now_ms = max(self._now_ms, deed.at_ms)
        if deed.at_ms < self._now_ms:
            deed = replace(deed, at_ms=self._now_ms)
        return tuple(f for detector in self._detectors for f in detector.see(deed))


def replayed(
    entries: Iterable[tuple[int, Mapping[str, Any]]],
    limits: Limits | None = None,
    sites: Sites | None = None,
) -> list[Finding]:
    """What all of these entries lead to."""
    watch = BehaviourWatch(limits, sites)
    return [f for index, body in entries for f in watch.entry(index, body)]
