"""The controllers of a run of the fleet simulator, as processes: one with a file, or several on a
PostgreSQL database, restarted one after the other where the plan says so.
"""

from __future__ import annotations

import contextlib
import math
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from framegate.machines.lifecycle import State
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.record.check import check_record
from framegate_controller.registry_address import StoreAt
from framegate_controller.settings import FLEET_CONNECTIONS, MAX_ATTEST_LIMIT
from framegate_controller.store.database import open_store
from framegate_controller.store.ports import EntryQuery
from framegate_controller.store.ports.controllers import READS
from framegate_controller.store.transfer import move_rows
from framegate_simulators.fixtures.postgres import LocalPostgres, local_postgres
from framegate_simulators.fleet.plan import Plan
from framegate_simulators.fleet.processor_share import (
    ProcessorShare,
    Throttled,
    processor_share,
)
from framegate_simulators.fleet.turn_watch import TurnWatch
from framegate_simulators.fleet.versions import Forms, environment
from framegate_simulators.plant.processes import PlantError, free_port, wait_for
from framegate_simulators.process_readings import children_of, processor_s, resident_kib

START_S: Final = 120.0
"""A controller starts in a second or two; on a machine that does much else it takes its turn."""
BESIDE: Final = 512
"""Connections to a fleet port beside its machines': those that are about to end, and people."""
ENDS_S: Final = 60.0
ROLLS: Final = 0.25
"""Of the machines' life, before each restart: they live on between two, and after the last."""
MOST_ENTRIES: Final = 10_000_000
DATABASE: Final = "fleet"
_PAGES: Final = ("page_count", "page_size")
_CONTROLLER: Final = (
    "from framegate_host.confinement import end_with_parent; end_with_parent();"
    "from framegate_controller.main import run_app; run_app()"
)
"""A controller of this run, which a killed run does not leave behind."""
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used so far: CPU seconds, resident KiB; its children's are in it, and of
    the seconds `children_s` are theirs.
    """

    cpu_s: float
    resident_kib: int
    children_s: float = 0.0

    @classmethod
    def of(cls, pid: int) -> Usage:
        """Of the process `pid` and its children, by /proc; of children that ended the CPU too."""
        took_s, kib = dict[int, float](), 0
        for one in (pid, *children_of(pid)):
            with contextlib.suppress(OSError):
                took_s[one] = processor_s(one, ended_children=True)
                kib += resident_kib(one)
        whole_s = sum(took_s.values())
        return cls(whole_s, kib, whole_s - took_s.get(pid, 0.0))

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.cpu_s + other.cpu_s,
            self.resident_kib + other.resident_kib,
            self.children_s + other.children_s,
        )


NOTHING: Final = Usage(0.0, 0)


def slices_of(pid: int) -> int:
    """How often the threads of process `pid` were given a processor: schedstat of /proc (proc(5)),
    its third number.
    """
    count = 0
    for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with contextlib.suppress(OSError):  # a thread that ended meanwhile
            count += int(task.read_text().split()[2])
    return count


@dataclass(frozen=True, slots=True)
class Restart:
    """Of one controller: seconds from SIGTERM to its end, and from there until it serves again."""

    name: str
    code: int
    ended_s: float
    back_s: float


@dataclass(frozen=True, slots=True)
class Registry:
    """What stands in the registry after a run: machines by state, entries of a whole record, how
    many of them say that a trusted machine proved itself again; whether everybody who was there of
    late reads this version's form of rows.
    """

    states: dict[str, int]
    entries: int
    attested: int
    all_read: bool


class Controllers:
    """`folder` is the first one's, which has a fleet. Use as a context manager."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self._plan, self._stack = plan, contextlib.ExitStack()
        self._folders = [folder, *(folder.with_name(f"{folder.name}-{n}") for n in self._more)]
        self._ports = [(free_port(), free_port()) for _ in self._folders]
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._gone, self._before = NOTHING, [plan.before for _ in self._folders]
        self.forms: list[Forms] = []
        self._shares: list[ProcessorShare] = []
        self._server: LocalPostgres | None = None
        self.at = StoreAt(folder)

    @property
    def _more(self) -> range:
        return range(2, self._plan.controllers + 1)

    def __enter__(self) -> Controllers:
        with contextlib.ExitStack() as stack:
            inner = stack.enter_context(contextlib.ExitStack())  # over once they have ended
            stack.callback(self._stop_all)
            if self._plan.database:
                self._server = stack.enter_context(local_postgres(durable=True))
                self.at = StoreAt(self._folders[0], self._server.create(DATABASE))
                self._move(StoreAt(self._folders[0]))
            for folder in self._folders[1:]:
                self._add(folder)
            groups = len(self._folders) if self._plan.share else 0
            self._shares = [
                inner.enter_context(processor_share(self._plan.share)) for _ in range(groups)
            ]
            for number in range(len(self._folders)):
                self._start(number)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def ports(self) -> dict[str, list[str]]:
        """Addresses of join and fleet ports, in one order."""
        return {
            "joins": [f"127.0.0.1:{join}" for join, _ in self._ports],
            "fleets": [f"127.0.0.1:{fleet}" for _, fleet in self._ports],
        }

    def used(self) -> Usage:
        """By all controllers so far, those that were restarted too."""
        here = (Usage.of(process.pid) for process in self._processes.values())
        return sum(here, Usage(self._gone.cpu_s, 0))

    def slices(self) -> int:
        """How often the kernel gave a processor to one of the controllers' threads so far."""
        return sum(map(slices_of, (process.pid for process in self._processes.values())))

    def database_used(self) -> Usage:
        """By the database's server so far; nothing where there is none."""
        if self._server is None:
            return NOTHING
        pid = (self._server.folder / "data" / "postmaster.pid").read_text().split("\n", 1)[0]
        return Usage.of(int(pid))

    def throttled(self) -> Throttled:
        """In how many of their periods controllers had used up their shares so far."""
        return sum((share.throttled() for share in self._shares), Throttled())

    def turn_watch(self) -> TurnWatch | None:
        """Of the database's turn to write; None where there is none."""
        return TurnWatch(self._server, DATABASE) if self._server is not None else None

    def lived(self, say: Say) -> list[dict[str, Any]]:
        """While machines live: each controller ends in order and is started again, where the plan
        has that. Raises PlantError where one does not come back.
        """
        if not self._plan.rolling:
            return []
        restarts = []
        for number in range(len(self._folders)):
            time.sleep(ROLLS * self._plan.seconds)
            self._look_at_forms()
            restarts.append(asdict(self._restarted(number)))
            say(f"{self._name(number)} was restarted: {restarts[-1]}")
        return restarts

    def _look_at_forms(self) -> None:
        if self._server is not None and self._plan.before:
            self.forms.append(Forms.of(self._server, DATABASE))

    def _move(self, source: StoreAt) -> None:
        if not self._plan.before:
            move_rows(source, self.at)
            return
        self._command("store", "move", "--state", str(source.state), "--to", self.at.address)

    def registry(self, keys: FleetKeys) -> Registry:
        """After the run. Raises FramegateError where the record is not whole."""
        store = open_store(self.at)
        try:
            with store.reading() as tx:
                checked = check_record(tx, keys)
                again = EntryQuery(event="attested")
                attested = tx.log.entries(again, first=0, below=checked.entries, most=MOST_ENTRIES)
                all_read = tx.controllers.all_read(READS)
                states = Counter(State(device.state).value for device in tx.devices.all())
        finally:
            store.close()
        return Registry(dict(states), checked.entries, len(attested), all_read)

    def registry_bytes(self) -> int:
        """What the registry holds by now, whether or not it has left its journal."""
        if self._server is not None:
            return int(self._server.sql(DATABASE, f"SELECT pg_database_size('{DATABASE}')"))
        at = f"file:{self._folders[0] / 'registry.db'}?mode=ro"
        with contextlib.closing(sqlite3.connect(at, uri=True)) as registry:
            asked = [registry.execute(f"PRAGMA {name}").fetchone() for name in _PAGES]
        return math.prod(value for (value,) in asked)

    def _restarted(self, number: int) -> Restart:
        process = self._processes.pop(number)
        used, begun = Usage.of(process.pid), time.monotonic()
        process.terminate()
        code = process.wait(ENDS_S)
        ended = time.monotonic()
        self._gone += Usage(used.cpu_s, 0)
        self._before[number] = ""
        self._start(number)
        back_s = time.monotonic() - ended
        return Restart(self._name(number), code, round(ended - begun, 2), round(back_s, 2))

    def _add(self, folder: Path) -> None:
        store = ("--state", str(self._folders[0]), "--store", self.at.address)
        self._command("add-controller", str(folder), *store)

    def _start(self, number: int) -> None:
        folder, (join, fleet) = self._folders[number], self._ports[number]
        ready = folder / "ready.json"
        ready.unlink(missing_ok=True)
        argv = ["run", "--state", str(folder), "--name", self._name(number)]
        argv += ["--join-port", str(join), "--fleet-port", str(fleet), "--ready-file", str(ready)]
        argv += ["--attest-interval", str(self._plan.interval_s)]
        if self._plan.pressing:  # a few machines ask for what many would, past one's share
            argv += ["--attest-limit", str(MAX_ATTEST_LIMIT)]
        argv += ["--store", self.at.address] if self.at.address else []
        if (connections := self._plan.devices + BESIDE) > FLEET_CONNECTIONS and self._plan.keep:
            argv += ["--fleet-connections", str(connections)]
        for other, (its_join, its_fleet) in enumerate(self._ports):
            argv += [] if other == number else ["--peer", f"127.0.0.1:{its_join}:{its_fleet}"]
        with (folder / "controller.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", self._entering(number) + _CONTROLLER, *argv],
                stdout=log,
                stderr=log,
                env=environment(self._before[number]),
            )
        self._processes[number] = process

        def up() -> bool:
            if process.poll() is not None:
                tail = (folder / "controller.log").read_text(errors="replace")[-2000:]
                raise PlantError(f"a controller ended: {tail}")
            return ready.exists()

        wait_for("a controller", up, START_S)

    def _entering(self, number: int) -> str:
        """What a controller does first: it goes where it has its share of a processor."""
        if not self._shares:
            return ""
        return f"open({str(self._shares[number].entry)!r}, 'w').write('0');"

    @staticmethod
    def _name(number: int) -> str:
        return f"controller-{number + 1}"

    def _command(self, *argv: str) -> None:
        done = subprocess.run(
            [sys.executable, "-c", _CONTROLLER, *argv],
            capture_output=True,
            text=True,
            check=False,
            env=environment(self._plan.before),
        )
        if done.returncode:
            raise PlantError(f"{argv[0]}: {done.stdout}{done.stderr}"[-2000:])

    def end(self) -> None:
        """End them, so that the registry is at rest; the database goes on."""
        self._stop_all()
        self._look_at_forms()

    def _stop_all(self) -> None:
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(ENDS_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()
