"""One registry in a file and in PostgreSQL: an attestation with its durable record, appends of
several controllers at once, and how soon one hears what another tells.

Both write to the same disk, durably. Beside the time there is the processor's: of a machine that
does other things as well only that can be compared.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from statistics import median
from typing import Any, Final

from framegate.record.fleet_events import ZoneThawed
from framegate_controller.ca.generations import FolderKeyRing
from framegate_controller.context import Fleet
from framegate_controller.fleet.attestation import Verifier, VerifierState
from framegate_controller.registry_address import StoreAt
from framegate_controller.store.database import Database, open_store
from framegate_controller.store.shared.duties import Ears
from framegate_controller.store.shared.quotas import MachineRates
from framegate_controller.store.sharing import sharing_of
from framegate_controller.store.transfer import move_rows
from framegate_controller.timing import Timing
from framegate_simulators.bench.attestation import MODEL, founded
from framegate_simulators.fixtures.controller import A_BENCH_A_MINUTE
from framegate_simulators.fixtures.postgres import local_postgres, programs
from framegate_simulators.forge.forge import Forge
from framegate_simulators.machine.boot import Firmware
from framegate_simulators.machine.tpm import TpmMaker

ATTESTATIONS: Final = 200
APPENDS: Final = 240
TOLD: Final = 200
THREADS: Final = 4
WAIT_S: Final = 30.0
_RATES: Final = MachineRates.of(Timing(), A_BENCH_A_MINUTE)


def bench_stores(say: Callable[[str], None]) -> dict[str, Any]:
    """Figures of both; of PostgreSQL none where it is not installed."""
    with tempfile.TemporaryDirectory(prefix="fg-stores-") as name:
        state = Path(name)
        maker = TpmMaker.found()
        forge = Forge(maker, Firmware(MODEL))
        keys, (code,) = founded(state, [forge], maker)
        ring = FolderKeyRing(keys)
        if programs() is None:
            figures = {"file": _of(StoreAt(state), ring, forge, code)}
        else:
            with local_postgres(durable=True) as server:
                there = StoreAt(state, server.create("stores"))
                move_rows(StoreAt(state), there)
                figures = {
                    "file": _of(StoreAt(state), ring, forge, code),
                    "postgres": _of(there, ring, forge, code) | _between(there),
                }
        say(f"stores: {figures}")
        return figures


def _of(at: StoreAt, ring: FolderKeyRing, forge: Forge, code: bytes) -> dict[str, Any]:
    one, other = open_store(at), open_store(at)
    try:
        return _attestations(one, ring, forge, code) | {
            "appends_s": _appends([one]),
            "appends_s_of_two": _appends([one, other]),
        }
    finally:
        one.close()
        other.close()


def _attestations(
    store: Database, ring: FolderKeyRing, forge: Forge, code: bytes
) -> dict[str, Any]:
    """Begin and complete, without the machine's own work."""
    fleet = Fleet(ring=ring, timing=Timing(), clock=store.clock, controller="controller-1")
    shared = sharing_of(store, fleet.controller, _RATES)
    state = VerifierState(
        tries=shared.tickets, begins=shared.begins, devices=shared.devices, spent=shared.spent
    )
    verifier, device = Verifier(store, fleet, state=state), "camera.line-1.cam0"
    hello = forge.hello(code)
    begun = verifier.begin_join(hello, "bench")
    mac, evidence = forge.answer(fleet.digest, hello, begun.challenge)
    verifier.complete_join(begun.state, mac, evidence)
    took, processor_s = [], 0.0
    for _ in range(ATTESTATIONS):
        hello = forge.attest_hello(known_log=True)
        at, own = time.perf_counter(), time.process_time()
        begun = verifier.begin_attest(hello, device)
        spent, spent_own = time.perf_counter() - at, time.process_time() - own
        _, evidence = forge.answer(fleet.digest, hello, begun.challenge, join=False)
        at, own = time.perf_counter(), time.process_time()
        verifier.complete_attest(begun.state, evidence, device)
        took.append(1e3 * (spent + time.perf_counter() - at))
        processor_s += spent_own + time.process_time() - own
    took.sort()
    return {
        "attestation_ms": round(median(took), 2),
        "attestation_p99_ms": round(took[int(0.99 * ATTESTATIONS)], 2),
        "attestation_processor_ms": round(1e3 * processor_s / ATTESTATIONS, 2),
    }


def _appends(stores: list[Database]) -> float:
    """Entries a second, of several threads over so many controllers."""

    def append(number: int) -> None:
        with stores[number % len(stores)].writing() as tx:
            tx.record(ZoneThawed(zone="line-1", why="measured"))

    begun = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(append, range(APPENDS)))
    return round(APPENDS / (time.perf_counter() - begun), 1)


def _between(at: StoreAt) -> dict[str, Any]:
    """From one controller's word to the other's ear."""
    one, other = open_store(at), open_store(at)
    heard: Queue[float] = Queue()
    listener, teller = (
        sharing_of(one, "controller-1", _RATES).peers,
        sharing_of(other, "controller-2", _RATES).peers,
    )
    try:
        ears = Ears(lambda _: heard.put(time.perf_counter()), lambda: None)
        listener.start(frozenset({"rollouts"}), ears)
        took = []
        for number in range(TOLD):
            begun = time.perf_counter()
            teller.tell(f"change {number}")
            took.append(1e3 * (heard.get(timeout=WAIT_S) - begun))
    finally:
        listener.stop()
        one.close()
        other.close()
    took.sort()
    return {"told_ms": round(median(took), 2), "told_p99_ms": round(took[int(0.99 * TOLD)], 2)}
