"""What an attestation takes that nothing is beside: its stages, in wall time and in the processors
of controller, database and machine, and what controllers do by the clock. What is more than that in
a run was waiting. And what one takes where so many are under way at any time, for machines that ask
at once are answered together.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from framegate_simulators.fleet.controllers import Controllers
from framegate_simulators.fleet.device import How

IDLE_S: Final = 8.0
"""For which nobody asks anything: what chores take is a few percent of it."""
ORDER: Final = (How.JOIN, How.NEW, How.KEPT)
"""Each leaves machines as the next one needs them."""
Ask = Callable[[Mapping[str, Any]], dict[str, Any]]
Say = Callable[[str], None]


AT_ONCE: Final = (1, 4, 16, 64)
"""So many under way at any time: one that finds the controller awake; some; and twice as many as
are answered together at most, so that it always finds as many.
"""


@dataclass(frozen=True, slots=True)
class ByTheClock:
    """What controllers do by the clock, a second: of a processor, and in so many pieces."""

    cores: float
    pieces: float

    def body(self) -> dict[str, float]:
        """As JSON values: the length of a piece in ms."""
        piece_ms = 1e3 * self.cores / max(self.pieces, 1.0)
        return {"cores": round(self.cores, 4), "piece_ms": round(piece_ms, 3)}


@dataclass(frozen=True, slots=True)
class _Spent:
    """By controllers and database for what was asked, without chores; and what machines say."""

    said: Mapping[str, Any]
    wall_s: float
    cpu_s: float
    database_s: float
    port_s: float
    visits: float


def measured_alone(ask: Ask, controllers: Controllers, say: Say) -> dict[str, Any]:
    """By ways (`How`), and `idle`: controllers' processors by the clock, and in pieces of which
    length. `together` has those of who comes by the fleet port where many are under way. `ask`
    tells a process of machines what to do.
    """
    say("some of them attest with nothing beside them, and so many at any time")
    used, slices, begun = controllers.used(), controllers.slices(), time.monotonic()
    time.sleep(IDLE_S)
    idle_s = time.monotonic() - begun
    chores = ByTheClock(
        (controllers.used().cpu_s - used.cpu_s) / idle_s,
        max(1, controllers.slices() - slices) / idle_s,
    )
    measured: dict[str, Any] = {"idle": chores.body()}
    for how in ORDER:
        measured[how.value] = _alone(_spent(ask, {"how": how.value}, controllers, chores))
    for how in (How.KEPT, How.NEW):
        asked = [{"how": how.value, "at_once": at_once} for at_once in AT_ONCE]
        measured[how.value]["together"] = [
            {"at_once": one["at_once"], **_together(_spent(ask, one, controllers, chores))}
            for one in asked
        ]
    return measured


def _spent(
    ask: Ask, body: Mapping[str, Any], controllers: Controllers, chores: ByTheClock
) -> _Spent:
    at, used, database = time.monotonic(), controllers.used(), controllers.database_used()
    before = controllers.slices()
    said = ask(body)
    wall_s = time.monotonic() - at
    spent = controllers.used()
    return _Spent(
        said=said,
        wall_s=wall_s,
        cpu_s=max(0.0, spent.cpu_s - used.cpu_s - chores.cores * wall_s),
        port_s=spent.children_s - used.children_s,
        database_s=controllers.database_used().cpu_s - database.cpu_s,
        visits=max(0.0, controllers.slices() - before - chores.pieces * wall_s),
    )


def _costs(spent: _Spent) -> dict[str, Any]:
    """Of one attestation, ms; `turns` of them were measured, and in each the controller's threads
    were given a processor `visits` times. Of the controller's are the join port's process's.
    """
    turns = len(spent.said["took_ms"])
    each = 1e3 / max(1, turns)
    return {
        "turns": turns,
        "p50_ms": round(median(spent.said["took_ms"]), 2) if turns else 0.0,
        "controller_ms": round(each * spent.cpu_s, 2),
        "port_ms": round(each * spent.port_s, 2),
        "database_ms": round(each * spent.database_s, 2),
        "visits": round(spent.visits / max(1, turns)),
        "machine_ms": round(each * spent.said["cpu_s"], 2),
    }


def _alone(spent: _Spent) -> dict[str, Any]:
    """And how long each took, and until it had its challenge."""
    begun, took = spent.said["begin_ms"], spent.said["took_ms"]
    return {
        **_costs(spent),
        "begin_ms": round(median(begun), 2) if begun else 0.0,
        "took_ms": sorted(round(ms, 2) for ms in took),
    }


def _together(spent: _Spent) -> dict[str, Any]:
    """And how many were answered a second."""
    costs = _costs(spent)
    return {**costs, "per_s": round(costs["turns"] / max(spent.wall_s, 1e-9), 1)}
