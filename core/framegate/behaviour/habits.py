"""Rules that know what somebody usually does: from where, what, at which hours, how often."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from framegate.behaviour.counting import finding
from framegate.behaviour.deed import NOWHERE, Deed, Sites
from framegate.behaviour.finding import Finding
from framegate.behaviour.rules import DAY, HOUR, Limits, RuleName

MAX_KNOWN: Final = 256
"""Addresses of one person that are remembered, those longest unused forgotten first."""
_HOURS: Final = 24
_NEAR: Final = (-2, -1, 0, 1, 2)
"""Hours that count as one's own where one is: overtime is nothing odd."""


class Known:
    """What one person does, each with when it was last done."""

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        self._seen: OrderedDict[str, int] = OrderedDict()

    def again(self, what: str, now_ms: int, within_ms: int) -> bool:
        """Whether `what` was done within so long; from now on it was."""
        before = self._seen.pop(what, None)
        self._seen[what] = now_ms
        if len(self._seen) > MAX_KNOWN:
            self._seen.popitem(last=False)
        return before is not None and now_ms - before <= within_ms


@dataclass(slots=True)
class _Person:
    since_ms: int
    deeds: int = 0
    known: dict[str, Known] = field(default_factory=dict)


class FirstSeen:
    """Of a person who has been here `habit_ms` and done `habit_deeds`:

    1. an address (network) that they did not come from within `known_ms`;
    2. a site, where sites are named;
    3. a heavy verb that they did not do.
    """

    def __init__(self, limits: Limits, sites: Sites) -> None:
        self._limits, self._sites = limits, sites
        self._people: dict[str, _Person] = {}

    def see(self, deed: Deed) -> Iterator[Finding]:
        """Findings of this deed."""
        if not deed.person or deed.event in {"sign-in-failed", "factor-failed"}:
            return
        person = self._people.setdefault(deed.person, _Person(deed.at_ms))
        person.deeds += 1
        habitual = (
            person.deeds > self._limits.habit_deeds
            and deed.at_ms - person.since_ms >= self._limits.habit_ms
        )
        heavy = deed.verb if deed.verb in self._limits.heavy and deed.event != "denied" else ""
        site = self._sites.of(deed.source) if self._sites.networks else ""
        for kind, what in (("address", deed.source), ("site", site), ("verb", heavy)):
            if what and not self._again(person, kind, what, deed) and habitual:
                yield finding(deed, RuleName.FIRST_SEEN, f"{kind} {what}", kind=kind)

    def _again(self, person: _Person, kind: str, what: str, deed: Deed) -> bool:
        known = person.known.setdefault(kind, Known())
        return known.again(what, deed.at_ms, self._limits.known_ms)


@dataclass(slots=True)
class _Hours:
    days: OrderedDict[int, int] = field(default_factory=OrderedDict)
    """Day to a bit for each hour of it at which something was done."""


class OddHours:
    """Of a person who acted on `hours_days` of the last `hours_ms`: an hour (UTC) that was theirs,
    it or two before or after, on fewer than `hour_days` of those days. Once a day.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._people: dict[str, _Hours] = {}
        self._told: dict[str, int] = {}

    def see(self, deed: Deed) -> Iterator[Finding]:
        """Findings of this deed."""
        if not deed.person or not deed.source or deed.event == "sign-in-failed":
            return
        person = self._people.setdefault(deed.person, _Hours())
        day, hour = deed.at_ms // DAY, deed.at_ms // HOUR % _HOURS
        while person.days and next(iter(person.days)) < day - self._limits.hours_ms // DAY:
            person.days.popitem(last=False)
        earlier = [bits for d, bits in person.days.items() if d < day]
        near = sum(1 << (hour + step) % _HOURS for step in _NEAR)
        usual = sum(bool(bits & near) for bits in earlier)
        person.days[day] = person.days.get(day, 0) | 1 << hour
        enough = len(earlier) >= self._limits.hours_days
        if enough and usual < self._limits.hour_days and self._told.get(deed.person) != day:
            self._told[deed.person] = day
            what = f"{hour:02} h UTC, on {usual} of {len(earlier)} days"
            yield finding(deed, RuleName.ODD_HOURS, what)


class Dormant:
    """A sign-in of a person of whom nothing was recorded for `dormant_ms`, from when they were
    added on.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._last: dict[str, int] = {}

    def see(self, deed: Deed) -> Iterator[Finding]:
        """Findings of this deed."""
        if deed.event == "operator-added":
            self._last[deed.text("operator")] = deed.at_ms
        if not deed.person or deed.event in {"sign-in-failed", "role-granted"}:
            return  # others' doing
        last = self._last.get(deed.person)
        self._last[deed.person] = deed.at_ms
        if last is not None and deed.at_ms - last >= self._limits.dormant_ms:
            days = (deed.at_ms - last) // DAY
            yield finding(deed, RuleName.DORMANT, f"first act in {days} days: {deed.event}")


class TwoSites:
    """Acts of one person from two sites, no more than `between_sites_ms` apart. Addresses of no
    site are of none: whoever is outside may be anywhere.
    """

    def __init__(self, limits: Limits, sites: Sites) -> None:
        self._limits, self._sites = limits, sites
        self._last: dict[str, dict[str, Deed]] = {}
        self._told: dict[str, int] = {}

    def see(self, deed: Deed) -> Iterator[Finding]:
        """Findings of this deed."""
        site = self._sites.of(deed.source)
        if not deed.person or site in {"", NOWHERE} or deed.event == "sign-in-failed":
            return
        seen = self._last.setdefault(deed.person, {})
        held = deed.at_ms - self._told.get(deed.person, -self._limits.hold_ms)
        for other, before in seen.items():
            apart = deed.at_ms - before.at_ms
            if other != site and apart <= self._limits.between_sites_ms:
                if held >= self._limits.hold_ms:
                    self._told[deed.person] = deed.at_ms
                    what = f"{site} {apart // 1000} s after {other}"
                    yield Finding(
                        rule=RuleName.TWO_SITES,
                        kind="",
                        person=deed.person,
                        first=before.index,
                        last=deed.index,
                        at_ms=deed.at_ms,
                        count=2,
                        what=what,
                    )
                break
        seen[site] = deed
