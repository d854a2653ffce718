"""Metrics and checks of a controller, read from where they stand."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from framegate.machines.request import RequestState
from framegate_controller.clockwork.run import Clockwork
from framegate_controller.context import Fleet
from framegate_controller.events.bus import Bus
from framegate_controller.joinport.messages import PortBeat
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
    JOIN_CALLS,
    JOIN_CONNECTIONS,
    JOIN_MEMORY,
    JOIN_PASSED,
    JOIN_TURNED_AWAY,
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


class JoinPortSeen(Protocol):
    """What is known of the process at the join port."""

    @property
    def pid(self) -> int:
        """Its process id, 0 while there is none."""

    @property
    def trouble(self) -> str:
        """Why nobody can join now, empty where somebody can."""

    @property
    def last(self) -> PortBeat | None:
        """What it said of itself last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerMetrics:
    """Reads what a controller shows; `join_port` gives what is known of the join port's process,
    None where there is none.
    """

    store: Store
    fleet: Fleet
    bus: Bus
    clockwork: Clockwork
    counts: EventCounts
    join_port: Callable[[], JoinPortSeen | None]
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
                ("join-port", self._join_port_answers),
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
            *_of_join_port(self.join_port()),
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

    def _join_port_answers(self) -> str:
        seen = self.join_port()
        return seen.trouble if seen is not None else "it is not open yet"

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


def _of_join_port(seen: JoinPortSeen | None) -> Iterator[Reading]:
    """What its process says of itself, and its memory, which it does not."""
    if seen is None or seen.last is None:
        return
    yield Reading(JOIN_CONNECTIONS, seen.last.connections)
    yield Reading(JOIN_CALLS, seen.last.calls)
    yield Reading(JOIN_PASSED, seen.last.passed)
    yield Reading(JOIN_TURNED_AWAY, seen.last.turned_away)
    with contextlib.suppress(OSError, ValueError, IndexError):  # it ended meanwhile
        pages = int(Path(f"/proc/{seen.pid}/statm").read_text().split()[1])
        yield Reading(JOIN_MEMORY, pages * resource.getpagesize())


def _machines(tx: Transaction) -> Iterator[Reading]:
    for row in tx.devices.census():
        yield Reading(DEVICES, row.count, (row.zone, row.kind.value, row.state.value))
    for device, result_ms in tx.devices.results():
        yield Reading(RESULT, result_ms / 1000, (str(device),))


def _people(tx: Transaction) -> Iterator[Reading]:
    yield Reading(SESSIONS, len(tx.people.sessions(tx.now_ms)))
    for state in (RequestState.PENDING, RequestState.APPROVED):
        yield Reading(REQUESTS, len(tx.requests.in_state([state])), (state.value,))
