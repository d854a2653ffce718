"""What attestations take, of which queueing is simulated: of each way by which a machine attests,
and of what a controller does by the clock, as a run of the simulator measured it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any, Final, Self

from framegate_controller.rpc.fleet import MOST_TOGETHER
from framegate_simulators.fleet.plan import JITTER
from framegate_simulators.fleet.stations import NOWHERE, Stage

WRITE_MS: Final = 2.5
"""The store's turn: figures, store_ms of one attestation."""
MACHINES, CONTROLLER, TURN = range(3)
"""The stations."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of a processor for an attestation, ms: with nothing beside it; where another comes as soon as
    it is answered; and each where as many are there as are served together.
    """

    alone_ms: float
    awake_ms: float
    together_ms: float

    @classmethod
    def even(cls, ms: float) -> Self:
        """Of what costs the same whoever is there."""
        return cls(ms, ms, ms)

    def stage(self, station: int, ms: float, most: int) -> Stage:
        """`ms` of what it takes alone, at a station that serves `most` together: its own part, what
        is done once for all, and what it takes to begin when there was nothing to do.
        """
        if not self.alone_ms:
            return Stage(station, 0.0)
        awake = min(self.awake_ms, self.alone_ms)
        saved = max(0.0, awake - self.together_ms)
        once = min(awake, saved * most / (most - 1)) if most > 1 else 0.0
        each_s = ms / self.alone_ms / 1e3
        return Stage(
            station, (awake - once) * each_s, once * each_s, (self.alone_ms - awake) * each_s
        )


@dataclass(frozen=True, slots=True)
class Way:
    """A share of all attestations, and what one takes: of the controller's processor, of which the
    share `begin` is for the challenge, of the machine's, and until the answer. The controller's
    threads come to its processor in `visits` for it: whoever is there is waited for each time.
    `took_ms` is how long each took of those that were measured, of which `alone_ms` is the middle:
    one that waited for a disk is as likely to come as it was then.
    """

    share: float
    controller: Cost
    machine: Cost
    alone_ms: float
    begin: float = 0.3
    visits: int = 2
    took_ms: tuple[float, ...] = ()

    def each(self) -> tuple[Way, ...]:
        """It as each of those that were measured took; itself where only the middle is known."""
        return tuple(replace(self, alone_ms=ms) for ms in self.took_ms) or (self,)

    @property
    def before_ms(self) -> float:
        """Of the controller's processor until the answer: what it does beyond the time that all
        took, it did behind that.
        """
        return min(self.controller.alone_ms, max(0.0, self.alone_ms - self.machine.alone_ms))

    def stages(self, write_ms: float, most: int, *, crowd: bool) -> tuple[Stage, ...]:
        """Until the answer; `crowd`: machines share one processor."""
        machine_ms = self.machine.alone_ms
        rest = max(0.0, self.alone_ms - machine_ms - self.before_ms)
        write = min(write_ms, rest)
        visits = max(1, self.visits)
        first = round(visits * self.begin)
        own = Stage(NOWHERE, machine_ms / 3e3)
        if crowd:
            own = self.machine.stage(MACHINES, machine_ms / 3, most)
        visit = self.controller.stage(CONTROLLER, self.before_ms / visits, most)
        one = (Stage(NOWHERE, (rest - write) / visits / 1e3), visit)
        turn = Stage(TURN, 0.0, write / 1e3)
        return _worked(own, *one * first, own, *one * (visits - first), turn, own)

    def behind(self, most: int) -> tuple[Stage, ...]:
        """After the answer."""
        behind_ms = self.controller.alone_ms - self.before_ms
        return _worked(self.controller.stage(CONTROLLER, behind_ms, most))


def _worked(*stages: Stage) -> tuple[Stage, ...]:
    """Nobody queues where they have nothing to do."""
    return tuple(stage for stage in stages if stage != Stage(stage.station, 0.0))


@dataclass(frozen=True, slots=True)
class Chores:
    """What a controller does by the clock: a share of its processor, in pieces of so many ms."""

    cores: float = 0.0
    piece_ms: float = 1.0


@dataclass(frozen=True, slots=True)
class Joining:
    """Machines join, so many a second, and each attests from then on, as in a run of the simulator:
    who waited while others joined comes again in a wave. What is counted begins `settling_s` after
    the last has joined, and lasts for `counted_s`.
    """

    way: Way
    per_s: float
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
        return cls(
            devices=plan["devices"],
            interval_s=plan["interval_s"],
            ways=tuple(
                way_of(alone[how], ways[how]["done"] / total) for how in ways if alone[how]["turns"]
            ),
            chores=Chores(**alone["idle"]),
            write_ms=write_ms,
            most=MOST_TOGETHER,
            crowd=True,
            jitter=plan["jitter"],
            joining=Joining(
                way=way_of(alone["join"], 0.0),
                per_s=run["enrolments"]["per_s"],
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


def way_of(alone: dict[str, Any], share: float) -> Way:
    """What was measured of a way that this share of all attestations goes."""
    took = alone["p50_ms"] or 1.0
    return Way(
        share=share,
        controller=_cost(alone, "controller_ms"),
        machine=_cost(alone, "machine_ms"),
        alone_ms=took,
        begin=min(1.0, alone["begin_ms"] / took),
        visits=int(alone["visits"]),
        took_ms=tuple(alone.get("took_ms", ())),
    )


def _cost(alone: dict[str, Any], of: str) -> Cost:
    """Where nothing was measured together, it costs the same whoever is there."""
    together = alone.get("together")
    if not together:
        return Cost.even(alone[of])
    fewest, most = (pick(together, key=itemgetter("at_once")) for pick in (min, max))
    return Cost(alone[of], fewest[of], most[of])


MEASURED: Final = Load(
    devices=1_000,
    interval_s=60.0,
    ways=(
        Way(0.985, Cost(8.8, 5.0, 2.1), Cost(2.6, 1.6, 0.7), 14.4, 0.24, 120),
        Way(0.015, Cost.even(12.0), Cost.even(5.9), 25.1, 0.36, 43),
    ),
    chores=Chores(0.058, 0.15),
    most=MOST_TOGETHER,
)
"""Without a run to read: what `docs/scaling.md` has."""
