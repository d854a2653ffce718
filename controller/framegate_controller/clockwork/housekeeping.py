"""What is over by the clock is said here, and the record's heads are kept.

Maintenance and roles end by themselves at once, whether or not anybody says so.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from framegate.errors import FramegateError
from framegate.machines.request import RequestEvent
from framegate.record.machine_events import MaintenanceEnded
from framegate.record.people_events import RoleEnded
from framegate_controller.context import Fleet
from framegate_controller.events.notices import AccessChanged, DeviceChanged, HeadSigned, Notice
from framegate_controller.fleet.evidence import KEEP_MS
from framegate_controller.people.signin import record_counted
from framegate_controller.record.ledger import checkpoint
from framegate_controller.store.ports import CONTROLLER, Store, Sweep, Transaction
from framegate_controller.store.shared.failures import FailureFold
from framegate_host.mapped_text import let_go_of_heap
from framegate_host.repeated import Repeated, more_of
from framegate_host.witness_file import write_head

log = logging.getLogger(__name__)
COLLECT_AT_ONCE: Final = 64
"""Rows of each kind in one transaction: some megabytes, in some milliseconds."""
SPENT_MS: Final = 600_000
"""Spent challenges stay so much longer than they are good: a database that is replaced by its copy
on another machine may have another clock.
"""
HEADS_WHOLE_MS: Final = 86_400_000
HEAD_EVERY_MS: Final = 3_600_000
"""Heads of the record are kept whole for a day, then one an hour."""


def give_back_freed() -> tuple[Notice, ...]:
    """Have the C library give back what was freed in its heap: machines come in crowds, and what
    their joins and evidence took for a moment stands between what is kept for each.
    """
    let_go_of_heap()
    return ()


def say_what_is_over(store: Store) -> tuple[Notice, ...]:
    """Mark maintenance and roles whose time is over; where none is, no writer waits for it."""
    with store.reading() as tx:
        if not tx.devices.maintenance_over(tx.now_ms) and not tx.requests.roles_over(tx.now_ms):
            return ()
    with store.writing() as tx:
        notices = (*end_maintenance(tx), *end_roles(tx))
        if notices:
            tx.raise_revision()
        return notices


def end_maintenance(tx: Transaction) -> tuple[Notice, ...]:
    """Mark each machine whose maintenance has ended by its time."""
    over = tx.devices.maintenance_over(tx.now_ms)
    for device in over:
        tx.devices.put(replace(device, maintenance_until_ms=0, maintenance=""))
        tx.record(MaintenanceEnded(device=device.id, by_time=True), by=CONTROLLER)
    return tuple(DeviceChanged(device.id) for device in over)


def end_roles(tx: Transaction) -> tuple[Notice, ...]:
    """Mark each role for a while whose while is over."""
    over = tx.requests.roles_over(tx.now_ms)
    for request in over:
        tx.requests.put(request.after(RequestEvent.END))
        ended = RoleEnded(request=request.id, requester=request.requester, summary=request.summary)
        tx.record(ended, by=CONTROLLER)
    return (AccessChanged(),) if over else ()


def say_what_strangers_failed(store: Store, failures: FailureFold) -> tuple[Notice, ...]:
    """Record what people who have not shown who they are got wrong time and again, a count each."""
    with store.reading() as tx:
        counted = failures.due(tx.now_ms)
    if counted:
        with store.writing() as tx:
            record_counted(tx, counted)
    return ()


class EvidenceCollector:
    """Forgets evidence that was not seen for long, of whatever machine, and the logs that no
    evidence and no machine refers to any more; so much at once that nobody waits for it.
    """

    def __init__(self, store: Store) -> None:
        self._store, self._after = store, Sweep()

    def collect(self) -> tuple[Notice, ...]:
        """Look at the next of them."""
        with self._store.reading() as tx:
            swept = tx.evidence.unused(tx.now_ms - KEEP_MS, COLLECT_AT_ONCE, self._after)
        if swept.unused:
            with self._store.writing() as tx:
                tx.evidence.collect(tx.now_ms - KEEP_MS, COLLECT_AT_ONCE, self._after)
        self._after = swept.after
        return ()


def forget_spent_challenges(store: Store) -> tuple[Notice, ...]:
    """Forget answered challenges whose time was over long ago: their state opens nothing any more,
    at no controller, whatever its clock says.
    """
    with store.writing() as tx:
        tx.challenges.forget(tx.now_ms - SPENT_MS)
    return ()


class HeadKeeper:
    """Keeps the record's signed head in files outside the store, and thins the heads inside it.

    Whoever cuts the record or deletes the store is found out by the files at the next start.
    """

    def __init__(self, store: Store, fleet: Fleet, witnesses: Sequence[Path]) -> None:
        self._store, self._fleet, self._witnesses = store, fleet, tuple(witnesses)
        self._thinned_ms, self._told = 0, b""
        self._said = {path: Repeated() for path in self._witnesses}

    def keep(self) -> tuple[Notice, ...]:
        """Sign a head where the record has grown; see that every file has it, and every gateway."""
        head = self._head()
        for path in self._witnesses:
            try:
                write_head(path, head)
            except (OSError, FramegateError) as error:
                # another machine's disk may be away, or the file damaged; the record goes on
                left_out = self._said[path].left_out(str(error))
                if left_out is not None:
                    log.error("witness %s: %s%s", path, error, more_of(left_out))
            else:
                self._said[path].over()
        if head == self._told:
            return ()
        self._told = head
        return (HeadSigned(head),)

    def _head(self) -> bytes:
        with self._store.reading() as tx:
            kept = tx.log.head(tx.log.size())
            thin = tx.now_ms - self._thinned_ms > HEAD_EVERY_MS
        if kept is not None and not thin:
            return kept
        with self._store.writing() as tx:
            head = checkpoint(tx, self._fleet.keys)
            if thin:
                tx.log.thin_heads(tx.now_ms - HEADS_WHOLE_MS, HEAD_EVERY_MS)
        if thin:
            self._thinned_ms = self._fleet.clock()
        return head
