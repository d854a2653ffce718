"""Holds the record against the rules of behaviour, entry by entry, and records what is found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from framegate.behaviour.deed import PERSON, Sites
from framegate.behaviour.finding import Finding
from framegate.behaviour.rules import RULES
from framegate.behaviour.watch import BehaviourWatch
from framegate.findings.kinds import EXPORTS
from framegate.record.behaviour_events import BehaviourNoticed
from framegate_controller.record.tail import FollowedEntry, RecordTail
from framegate_controller.store.ports import CONTROLLER, LoggedEntry, Store, Transaction

NEXT: Final = "behaviour-next"
"""The single value of the store that says which entry the rules have not seen yet."""
AT_ONCE: Final = 500
"""Entries of one transaction: some hundred kilobytes."""
SAVE_EVERY: Final = 5_000
"""Entries without a finding after which the place is kept all the same: a restart reads them
again, and finds nothing again.
"""

_ABOUT_PEOPLE: Final = EXPORTS | {"operator-added"}


def begin(store: Store) -> None:
    """Have a place in the record, unless there is one: what comes from now on is held against the
    rules. A controller does so before it answers anybody, whoever then reads.
    """
    with store.reading() as tx:
        if tx.settings.get(NEXT) is not None:
            return
    with store.writing() as tx:
        if tx.settings.get(NEXT) is None:
            tx.settings.put(NEXT, str(tx.log.size()))


class BehaviourRecord:
    """The rules' place in the record. Findings and place are committed together: a crash loses none
    and doubles none.

    What the rules know is made anew from the record at each start. Entries from before the first
    start with rules are what people are used to, and lead to no findings. `read` is called by one
    thread.
    """

    def __init__(self, store: Store, sites: Sites, tail: RecordTail | None = None) -> None:
        self._store, self._sites = store, sites
        self._tail = tail or RecordTail(store)
        self._watch: BehaviourWatch | None = None
        self._next = self._kept = 0
        begin(store)

    def read(self) -> tuple[()]:
        """See what is new. Raises what the store raises: then all is read again next time."""
        try:
            watch = self._watch or self._begun()
            self._go_on(watch)
        except BaseException:
            self._watch = None  # it has seen more than is committed
            raise
        self._watch = watch
        return ()

    def _begun(self) -> BehaviourWatch:
        """Rules that have seen everything up to their place."""
        with self._store.reading() as tx:
            self._next = self._kept = min(tx.log.size(), int(tx.settings.get(NEXT) or 0))
        watch = BehaviourWatch(sites=self._sites)
        for entries in self._chunks(0, self._next):
            _findings(watch, entries)
        return watch

    def _go_on(self, watch: BehaviourWatch) -> None:
        with self._store.reading() as tx:
            size = tx.log.size()
        for entries in self._chunks(self._next, size):
            met = _findings(watch, entries)
            self._next = entries[-1].index + 1
            if met:
                with self._store.writing() as tx:
                    self._keep(tx, met)
        self._next = size
        if self._next - self._kept >= SAVE_EVERY:
            with self._store.writing() as tx:
                self._keep(tx, [])

    def _keep(self, tx: Transaction, findings: Sequence[Finding]) -> None:
        for finding in findings:
            tx.record(_event(finding), by=CONTROLLER)
        tx.settings.put(NEXT, str(self._next))
        tx.when_committed(self._saved)

    def _saved(self) -> None:
        self._kept = self._next

    def _chunks(self, first: int, below: int) -> Iterator[list[FollowedEntry]]:
        for start in range(first, below, AT_ONCE):
            yield self._tail.entries(start, min(below, start + AT_ONCE))


def _findings(watch: BehaviourWatch, entries: Sequence[FollowedEntry]) -> list[Finding]:
    """What these entries lead to. Machines' are not read, but for what people took out of them."""
    return [
        finding
        for entry in entries
        if _of_people(entry.logged)
        for finding in watch.entry(entry.index, entry.body)
    ]


def _of_people(entry: LoggedEntry) -> bool:
    return entry.kind == "event" and (
        entry.actor.startswith(PERSON) or entry.event in _ABOUT_PEOPLE
    )


def _event(finding: Finding) -> BehaviourNoticed:
    return BehaviourNoticed(
        rule=finding.rule.value,
        kind=finding.kind,
        operator=finding.person,
        first=finding.first,
        last=finding.last,
        count=finding.count,
        what=finding.what,
        rank=int(RULES[finding.rule].severity),
    )
