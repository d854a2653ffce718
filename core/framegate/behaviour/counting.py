"""Rules that count: failures before a sign-in, exports, denials, sealed credentials."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from framegate.behaviour.deed import PERSON, Deed
from framegate.behaviour.finding import Finding
from framegate.behaviour.rules import Limits, RuleName
from framegate.behaviour.windows import Limit, Mark, Met, Window
from framegate.findings.kinds import EXPORTS, FindingKind

MAX_REQUESTS: Final = 10_000
"""Requests that are remembered until they are approved or taken; the oldest go. They live a day or
so, and whoever asks for them is signed in."""


def finding(
    deed: Deed, rule: RuleName, what: str, met: Met | None = None, kind: str = ""
) -> Finding:
    """A finding about whoever did `deed`, by what met a limit, or by the deed alone."""
    return Finding(
        rule=rule,
        kind=kind,
        person=deed.person,
        first=met.first if met else deed.index,
        last=deed.index,
        at_ms=deed.at_ms,
        count=met.count if met else 1,
        what=what,
    )


def said(met: Met) -> str:
    """How much, and within how long."""
    minutes = met.limit.within_ms // 60_000
    within = f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"
    return f"{met.count} within {within}"


class Windows:
    """A window for each person, of the same limits."""

    def __init__(self, limits: Limits, *names: str) -> None:
        self._limits = tuple(limit for name in names for limit in _tuple(getattr(limits, name)))
        self._of: dict[str, Window] = {}

    def of(self, person: str) -> Window:
        """One person's."""
        return self._of.setdefault(person, Window(self._limits))


def _tuple(value: Limit | tuple[Limit, ...]) -> tuple[Limit, ...]:
    return (value,) if isinstance(value, Limit) else value


class FailuresThenSuccess:
    """1. so many failures of a person within a window, recorded together or one by one;
    2. then a sign-in of theirs, in that window;
    3. or failures that are recorded up to a minute after it, because they were counted together.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._windows = Windows(limits, "failures")
        self._in: dict[str, Deed] = {}

    def see(self, deed: Deed) -> Iterator[Finding]:
        """Findings of this deed."""
        if deed.event == "sign-in-failed" and deed.person:
            window = self._windows.of(deed.person)
            before = self._in.get(deed.person)
            late = before is not None and deed.at_ms - before.at_ms <= self._limits.folded_ms
            kept = _kept_below(window, deed)
            if late:  # 3
                yield from self._judge(deed, kept)
        elif deed.event == "signed-in" and deed.person:
            self._in[deed.person] = deed
            yield from self._judge(deed, self._windows.of(deed.person).total(deed.at_ms))  # 2

    def _judge(self, deed: Deed, totals: tuple[Met | None, ...]) -> Iterator[Finding]:
        for met in totals:
            if met is not None and met.count >= met.limit.least:
                self._windows.of(deed.person).clear()
                self._in.pop(deed.person, None)
                what = f"signed in after failures: {said(met)}"
                yield finding(deed, RuleName.FAILURES_THEN_SUCCESS, what, met)
                return


def _kept_below(window: Window, deed: Deed) -> tuple[Met | None, ...]:
    """Count a failure without emptying the window when it is full."""
    window.keep(Mark(deed.index, deed.at_ms, deed.count))
    return window.total(deed.at_ms)


class Exports:
    """Approvals that were taken for verbs that let frames out, and what gateways say left without
    any:

    1. how often, within each window;
    2. how many frames, within each window.

    A gateway's word counts for a person that the record knows: it could make up names for ever.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._often, self._much = Windows(limits, "exports"), Windows(limits, "frames")
        self._asked: OrderedDict[str, str] = OrderedDict()
        self._people: set[str] = set()

    def see(self, deed: Deed) -> Iterator[Finding]:
        """Findings of this deed."""
        if deed.person:
            self._people.add(deed.person)
        if deed.event in EXPORTS:
            yield from self._reported(deed)
            return
        if deed.event == "access-asked":
            self._asked[deed.text("request")] = deed.text("about")
            if len(self._asked) > MAX_REQUESTS:
                self._asked.popitem(last=False)
            return
        verb = deed.verb
        if deed.event == "approval-taken":
            verb = self._asked.pop(deed.text("request"), "")
        elif deed.event not in {"allowed", "frame-export", "dataset-export"}:
            return
        if not deed.person or verb not in self._limits.taken_out:
            return
        yield from self._taken(deed, 1, self._frames(deed, verb))

    def _reported(self, deed: Deed) -> Iterator[Finding]:
        """Frames by themselves, each an export, or a data set, which is one of so many."""
        name = deed.text("reason")
        person = name.removeprefix(PERSON)
        if name.startswith(PERSON) and person in self._people:
            often = deed.count if deed.event == FindingKind.FRAME_EXPORTED else 1
            yield from self._taken(replace(deed, person=person), often, deed.count)

    def _taken(self, deed: Deed, often: int, frames: int) -> Iterator[Finding]:
        met = self._often.of(deed.person).add(Mark(deed.index, deed.at_ms, often))  # 1
        if met is not None:
            yield finding(deed, RuleName.EXPORTS, f"exports: {said(met)}", met, "often")
        met = self._much.of(deed.person).add(Mark(deed.index, deed.at_ms, frames))
        if met is not None:  # 2
            yield finding(deed, RuleName.EXPORTS, f"frames: {said(met)}", met, "much")

    def _frames(self, deed: Deed, verb: str) -> int:
        told = deed.members.get("frames")
        if type(told) is int and told > 0:
            return told
        return self._limits.dataset_frames if self._limits.taken_out[verb] else 1


class Denials:
    """1. so many denials of one person within each window;
    2. or denials of so many different verbs.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._windows = Windows(limits, "denials")
        self._verbs: dict[str, OrderedDict[str, Mark]] = {}

    def see(self, deed: Deed) -> Iterator[Finding]:
        """Findings of this deed."""
        if deed.event != "denied" or not deed.person:
            return
        mark = Mark(deed.index, deed.at_ms, 1)
        met = self._windows.of(deed.person).add(mark)  # 1
        if met is not None:
            yield finding(deed, RuleName.DENIALS, f"denied: {said(met)}", met, "often")
        limit, denied = (
            self._limits.denied_verbs,
            self._verbs.setdefault(deed.person, OrderedDict()),
        )
        denied.pop(deed.verb, None)
        denied[deed.verb] = mark
        while next(iter(denied.values())).at_ms < deed.at_ms - limit.within_ms:
            denied.popitem(last=False)
        if len(denied) >= limit.least:  # 2
            first = next(iter(denied.values()))
            met = Met(first.index, deed.index, len(denied), limit)
            denied.clear()
            yield finding(deed, RuleName.DENIALS, f"different verbs: {said(met)}", met, "verbs")


class BreakGlass:
    """A sealed credential was opened so often within a window: once is enough."""

    def __init__(self, limits: Limits) -> None:
        self._windows = Windows(limits, "break_glass")

    def see(self, deed: Deed) -> Iterator[Finding]:
        """Findings of this deed."""
        if deed.event != "break-glass-used":
            return
        met = self._windows.of(deed.person).add(Mark(deed.index, deed.at_ms, 1))
        if met is not None:
            yield finding(deed, RuleName.BREAK_GLASS, f"opened: {said(met)}", met)
