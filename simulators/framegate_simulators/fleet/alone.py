"""What an attestation takes that nothing is beside: its stages, in wall time and in the processors
of controller, database and machine, and what controllers do by the clock. What is more than that in
a run was waiting.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
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


def measured_alone(ask: Ask, controllers: Controllers, say: Say) -> dict[str, Any]:
    """By ways (`How`), and `idle`: controllers' processors by the clock, and in pieces of which
    length. `ask` tells a process of machines what to do.
    """
    say("some of them attest with nothing beside them")
    idle, slices, begun = controllers.used(), controllers.slices(), time.monotonic()
    time.sleep(IDLE_S)
    idle_s = time.monotonic() - begun
    chores_s = controllers.used().cpu_s - idle.cpu_s
    pieces = max(1, controllers.slices() - slices)
    cores = chores_s / idle_s
    measured: dict[str, Any] = {
        "idle": {"cores": round(cores, 4), "piece_ms": round(1e3 * chores_s / pieces, 3)}
    }
    for how in ORDER:
        at, used, database = time.monotonic(), controllers.used(), controllers.database_used()
        before = controllers.slices()
        said = ask({"how": how.value})
        wall_s = time.monotonic() - at
        cpu_s = controllers.used().cpu_s - used.cpu_s - cores * wall_s
        database_s = controllers.database_used().cpu_s - database.cpu_s
        visits = controllers.slices() - before - pieces * wall_s / idle_s
        measured[how.value] = _way(said, cpu_s, database_s, visits)
    return measured


def _way(said: Mapping[str, Any], cpu_s: float, database_s: float, visits: float) -> dict[str, Any]:
    """Of one attestation, ms; `turns` of them were measured, and in each the controller's threads
    were given a processor `visits` times.
    """
    turns = len(said["took_ms"])
    each = 1e3 / max(1, turns)
    return {
        "turns": turns,
        "p50_ms": round(median(said["took_ms"]), 2) if turns else 0.0,
        "begin_ms": round(median(said["begin_ms"]), 2) if turns else 0.0,
        "controller_ms": round(each * max(0.0, cpu_s), 2),
        "database_ms": round(each * database_s, 2),
        "visits": round(max(0.0, visits) / max(1, turns)),
        "machine_ms": round(each * said["cpu_s"], 2),
        "took_ms": sorted(round(ms, 2) for ms in said["took_ms"]),
    }
