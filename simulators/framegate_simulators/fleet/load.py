"""What attestations take, of which queueing is simulated: of each way by which a machine attests,
and of what a controller does by the clock, as a run of the simulator measured it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any, Final, Self

from framegate_controller.rpc.fleet import MOST_TOGETHER
from framegate_simulators.fleet.plan import JITTER
from framegate_simulators.fleet.stations import NOWHERE, Batched, Stage
from framegate_simulators.fleet.worker import JOINS

WRITE_MS: Final = 2.5
"""The store's transaction: figures, store_ms of one attestation."""
IN_THE_BATCH: Final = 0.55
"""Of the controller's processor for an attestation over a connection that stands, what is done in
the one thread that answers together who asks at once: docs/scaling.md, by threads.
"""
ONCE: Final = 0.8
"""Of what an attestation costs less where many ask, what is done once for all of a batch, unless it
was measured (`queueing.sharing`); the rest is woken for less often.
"""
MACHINES, CONTROLLER, TOGETHER = range(3)
"""The stations; the last is the gate at which machines are answered together."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of a processor for an attestation, ms: with nothing beside it; and each where as many are
    there as are served together.
    """

    alone_ms: float
    together_ms: float

    @classmethod
    def even(cls, ms: float) -> Self:
        """Of what costs the same whoever is there."""
        return cls(ms, ms)

    @property
    def saved_ms(self) -> float:
        """By each where there are many."""
        return max(0.0, self.alone_ms - self.together_ms)


@dataclass(frozen=True, slots=True)
class Way:
    """A share of all attestations, and what one takes: of the controller's processor, of which the
    share `begin` is for the challenge and `batched_ms` is in the thread that answers together; of
    the machine's; and until the answer. The controller's threads come to its processor in `visits`
    for it: whoever is there is waited for each time. `port_ms` is another process's, on the
    machines' processor. Of what many save the share `once` is done once for a batch.
    `took_ms` is how long each took of those that were measured, of which `alone_ms` is the middle:
    one that waited for a disk is as likely to come as it was then. `several` are those of which so
    many were under way, and what each cost the controller's processor.
    """

    share: float
    controller: Cost
    machine: Cost
    alone_ms: float
    begin: float = 0.3
    visits: int = 2
    batched_ms: float = 0.0
    port_ms: float = 0.0
    once: float = ONCE
    took_ms: tuple[float, ...] = ()
    several: tuple[tuple[int, float], ...] = ()

    def each(self) -> tuple[Way, ...]:
        """It as each of those that were measured took; itself where only the middle is known."""
        return tuple(replace(self, alone_ms=ms) for ms in self.took_ms) or (self,)

    @property
    def once_ms(self) -> float:
        """Of the batch, what is done once for all in it."""
        return min(self.batched_ms, self.once * self.controller.saved_ms)

    @property
    def waking_ms(self) -> float:
        """Of the controller's processor beside the batch, what it takes only where it had nothing
        to do: where many are there nobody is woken for.
        """
        beside = self.controller.alone_ms - self.batched_ms
        return max(0.0, min(beside, self.controller.saved_ms - self.once_ms))

    def stages(self, write_ms: float, *, crowd: bool) -> tuple[tuple[Stage, ...], int]:
        """Of all its work, and how many of them until the answer; `crowd`: machines, and the port
        at which they join, share one processor.
        """
        machine_ms = self.machine.alone_ms + self.port_ms
        others_ms = max(0.0, self.alone_ms - machine_ms)
        before_ms = min(self.controller.alone_ms, max(self.batched_ms, others_ms))
        rest_ms = max(0.0, others_ms - before_ms)
        write_ms = min(write_ms, rest_ms)
        beside = self._beside(before_ms - self.batched_ms)
        behind = self._beside(self.controller.alone_ms - before_ms)
        way = Stage(NOWHERE, (rest_ms - write_ms) / max(1, len(beside)) / 1e3)
        visits = [stage for visit in beside for stage in (way, visit)] or [way]
        first = 2 * round(self.begin * len(beside))
        own = self._own(crowd=crowd)
        until = _worked(own, *visits[:first], own, *visits[first:], *self._batch(write_ms), own)
        return until + _worked(*behind), len(until)

    def _own(self, *, crowd: bool) -> Stage:
        """A third of what the machine does, and the port."""
        alone_ms = self.machine.alone_ms + self.port_ms
        if not crowd:
            return Stage(NOWHERE, alone_ms / 3e3)
        waking_ms = self.machine.saved_ms
        return Stage(MACHINES, (alone_ms - waking_ms) / 3e3, waking_ms / 3e3)

    def _beside(self, ms: float) -> tuple[Stage, ...]:
        """So much of the controller's processor beside the batch."""
        whole_ms = self.controller.alone_ms - self.batched_ms
        if ms <= 0:
            return ()
        visits = max(1, round(self.visits * ms / self.controller.alone_ms))
        waking_ms = self.waking_ms * ms / whole_ms
        one = Stage(CONTROLLER, (ms - waking_ms) / visits / 1e3, waking_ms / visits / 1e3)
        return (one,) * visits

    def _batch(self, write_ms: float) -> tuple[Stage, ...]:
        """The thread that answers together, in pieces as long as other visits, and its disk."""
        if not self.batched_ms:
            return (Stage(NOWHERE, write_ms / 1e3),)
        batched = Batched(
            CONTROLLER,
            each_s=(self.batched_ms - self.once_ms) / 1e3,
            once_s=self.once_ms / 1e3,
            piece_s=self.controller.alone_ms / max(1, self.visits) / 1e3,
            rest_s=write_ms / 1e3,
        )
        return (Stage(TOGETHER, 0.0, batched=batched),)


def _worked(*stages: Stage) -> tuple[Stage, ...]:
    """Nobody queues where they have nothing to do. Between two visits there is always a moment, of
    no length, in which a processor that nobody else wants comes to rest.
    """
    nothing = (MACHINES, CONTROLLER)
    return tuple(one for one in stages if one.seconds or one.waking_s or one.station not in nothing)


@dataclass(frozen=True, slots=True)
class Chores:
    """What a controller does by the clock: a share of its processor, in pieces of so many ms."""

    cores: float = 0.0
    piece_ms: float = 1.0


@dataclass(frozen=True, slots=True)
class Joining:
    """Machines join, `at_once` at any time, and each attests from then on, as in a run of the
    simulator: who waited while others joined comes again in a wave. What is counted begins
    `settling_s` after the last has joined, and lasts for `counted_s`.
    """

    way: Way
    at_once: int
    settling_s: float
    counted_s: float


@dataclass(frozen=True, slots=True)
class Load:
    """Machines at one controller, and what their attestations take, of which `most` are served
    together; `crowd`: machines are one process, as in a run of the simulator. Without `joining`
    they are there from the beginning, each at its own time.
    """

    devices: int
    interval_s: float
    ways: tuple[Way, ...]
    chores: Chores = Chores()
    write_ms: float = WRITE_MS
    most: int = 1
    crowd: bool = False
    jitter: float = JITTER
    joining: Joining | None = None

    @classmethod
    def of_run(cls, run: dict[str, Any], write_ms: float = WRITE_MS) -> Self:
        """The load of a run of the simulator in which attestations were measured alone and
        together, too. Raises ValueError where they were not.
        """
        alone, ways, plan = run.get("alone"), run["ways"], run["plan"]
        if not alone:
            raise ValueError("nothing was measured alone in this run: make bench-scale does")
        total = sum(way["done"] for way in ways.values())
        kept = alone["kept"]["controller_ms"]
        return cls(
            devices=plan["devices"],
            interval_s=plan["interval_s"],
            ways=tuple(
                way_of(alone[how], ways[how]["done"] / total, 0.0 if how == "join" else kept)
                for how in ways
                if alone[how]["turns"]
            ),
            chores=Chores(**alone["idle"]),
            write_ms=write_ms,
            most=MOST_TOGETHER,
            crowd=True,
            jitter=plan["jitter"],
            joining=Joining(
                way=_joining(way_of(alone["join"], 0.0, 0.0), way_of(alone["new"], 0.0, kept)),
                at_once=JOINS * plan["workers"],
                settling_s=plan["settling"],
                counted_s=plan["seconds"],
            ),
        )

    def in_earnest(self, devices: int, interval_s: float, watch_ms: float) -> Load:
        """The same of `devices` machines each with a processor of its own, which keep their
        connections, as agents do: only who has to join opens one. Each has its watch open, which
        takes `watch_ms` a second.
        """
        kept = min(self.ways, key=lambda way: way.alone_ms)
        joins = max(self.ways, key=lambda way: way.alone_ms)
        share = joins.share if joins is not kept else 0.0
        ways = (replace(kept, share=1 - share), replace(joins, share=share))
        chores = replace(self.chores, cores=self.chores.cores + devices * watch_ms / 1e3)
        return Load(devices, interval_s, ways, chores, self.write_ms, self.most)


def _joining(way: Way, new: Way) -> Way:
    """Many join at once, which is not measured, for the port bears so many joins a minute. Machines
    and port then save what machines that open a connection do; the controller answers one by one.
    """
    machine = new.machine.together_ms / new.machine.alone_ms if new.machine.alone_ms else 1.0
    many = replace(way.machine, together_ms=machine * way.machine.alone_ms)
    return replace(way, machine=many, port_ms=machine * way.port_ms)


def way_of(alone: dict[str, Any], share: float, kept_ms: float) -> Way:
    """What was measured of a way that this share of all attestations goes; `kept_ms`: of the
    controller's processor over a connection that stands, where they are answered together.
    """
    took, port = alone["p50_ms"] or 1.0, alone.get("port_ms", 0.0)
    controller = _cost(alone, "controller_ms")
    return Way(
        share=share,
        controller=replace(controller, alone_ms=max(0.0, controller.alone_ms - port)),
        machine=_cost(alone, "machine_ms"),
        alone_ms=took,
        begin=min(1.0, alone["begin_ms"] / took),
        visits=int(alone["visits"]),
        batched_ms=min(controller.alone_ms, IN_THE_BATCH * kept_ms),
        port_ms=port,
        took_ms=tuple(alone.get("took_ms", ())),
        several=tuple(
            (one["at_once"], one["controller_ms"])
            for one in alone.get("together", ())
            if one["at_once"] > 1
        ),
    )


def _cost(alone: dict[str, Any], of: str) -> Cost:
    """Where nothing was measured together, it costs the same whoever is there."""
    together = alone.get("together")
    if not together:
        return Cost.even(alone[of])
    fewest, most = (pick(together, key=itemgetter("at_once")) for pick in (min, max))
    # those that were measured alone are few, and what is kept of them in memory may be warm
    return Cost(max(alone[of], fewest[of]), most[of])


MEASURED: Final = Load(
    devices=1_000,
    interval_s=60.0,
    ways=(
        Way(0.985, Cost(8.8, 4.1), Cost(2.6, 0.7), 14.4, 0.24, 120, 4.8),
        Way(0.015, Cost.even(12.0), Cost.even(5.9), 25.1, 0.36, 43),
    ),
    chores=Chores(0.058, 0.15),
    most=MOST_TOGETHER,
)
"""Without a run to read: what `docs/scaling.md` has."""
