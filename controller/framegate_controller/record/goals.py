"""Goals in force, held against the record; one that is missed, or met again, is told once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from framegate.assessment.facts import CHANGES, fact_named
from framegate.assessment.goals import Goal, Held, held, parse_goals
from framegate.assessment.goals import Standing as GoalStanding
from framegate.assessment.reading import (
    DAY_MS,
    LONG_DAYS,
    MOVES,
    REPORT,
    WINDOW_DAYS,
    Reading,
    two_person_verbs,
)
from framegate.record.assessment_events import GoalMet, GoalMissed
from framegate.record.event import Event
from framegate_controller.store.ports import CONTROLLER, EntryQuery, Store, Transaction

SET: Final = "goals-set"
GOALS_S: Final = 60.0
"""Goals are of weeks; that one is missed is told within a minute."""
CHUNK: Final = 2_000
"""Entries of one transaction: others write in between."""
QUIET: Final = ("attested", "posture-changed", REPORT, "access-asked", "denied")
"""What no change by two people leaves, left out where those are looked for."""
_RECENT: Final = {
    REPORT: WINDOW_DAYS,
    "allowed": LONG_DAYS + 7,
    "signed-in": LONG_DAYS,
    "access-asked": 2 * LONG_DAYS,
}
"""Of what there is much, facts need no more than these days; of the rest there is little."""


def goals_text(tx: Transaction) -> str:
    """The goals in force as they were approved; empty where there are none."""
    query, size = EntryQuery(event=SET), tx.log.size()
    last = tx.log.entries(query, first=0, below=size, most=1, newest_first=True)
    return str(json.loads(last[0].entry)["members"]["text"]) if last else ""


class GoalWatch:
    """Looks how goals stand. What was told last of each stands in the record, so that a controller
    that is killed tells nothing twice.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def look(self) -> tuple[()]:
        """Tell of goals that are missed and were not, or were missed and are met."""
        with self._store.reading() as tx:
            text, now_ms = goals_text(tx), tx.now_ms
            missed = _missed(tx) if text else set()
        if not text:
            return ()
        goals = parse_goals(text)
        reading = self._reading(goals)
        moved = [
            event
            for goal in goals
            if (event := _told(held(goal, reading, now_ms), missed)) is not None
        ]
        if moved:
            with self._store.writing() as tx:
                for event in moved:
                    tx.record(event, by=CONTROLLER)
        return ()

    def _reading(self, goals: Sequence[Goal]) -> Reading:
        """Of the record what the goals' facts are read from, and no more."""
        wanted = {name for goal in goals for name in fact_named(goal.fact).reads}
        days = LONG_DAYS if any(g.fact == "time-to-contain" for g in goals) else WINDOW_DAYS
        entries: dict[int, dict[str, Any]] = {}
        for name in sorted(wanted - {CHANGES, "attested"}):
            recent = _RECENT.get(name, 0) if name != REPORT else days
            for entry in self._entries(EntryQuery(event=name), recent):
                entries[entry["index"]] = entry
        if CHANGES in wanted:
            entries |= self._changes()
        if "attested" in wanted:
            entries |= self._last_proofs(entries)
        reading = Reading()
        for index in sorted(entries):
            reading.read(entries[index])
        return reading

    def _changes(self) -> dict[int, dict[str, Any]]:
        two = two_person_verbs()
        query = EntryQuery(kind="event", but_events=QUIET)
        changes = self._entries(query, LONG_DAYS, having=b'"verb":')
        return {e["index"]: e for e in changes if e.get("verb") in two}

    def _last_proofs(self, entries: dict[int, dict[str, Any]]) -> dict[int, dict[str, Any]]:
        """Each machine's last proof: of the ones before it no fact of now is read."""
        devices = {str(e["device"]) for e in entries.values() if e.get("event") in MOVES}
        proofs: dict[int, dict[str, Any]] = {}
        with self._store.reading() as tx:
            size = tx.log.size()
            for device in devices:
                query = EntryQuery(event="attested", device=device)
                for last in tx.log.entries(query, first=0, below=size, most=1, newest_first=True):
                    proofs[last.index] = json.loads(last.entry)
        return proofs

    def _entries(
        self, query: EntryQuery, days: int, having: bytes = b""
    ) -> Iterator[dict[str, Any]]:
        with self._store.reading() as tx:
            size, since_ms = tx.log.size(), tx.now_ms - days * DAY_MS if days else 0
        asked = EntryQuery(
            event=query.event, kind=query.kind, but_events=query.but_events, since_ms=since_ms
        )
        first = 0
        while first < size:
            with self._store.reading() as tx:
                rows = tx.log.entries(asked, first=first, below=size, most=CHUNK)
            yield from (json.loads(r.entry) for r in rows if having in r.entry)
            if len(rows) < CHUNK:
                return
            first = rows[-1].index + 1


def _missed(tx: Transaction) -> set[str]:
    """Goals of which it was told last that they are missed."""
    size, last = tx.log.size(), dict[str, tuple[int, bool]]()
    for name in ("goal-missed", "goal-met"):
        for row in tx.log.entries(EntryQuery(event=name), first=0, below=size, most=size):
            goal = str(json.loads(row.entry)["members"]["goal"])
            last[goal] = max(last.get(goal, (-1, False)), (row.index, name == "goal-missed"))
    return {goal for goal, (_, missed) in last.items() if missed}


def _told(found: Held, missed: set[str]) -> Event | None:
    goal, shown = found.goal, found.fact
    if found.standing == GoalStanding.MISSED and goal.name not in missed:
        return GoalMissed(
            goal=goal.name,
            fact=goal.fact,
            zone=goal.zone,
            target=goal.target,
            actual=shown.words,
            evidence=shown.entries,
        )
    if found.standing == GoalStanding.MET and goal.name in missed:
        return GoalMet(
            goal=goal.name,
            fact=goal.fact,
            zone=goal.zone,
            target=goal.target,
            actual=shown.words,
        )
    return None
