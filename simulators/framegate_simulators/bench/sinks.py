"""make bench --only sinks: what sending the record to SIEMs costs and loses.

- `kills`: forwarder, sink's process and sink are killed in turn while a record of many entries is
  sent: entries that are missing in the end, and that came again, for each kill;
- `latency`: from the entry in the record to the sink, at a plant's pace;
- `dead_sink`: a whole attestation at the store with sinks that are dead, against without any.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final

from framegate.machines.lifecycle import State
from framegate.ocsf.logged import OcsfVersion
from framegate.record.machine_events import Attested
from framegate.registry.sink import Sink, SinkKind
from framegate_controller.ca.generations import FolderKeyRing
from framegate_controller.context import Fleet
from framegate_controller.fleet.attestation import Verifier
from framegate_controller.forwarding.forwarder import Forwarder
from framegate_controller.store.database import Database, now_ms, open_registry
from framegate_controller.timing import Timing
from framegate_simulators.bench.attestation import MODEL, founded
from framegate_simulators.fixtures.collector import came
from framegate_simulators.fixtures.controller import without_quota
from framegate_simulators.forge.forge import Forge
from framegate_simulators.machine.boot import Firmware
from framegate_simulators.machine.tpm import TpmMaker
from framegate_simulators.plant.processes import free_port
from framegate_simulators.process_readings import children_of

ENTRIES: Final = 100_000
KILLS: Final = 200
AT_ONCE: Final = 1_000
LIVE_S: Final = 20.0
LIVE_PER_S: Final = 100
ROUNDS: Final = 6
A_ROUND: Final = 120
FAILED: Final = 4
"""Failures after which a dead sink is tried every four seconds and more seldom."""
WAIT_S: Final = 900.0
NAME: Final = "siem"


def bench_sinks(say: Callable[[str], None]) -> dict[str, Any]:
    """All three."""
    with tempfile.TemporaryDirectory(prefix="fg-sinks-") as name:
        figures: dict[str, Any] = {}
        for what, work in (
            ("kills", lambda folder: kills(folder, ENTRIES, KILLS)),
            ("latency", latency),
            ("dead_sink", dead_sink),
        ):
            folder = Path(name) / what
            folder.mkdir()
            figures[what] = work(folder)
            say(f"sinks, {what}: {figures[what]}")
        return figures


def fill(store: Database, count: int) -> None:
    """Record `count` entries as a fleet's machines make them."""
    for start in range(0, count, AT_ONCE):
        with store.writing() as tx:
            for number in range(start, min(start + AT_ONCE, count)):
                event = Attested(
                    device=f"camera.line-1.cam{number % 40}",
                    result="affirming",
                    evidence_sha256=bytes(32),
                    profile="simulated-camera@1",
                )
                tx.record(event, by="controller")


def _add(store: Database, kind: SinkKind, address: str, name: str = NAME) -> None:
    sink = Sink(
        name=name,
        kind=kind,
        address=address,
        channel="ocsf",
        version=OcsfVersion.V1_8,
        first=0,
        confirmed=0,
        added_ms=1,
    )
    with store.writing() as tx:
        tx.sinks.put(sink)


def _confirmed(store: Database) -> int:
    with store.reading() as tx:
        sink = tx.sinks.get(NAME)
    return sink.confirmed if sink is not None else 0


def _has_confirmed(store: Database, size: int) -> bool:
    return _confirmed(store) >= size


@dataclass
class Chaos:
    """A forwarder and a collector, each a program; `kill` ends one of three things."""

    state: Path
    port: int
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        """What the collector wrote."""
        return self.state / "came"

    def start(self) -> None:
        """What is not running."""
        modules = {
            "collector": ["fixtures.collector", str(self.port), str(self.file)],
            "forwarder": ["bench.forward", str(self.state)],
        }
        for name, (module, *rest) in modules.items():
            if name not in self.running or self.running[name].poll() is not None:
                argv = [sys.executable, "-m", f"framegate_simulators.{module}", *rest]
                self.running[name] = subprocess.Popen(argv, stderr=subprocess.DEVNULL)

    def kill(self, turn: int) -> None:
        """The forwarder with what it started, the sink's process alone, or the sink."""
        if turn % 3 == 1:
            for child in children_of(self.running["forwarder"].pid):
                _end(child)
            return
        name = "forwarder" if turn % 3 == 0 else "collector"
        process = self.running[name]
        process.send_signal(signal.SIGKILL)
        process.wait()

    def end(self) -> None:
        """Everything."""
        for process in self.running.values():
            process.kill()
            process.wait()


def _end(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it ended by itself meanwhile
        os.kill(pid, signal.SIGKILL)


def kills(state: Path, entries: int, times: int, seed: int = 7) -> dict[str, Any]:
    """Kill `times` times while `entries` entries are sent; what is missing, and what came again.

    Raises TimeoutError where they are not all confirmed in the end.
    """
    store, chance = open_registry(state / "registry.db"), random.Random(seed)
    fill(store, entries)
    chaos = Chaos(state, free_port())
    _add(store, SinkKind.ELASTIC, f"http://127.0.0.1:{chaos.port}")
    step, begun = entries / (times + 1), time.monotonic()
    done = 0
    try:
        for turn in range(times):
            chaos.start()
            _wait(partial(_has_confirmed, store, min(entries, int(step * turn))))
            time.sleep(chance.uniform(0, 0.05))
            chaos.kill(turn)
            done += _confirmed(store) < entries
        chaos.start()
        _wait(lambda: _confirmed(store) == entries)
    finally:
        chaos.end()
        store.close()
    rows = list(came(chaos.file))
    unique = {r.uid for r in rows}
    return {
        "entries": entries,
        "kills": times,
        "kills_before_the_end": done,
        "missing": entries - len(unique & {f"plant:{n}" for n in range(entries)}),
        "again": len(rows) - len(unique),
        "again_a_kill": round((len(rows) - len(unique)) / times, 1),
        "seconds": round(time.monotonic() - begun, 1),
    }


def forwarded(state: Path, entries: int) -> dict[str, Any]:
    """Send a record of `entries` to one collector that confirms them; entries a second from the
    first batch that was confirmed to the last.
    """
    store = open_registry(state / "registry.db")
    fill(store, entries)
    chaos = Chaos(state, free_port())
    _add(store, SinkKind.ELASTIC, f"http://127.0.0.1:{chaos.port}")
    try:
        chaos.start()
        _wait(lambda: _confirmed(store) > 0)
        first, begun = _confirmed(store), time.monotonic()
        _wait(lambda: _confirmed(store) == entries)
        seconds = time.monotonic() - begun
    finally:
        chaos.end()
        store.close()
    missing = entries - len({c.uid for c in came(chaos.file)})
    return {
        "entries": entries,
        "missing": missing,
        "seconds": round(seconds, 2),
        "per_s": round((entries - first) / seconds),
    }


def _wait(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_S
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("the sink did not confirm in time")
        time.sleep(0.005)


def latency(state: Path) -> dict[str, Any]:
    """From the entry's time to its coming, ms, while entries are recorded at a steady pace."""
    store = open_registry(state / "registry.db")
    chaos = Chaos(state, free_port())
    _add(store, SinkKind.ELASTIC, f"http://127.0.0.1:{chaos.port}")
    at: dict[str, int] = {}
    try:
        fill(store, 1)
        chaos.start()
        _wait(lambda: _confirmed(store) == 1)
        end = time.monotonic() + LIVE_S
        while time.monotonic() < end:
            with store.writing() as tx:
                index = tx.record(Attested(result="affirming", evidence_sha256=b"", profile="p"))
                at[f"plant:{index}"] = tx.now_ms
            time.sleep(1 / LIVE_PER_S)
        _wait(lambda: _confirmed(store) == len(at) + 1)
    finally:
        chaos.end()
        store.close()
    took = sorted(c.at_ms - at[c.uid] for c in came(chaos.file) if c.new and c.uid in at)
    return {
        "entries": len(took),
        "p50_ms": took[len(took) // 2],
        "p99_ms": took[int(0.99 * len(took))],
        "worst_ms": took[-1],
    }


def dead_sink(state: Path, rounds: int = ROUNDS) -> dict[str, Any]:
    """A whole attestation at the store with two sinks that have been dead for seconds (one refuses
    connections, one never answers), against without any, in turns: medians of its time, and the
    processor's time of this process for each, forwarder included (ms).
    """
    maker = TpmMaker.found()
    forge = Forge(maker, Firmware(MODEL))
    keys, (code,) = founded(state, [forge], maker)
    store = open_registry(state / "registry.db")
    fleet = Fleet(ring=FolderKeyRing(keys), timing=Timing(), clock=now_ms, controller="bench")
    verifier = Verifier(store, fleet, state=without_quota(fleet.timing))
    hello = forge.hello(code)
    begun = verifier.begin_join(hello, "bench")
    mac, evidence = forge.answer(fleet.digest, hello, begun.challenge)
    verifier.complete_join(begun.state, mac, evidence)
    took: dict[bool, list[float]] = {True: [], False: []}
    spent: dict[bool, float] = {True: 0.0, False: 0.0}
    with socket.create_server(("127.0.0.1", 0)) as mute, _forwarding(store, state):
        for turn in range(4 * -(-rounds // 2)):
            dead = turn % 4 in {1, 2}  # off, on, on, off: what drifts is in both alike
            _set_dead(store, mute.getsockname()[1] if dead else 0)
            before = time.process_time()
            took[dead] += [_attest_ms(verifier, fleet, forge) for _ in range(A_ROUND)]
            spent[dead] += time.process_time() - before
        _set_dead(store, 0)
    store.close()
    with_dead, without = median(took[True]), median(took[False])
    each = 1e3 / (2 * -(-rounds // 2) * A_ROUND)
    return {
        "with_ms": round(with_dead, 3),
        "without_ms": round(without, 3),
        "ratio": round(with_dead / without, 4),
        "cpu_with_ms": round(spent[True] * each, 3),
        "cpu_without_ms": round(spent[False] * each, 3),
        "cpu_ratio": round(spent[True] / spent[False], 4),
    }


def _set_dead(store: Database, port: int) -> None:
    """Two dead sinks that have failed some times, the second at `port`; none where that is 0."""
    with store.reading() as tx:
        names = {s.name for s in tx.sinks.all()}
    if not port:
        with store.writing() as tx:
            for name in names:
                tx.sinks.remove(name)
        return
    if not names:
        _add(store, SinkKind.WEBHOOK, "http://127.0.0.1:9", NAME)
        _add(store, SinkKind.WEBHOOK, f"http://127.0.0.1:{port}", "mute")
    _wait(lambda: _failures(store) >= FAILED)


def _failures(store: Database) -> int:
    with store.reading() as tx:
        sink = tx.sinks.get(NAME)
    return sink.failures if sink is not None else 0


def _attest_ms(verifier: Verifier, fleet: Fleet, forge: Forge) -> float:
    device = "camera.line-1.cam0"
    hello = forge.attest_hello(known_log=True)
    start = time.perf_counter()
    begun = verifier.begin_attest(hello, device)
    middle = time.perf_counter()
    _, evidence = forge.answer(fleet.digest, hello, begun.challenge, join=False)
    again = time.perf_counter()
    if verifier.complete_attest(begun.state, evidence, device).state != State.TRUSTED:
        raise RuntimeError("the machine is not trusted")
    return 1e3 * (middle - start + time.perf_counter() - again)


@contextmanager
def _forwarding(store: Database, state: Path) -> Iterator[None]:
    """A forwarder, in the loop of a thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    forwarder = Forwarder(store, "plant", state)
    asyncio.run_coroutine_threadsafe(forwarder.start(), loop).result()
    try:
        yield
    finally:
        asyncio.run_coroutine_threadsafe(forwarder.stop(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
