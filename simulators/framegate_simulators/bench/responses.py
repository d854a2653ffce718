"""Part of make bench-watch: how soon a playbook holds a machine, one by one and in a storm.

The engine looks as often as a controller has it look, in a thread of its own; times are from the
commit of the entry that calls for it to the commit that holds the machine, by one clock.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from framegate.machines.lifecycle import Event as Edge
from framegate.machines.lifecycle import State
from framegate.playbooks.parse import parse_playbook
from framegate.record.entry import Act
from framegate_controller.ca.generations import FolderKeyRing
from framegate_controller.context import Fleet
from framegate_controller.fleet.devices import change_state
from framegate_controller.people.playbooks import enable_playbook
from framegate_controller.playbooks.engine import QUIET_MS, Engine
from framegate_controller.server import PLAYBOOKS_S
from framegate_controller.store.database import Database, now_ms, open_registry
from framegate_controller.store.ports import EntryQuery
from framegate_controller.timing import Timing
from framegate_simulators.fixtures.access import add_person, camera_of
from framegate_simulators.fixtures.controller import found_controller
from framegate_simulators.fixtures.desk import desk_of

ZONE: Final = "line-1"
CAP: Final = 20
SETTLES_S: Final = 120.0
_HOLD: Final = """\
name = "hold"
summary = "hold machines whose evidence contradicts their profile"
mode = "act"
do = ["quarantine"]
cooldown = "1h"
never = ["last-camera", "break-glass", "approver"]
[when]
event = ["contradicted"]
[cap]
devices = {cap}
share = 100
[undo]
quarantine = "release"
"""


def bench_one_by_one(folder: Path, tries: int) -> dict[str, Any]:
    """From one contradicted machine to its quarantine, so many times."""
    with _responding(folder, tries + 1, 1_000) as store:
        took = []
        for number in range(tries):
            device = f"camera.{ZONE}.c{number}"
            _contradict(store, [device])
            begun = time.monotonic()
            _wait(lambda d=device: _state(store, d) == State.QUARANTINED)
            took.append(1e3 * (time.monotonic() - begun))
    took.sort()
    return {"tries": tries, "p50_ms": _at(took, 0.5), "p99_ms": _at(took, 0.99)}


def bench_storm(folder: Path, suspects: int) -> dict[str, Any]:
    """So many machines contradicted in one moment: how many are held by itself and when the last
    of them was, and how many one request asks for.
    """
    with _responding(folder, suspects + 1, CAP) as store:
        devices = [f"camera.{ZONE}.c{number}" for number in range(suspects)]
        at_ms = _contradict(store, devices)
        _wait(lambda: bool(_entries(store, "playbook-asked")))
        time.sleep(QUIET_MS / 1000)  # what came late would be asked for in a request of its own
        held = [e["at_ms"] - at_ms for e in _entries(store, "quarantine")]
        asked = [e["members"]["targets"] for e in _entries(store, "playbook-asked")]
    return {
        "suspects": suspects,
        "cap": CAP,
        "held": len(held),
        "last_held_ms": max(held, default=0),
        "requests": len(asked),
        "asked_for": sum(asked),
    }


@contextmanager
def _responding(folder: Path, cameras: int, cap: int) -> Iterator[Database]:
    keys = found_controller(folder)
    store = open_registry(folder / "registry.db")
    fleet = Fleet(ring=FolderKeyRing(keys), timing=Timing(), clock=now_ms, controller="bench")
    for name in ("anna", "sven"):
        add_person(store, keys, name, "security")
    with store.writing() as tx:
        tx.settings.put("quorum", "2")
        for number in range(cameras):
            device = camera_of(f"c{number}", State.STALE, zone=ZONE, since_ms=tx.now_ms)
            tx.devices.add(device)
            change_state(tx, device, Edge.PROVED)
        tx.act = Act(actor="operator.anna", approved_by=("sven",))
        enable_playbook(tx, keys, parse_playbook(_HOLD.format(cap=cap)), base=0, note="")
    engine, ending = Engine(desk_of(store, fleet)), threading.Event()
    engine.look()
    thread = threading.Thread(target=_look, args=(engine, ending), daemon=True)
    thread.start()
    try:
        yield store
    finally:
        ending.set()
        thread.join()
        store.close()


def _look(engine: Engine, ending: threading.Event) -> None:
    while not ending.wait(PLAYBOOKS_S):
        engine.look()


def _contradict(store: Database, devices: list[str]) -> int:
    """When it was recorded, ms."""
    with store.writing() as tx:
        for name in devices:
            device = tx.devices.find(name)
            change_state(tx, device, Edge.CONTRADICTED, why="pcr-digest")
        return tx.now_ms


def _state(store: Database, name: str) -> State:
    with store.reading() as tx:
        return State(tx.devices.find(name).state)


def _entries(store: Database, event: str) -> list[dict[str, Any]]:
    with store.reading() as tx:
        stored = tx.log.entries(EntryQuery(event=event), first=0, below=tx.log.size(), most=10_000)
        return [json.loads(e.entry) for e in stored]


def _wait(condition: Any) -> None:
    end = time.monotonic() + SETTLES_S
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("no playbook answered in time")
        time.sleep(0.002)


def _at(took: list[float], share: float) -> float:
    return round(took[min(len(took) - 1, int(share * len(took)))], 1)
