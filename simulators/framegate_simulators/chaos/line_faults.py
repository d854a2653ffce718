"""Faults of a whole line of real programs: each is killed, each link is disturbed, the camera's TPM
answers with errors or hangs, strangers crowd the ports. Counted from outside, by a PLC and an
observer of signed verdicts.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Final

from framegate_simulators.chaos import disk, strangers
from framegate_simulators.chaos.chaos_plant import ChaosPlant
from framegate_simulators.chaos.line_checks import LineChecks
from framegate_simulators.chaos.outcome import Outcome
from framegate_simulators.chaos.relay import Mode, Relays
from framegate_simulators.plant.line_plant import LINE, LinePlant
from framegate_simulators.plant.processes import PlantError, wait_for

PARTS: Final = 4
INTERVAL_S: Final = 4.0
LASTS_S: Final = 3.0
"""How long a link or a TPM is disturbed at most."""
HEAL_S: Final = 150.0
KILLED: Final = ("camera", "gateway", "broker", "adapter", "controller", "host")
LINKS: Final = ("controller", "camera", "gateway-broker", "adapter-broker")
MODES: Final = (Mode.CUT, Mode.DELAY, Mode.SLOW, Mode.LOSS, Mode.HALF_OPEN, Mode.ONE_WAY)
TPM_MODES: Final = (Mode.RETRY, Mode.LOCKOUT, Mode.HANGS, Mode.SLOW)
CLOCKS: Final = ("camera", "gateway", "adapter", "controller", "host")
DISKS: Final = ("camera", "gateway", "adapter", "controller", "host")
HOUR_S: Final = 3_600
Fault = Callable[[random.Random], contextlib.AbstractContextManager[None]]


def line_possible() -> str:
    """Why a line cannot be had here; empty where it can."""
    path = "/usr/sbin:/usr/bin:/usr/local/bin"
    missing = [name for name in ("swtpm", "mosquitto") if not shutil.which(name, path=path)]
    return f"not installed: {', '.join(missing)}" if missing else ""


class LineRuns:
    """A line that lives through all runs. Use as a context manager."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._stack = contextlib.ExitStack()
        self.faults: dict[str, int] = {
            **{f"line: {name} kill -9": 3 for name in KILLED},
            **{f"line: link {link}: {mode}": 1 for link in LINKS for mode in MODES},
            **{f"line: clock of {whose} {by}1 h": 1 for whose in CLOCKS for by in "+-"},
            **{f"line: disk of {whose} full": 1 for whose in DISKS if disk.possible()},
            **{f"line: TPM {mode}": 1 for mode in TPM_MODES},
            "line: 1,000 half-open connections": 1,
            "line: slow-loris": 1,
        }

    def __enter__(self) -> LineRuns:
        with contextlib.ExitStack() as stack:
            relays = stack.enter_context(Relays())
            plant = ChaosPlant(relays, interval_s=INTERVAL_S, logs=self._logs)
            self.plant = stack.enter_context(plant)
            stack.enter_context(plant.explained())
            self.line = stack.enter_context(LinePlant(plant))
            self._checks = LineChecks(self.line)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def run(self, name: str, chance: random.Random) -> Outcome:
        """Parts enter; in their midst comes the fault, lasts a while and is over. Then nobody helps
        but the supervisor, who starts again what has ended.
        """
        line, problems = self.line, []
        before = len(line.conveyor.parts)
        line.conveyor.start(PARTS)
        time.sleep(chance.random() * PARTS / line.rate)
        with self._fault(name)(chance):
            time.sleep(LASTS_S * chance.random())
        begun = time.monotonic()
        line.conveyor.finish()
        restarted = self._supervised()
        try:
            self._healed()
        except PlantError as error:
            problems.append(str(error))
        healed_ms = 1e3 * (time.monotonic() - begun)
        problems += self._checks.problems(before)
        outside = line.outside(before)
        became = "healed" if not restarted else f"healed, {'+'.join(restarted)} started again"
        return Outcome(
            became if not problems else "not healed",
            outside.parts_in,
            outside.let_through + outside.diverted,
            healed_ms,
            tuple(problems),
        )

    def _fault(self, name: str) -> Fault:
        what = name.removeprefix("line: ")
        if what.endswith(" kill -9"):
            return partial(self._killed, what.removesuffix(" kill -9"))
        if what.startswith("link "):
            _, link, mode = (part.strip() for part in what.replace("link ", ":").split(":"))
            return partial(self._disturbed, link, Mode(mode))
        if what.startswith("TPM "):
            return partial(self._disturbed, "tpm", Mode(what.removeprefix("TPM ")))
        if what.startswith("clock of "):
            whose, by, _ = what.removeprefix("clock of ").split()
            return partial(self._clock_set, whose, HOUR_S * int(by))
        if what.startswith("disk of "):
            return partial(self._disk_full, what.removeprefix("disk of ").removesuffix(" full"))
        if what == "slow-loris":
            return lambda chance: strangers.slow_loris(self._ports(), chance)
        return lambda _chance: strangers.half_open(self._ports())

    @contextlib.contextmanager
    def _killed(self, target: str, _chance: random.Random) -> Iterator[None]:
        """kill -9, and at once started again, as by its supervisor."""
        plant = self.plant
        if target == "controller":
            plant.stop("controller", signal.SIGKILL)
            plant.start_controller()
        elif target == "host":
            gateway = self.line.serving()
            plant.stop(f"agent-{gateway.name}", signal.SIGKILL)
            plant.start_agent(gateway)
        else:
            self.line.kill(target)
        yield

    @contextlib.contextmanager
    def _disturbed(self, link: str, mode: Mode, _chance: random.Random) -> Iterator[None]:
        for relay in self.plant.links[link]:
            relay.mode = mode
        try:
            yield
        finally:
            for relay in self.plant.links[link]:
                relay.mode = Mode.WHOLE

    @contextlib.contextmanager
    def _clock_set(self, whose: str, by_s: int, _chance: random.Random) -> Iterator[None]:
        """A program's clock is set, and for a while it is wrong; then somebody sets it right."""
        names = {
            "camera": f"agent-{self.line.camera.name}",
            "gateway": f"gateway-{self.line.serving().name}",
            "host": f"agent-{self.line.serving().name}",
            "adapter": f"line-{LINE}",
            "controller": "controller",
        }
        clocks = self.plant.clocks
        clocks.step(names[whose], by_s)
        try:
            yield
        finally:
            clocks.step(names[whose], 0)

    @contextlib.contextmanager
    def _disk_full(self, whose: str, _chance: random.Random) -> Iterator[None]:
        """The disk of a program is full, and then somebody makes room."""
        disks = self.plant.disks[whose]
        for each in disks:
            each.leave(0)
        try:
            yield
        finally:
            for each in disks:
                each.empty()

    def _ports(self) -> list[int]:
        plant = self.plant
        gateways = [port for gateway in self.line.gateways for port in plant.gateway_ports(gateway)]
        return [plant.join_port, plant.fleet_port, *gateways]

    def _supervised(self) -> list[str]:
        """Start again what has ended by itself; its names."""
        plant, line, again = self.plant, self.line, []
        starts: Mapping[str, Callable[[], None]] = {
            "controller": plant.start_controller,
            f"agent-{line.camera.name}": line.start_camera,
            f"line-{LINE}": line.start_adapter,
            **{f"agent-{g.name}": partial(plant.start_agent, g) for g in line.gateways},
            **{f"gateway-{g.name}": partial(line.start_gateway, g) for g in line.gateways},
        }
        for name, start in starts.items():
            if plant.process(name).poll() is not None:
                plant.stop(name)
                start()
                again.append(name)
        return again

    def _healed(self) -> None:
        """Let parts in until a good one passes again, and the ledger has none that is open."""
        end = time.monotonic() + HEAL_S
        while True:
            before = len(self.line.conveyor.parts)
            self.line.conveyor.run(2)
            if any(part.let_through for part in self.line.conveyor.parts[before:]):
                break
            self._supervised()
            if time.monotonic() > end:
                raise PlantError(f"no part passes {HEAL_S:g} s after the fault")
        wait_for("every part to be decided", lambda: not self._checks.open_parts(), HEAL_S)
