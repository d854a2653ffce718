"""The record, read into playbooks' planner: by the engine as it grows, by a simulation as it
was.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from typing import Final

from framegate.errors import FramegateError
from framegate.playbooks.planner import InForce, Planner
from framegate.playbooks.run import Run
from framegate.playbooks.sighting import ROUTINE, Sighting, sighting_of
from framegate.playbooks.statement import in_force_of, verify_playbook
from framegate_controller.context import Fleet
from framegate_controller.record.tail import FollowedEntry
from framegate_controller.store.ports import EntryQuery, Transaction

log = logging.getLogger(__name__)
CHUNK: Final = 2_000
"""Entries read in one transaction: some milliseconds."""
_QUERY: Final = EntryQuery(kind="event", but_events=ROUTINE)


class Replay:
    """Reads entries in order, each once; which playbooks were in force when, the entries say.

    With `candidate`, that one is in force from the first entry at `since_ms` on, in the place of
    whatever has its name.
    """

    def __init__(self, fleet: Fleet, candidate: InForce | None = None, since_ms: int = 0) -> None:
        self._fleet, self._candidate, self._since_ms = fleet, candidate, since_ms
        self._planner = Planner()
        self._begun = candidate is None

    def read(self, tx: Transaction, first: int, below: int) -> list[Run]:
        """What playbooks answer to the entries `first` <= index < `below`."""
        return [run for s in _sightings(tx, first, below) for run in self._see(tx, s)]

    def follow(self, tx: Transaction, entries: Sequence[FollowedEntry]) -> list[Run]:
        """What they answer to these entries, which somebody may have parsed already."""
        seen = [e for e in entries if e.logged.kind == "event" and e.logged.event not in ROUTINE]
        return [run for e in seen for run in self._see(tx, sighting_of(e.body))]

    def _see(self, tx: Transaction, sighting: Sighting) -> tuple[Run, ...]:
        if not self._begun and sighting.at_ms >= self._since_ms and self._candidate is not None:
            self._planner.put(self._candidate)
            self._begun = True
        runs = self._planner.see(sighting)
        name = str(sighting.members.get("playbook", ""))
        if self._candidate is None or name != self._candidate.playbook.name:
            self._changed(tx, sighting, name)
        return runs

    def _changed(self, tx: Transaction, sighting: Sighting, name: str) -> None:
        """From the next entry on: a playbook that does not verify puts nothing in force."""
        if sighting.event == "playbook-disabled":
            self._planner.remove(name)
        if sighting.event != "playbook-enabled":
            return
        self._planner.remove(name)
        kept = tx.playbooks.revision(name, int(sighting.members["revision"]))
        root = self._fleet.keys.root.certificate
        try:
            held = kept and in_force_of(
                verify_playbook(kept.envelope, kept.name, kept.revision, root)
            )
        except FramegateError:
            log.exception("playbook %s does not verify: it does nothing", name)
            return
        if held:
            self._planner.put(held)


def _sightings(tx: Transaction, first: int, below: int) -> Iterator[Sighting]:
    entries = tx.log.entries(_QUERY, first=first, below=below, most=below - first)
    return (sighting_of(json.loads(e.entry)) for e in entries)
