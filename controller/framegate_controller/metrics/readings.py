"""Metrics and checks of a controller, read from where they stand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from framegate.machines.request import RequestState
from framegate_controller.clockwork.run import Clockwork
from framegate_controller.context import Fleet
from framegate_controller.events.bus import Bus
from framegate_controller.metrics.families import (
    AUTHORITY_ENDS,
    CALL_TIMES,
    CALLS_TOTAL,
    CHORES,
    DEVICES,
    ENTRIES,
    EVENTS,
    FAILED_SIGN_INS,
    FAMILIES,
    LISTENERS,
    REFUSALS,
    REQUESTS,
    RESULT,
    SESSIONS,
    SEVERE,
    UNREAD,
)
from framegate_controller.record.counts import EventCounts
from framegate_controller.store.ports import Store, Transaction
from framegate_host.telemetry.exposition import Exposition
from framegate_host.telemetry.families import Reading, each
from framegate_host.telemetry.health import Checks
from framegate_proto.call_times import CallTimes
from framegate_proto.traces import NoTraces, Traces

LATE_TIMES = 5
"""A chore that was not done for so many of its turns does not go on."""
LATE_LEAST_S = 30.0
"""A store that is busy for a while is no reason to send people away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerMetrics:
    """Reads what a controller shows; `join_port` gives the join port's process, 0 for none."""

    store: Store
    fleet: Fleet
    bus: Bus
    clockwork: Clockwork
    counts: EventCounts
    join_port: Callable[[], int]
    traces: Traces = field(default_factory=NoTraces)
    exposition: Exposition = field(default_factory=lambda: Exposition(FAMILIES))
    calls: CallTimes = field(init=False)

    def __post_init__(self) -> None:
        told = self.exposition.timings(CALL_TIMES).took
        object.__setattr__(self, "calls", CallTimes(told, self.traces.call_span))

    @property
    def checks(self) -> Checks:
        """What has to hold for a controller to be ready."""
        return Checks(
            [
                ("store", self._store_answers),
                ("join-port", lambda: "" if self.join_port() else "its process does not run"),
                ("clockwork", self._chores_go_on),
            ]
        )

    async def read(self) -> list[Reading]:
        """Every series of this moment."""
        listening = self.bus.listening
        here = [
            *each(EVENTS, self.counts.events),
            *each(SEVERE, self.counts.severities),
            *each(REFUSALS, self.counts.reasons),
            Reading(FAILED_SIGN_INS, self.counts.failed_sign_ins),
            Reading(LISTENERS, listening.watchers + listening.feeds),
            *(Reading(CALLS_TOTAL, n, names) for names, n in self.calls.ended.copy().items()),
            *(Reading(CHORES, c.done_at, (c.name,)) for c in self.clockwork.progress),
            *self._authorities(),
        ]
        return [*here, *await asyncio.to_thread(self._kept)]

    def _kept(self) -> list[Reading]:
        """What the store knows, in one snapshot of it."""
        with self.store.reading() as tx:
            return [*_machines(tx), *_people(tx), *self._record(tx)]

    def _record(self, tx: Transaction) -> Iterator[Reading]:
        size = tx.log.size()
        yield Reading(ENTRIES, size)
        yield Reading(UNREAD, max(0, size - self.counts.next))

    def _authorities(self) -> Iterator[Reading]:
        keys = self.fleet.keys
        for name, signer in (("root", keys.root), *keys.issuing.items()):
            ends = signer.certificate.not_valid_after_utc.timestamp()
            yield Reading(AUTHORITY_ENDS, ends, (name,))

    def _store_answers(self) -> str:
        with self.store.reading() as tx:
            return "" if tx.policies.current() is not None else "no access policy is in force"

    def _chores_go_on(self) -> str:
        now = time.time()
        late = [
            f"{c.name} was last done {now - c.done_at:.0f} s ago"
            for c in self.clockwork.progress
            if now - c.done_at > max(LATE_LEAST_S, LATE_TIMES * c.every_s)
        ]
        return "; ".join(late)


def _machines(tx: Transaction) -> Iterator[Reading]:
    for row in tx.devices.census():
        yield Reading(DEVICES, row.count, (row.zone, row.kind.value, row.state.value))
    for device, result_ms in tx.devices.results():
        yield Reading(RESULT, result_ms / 1000, (str(device),))


def _people(tx: Transaction) -> Iterator[Reading]:
    yield Reading(SESSIONS, len(tx.people.sessions(tx.now_ms)))
    for state in (RequestState.PENDING, RequestState.APPROVED):
        yield Reading(REQUESTS, len(tx.requests.in_state([state])), (state.value,))
