"""Rules about what takes two, and what nobody may for a while: approvals, and freezes."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from framegate.behaviour.counting import MAX_REQUESTS, Windows, finding, said
from framegate.behaviour.deed import Deed
from framegate.behaviour.finding import Finding
from framegate.behaviour.rules import Limits, RuleName
from framegate.behaviour.windows import Mark, Met
from framegate.errors import Reason

MAX_APPROVALS: Final = 1_000
"""Approvals of a week that are remembered."""


@dataclass(frozen=True, slots=True)
class _Approval:
    index: int
    at_ms: int
    approver: str
    requester: str


class EachOther:
    """Within the window: A approved so many requests of B, B so many of A, and nobody else one of
    either.
    """

    def __init__(self, limits: Limits) -> None:
        self._limit = limits.each_other
        self._asked: OrderedDict[str, str] = OrderedDict()
        self._given: deque[_Approval] = deque()

    def see(self, deed: Deed) -> Iterator[Finding]:
        """Findings of this deed."""
        if deed.event == "access-asked":
            self._asked[deed.text("request")] = deed.person
            if len(self._asked) > MAX_REQUESTS:
                self._asked.popitem(last=False)
        requester = self._asked.get(deed.text("request"), "")
        if deed.event != "access-approved" or not deed.person or requester in {"", deed.person}:
            return
        self._given.append(_Approval(deed.index, deed.at_ms, deed.person, requester))
        while (
            self._given[0].at_ms < deed.at_ms - self._limit.within_ms
            or len(self._given) > MAX_APPROVALS
        ):
            self._given.popleft()
        pair = {deed.person, requester}
        of_either = [a for a in self._given if a.requester in pair]
        if any(a.approver not in pair for a in of_either):
            return
        one = [a for a in of_either if a.approver == deed.person]
        other = [a for a in of_either if a.approver == requester]
        if min(len(one), len(other)) >= self._limit.least:
            first = min(a.index for a in of_either)
            met = Met(first, deed.index, len(of_either), self._limit)
            self._given = deque(a for a in self._given if a.requester not in pair)
            what = f"with {requester}, each other's alone: {said(met)}"
            yield finding(deed, RuleName.EACH_OTHER, what, met)


class Freeze:
    """1. a change that was done in a zone that is frozen;
    2. a change in a zone by whoever thawed it no more than `after_thaw_ms` before;
    3. so many changes that were denied because of a freeze.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._frozen: dict[str, Deed] = {}
        self._thawed: dict[str, Deed] = {}
        self._tries = Windows(limits, "frozen_tries")

    def see(self, deed: Deed) -> Iterator[Finding]:
        """Findings of this deed."""
        if deed.event == "zone-frozen":
            self._frozen[deed.zone] = deed
            self._thawed.pop(deed.zone, None)
        elif deed.event == "zone-thawed":
            self._frozen.pop(deed.zone, None)
            self._thawed[deed.zone] = deed
        elif deed.event == "denied":
            if deed.person and deed.text("reason") == Reason.ZONE_FROZEN.value:
                met = self._tries.of(deed.person).add(Mark(deed.index, deed.at_ms, 1))
                if met is not None:  # 3
                    yield finding(deed, RuleName.FREEZE, f"tries: {said(met)}", met, "tries")
        elif deed.person and deed.zone and deed.verb in self._limits.changes:
            yield from self._change(deed)

    def _change(self, deed: Deed) -> Iterator[Finding]:
        frozen, thawed = self._frozen.get(deed.zone), self._thawed.get(deed.zone)
        if frozen is not None:  # 1
            what = f"{deed.verb} in {deed.zone}, which is frozen"
            yield finding(deed, RuleName.FREEZE, what, kind="frozen")
        elif (
            thawed is not None
            and thawed.person == deed.person
            and deed.at_ms - thawed.at_ms <= self._limits.after_thaw_ms
        ):  # 2
            seconds = (deed.at_ms - thawed.at_ms) // 1000
            what = f"{deed.verb} in {deed.zone}, {seconds} s after thawing it"
            yield finding(deed, RuleName.FREEZE, what, kind="thawed")
