"""A process of the fleet simulator: some of the machines, each at its own time.

It says on standard output, a line of JSON each, what it has made, that all have joined, and what
came of it; it is told on standard input when to go on.
"""

from __future__ import annotations

import asyncio
import heapq
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from framegate.errors import FramegateError
from framegate.machines.lifecycle import State
from framegate_host.cycles import looked_for_rarely
from framegate_simulators.fleet.device import (
    AGAIN_S,
    MODEL,
    RELEASES,
    FleetDevice,
    FleetForge,
    How,
    Ports,
)
from framegate_simulators.fleet.measured import Measured
from framegate_simulators.fleet.plan import Act, Plan
from framegate_simulators.machine.boot import Firmware
from framegate_simulators.machine.tpm import TpmMaker

JOINS: Final = 24
"""Machines of one process that join at once: they have no rate to keep to."""
AT_ONCE: Final = 256
"""Attestations of one process under way at once; past it the next wait, and that is in their time.
"""
LOOK_S: Final = 0.05
"""How soon a turn that comes first is seen."""
MOST_SAID: Final = 160
"""Of what a machine was told with an error, letters."""
LATE_INTERVALS: Final = 2.5
"""After which a machine that is late comes again: the controller calls it stale after two."""


class Worker:
    """The machines from `first` on, every `step`-th."""

    def __init__(self, plan: Plan, first: int, maker: TpmMaker) -> None:
        self.plan, self._chance = plan, random.Random(plan.seed + first)
        firmware = Firmware(MODEL, release=RELEASES[0])
        numbers = range(first, plan.devices, plan.workers)
        self.devices = {
            n: FleetDevice(f"camera.line-1.cam{n}", FleetForge(maker, firmware), n) for n in numbers
        }
        self.acts, self.errors, self.late = Counter[str](), Counter[str](), Counter[str]()
        self.said = Counter[str]()
        self._away: set[int] = set()
        self._queue: list[tuple[float, int]] = []
        self._end_s = float("inf")
        self.took: dict[How, list[float]] = {how: [] for how in How}
        self.join_ms: list[float] = []
        self.join_cpu_s, self.meanwhile = 0.0, 0

    async def join_all(self, ports: Ports) -> None:
        """Every machine by its ticket; one that is refused is counted and tried again once."""
        turns, cpu_s = asyncio.Semaphore(JOINS), time.process_time()

        async def one(number: int, device: FleetDevice) -> None:
            async with turns:
                for _ in range(2):
                    begun = time.monotonic()
                    try:
                        await device.join(ports, code_of(number))
                    except FramegateError as error:
                        self.errors[f"join: {error.reason.value}"] += 1
                        continue
                    now = device.last_s = time.monotonic()
                    self.join_ms.append(1e3 * (now - begun))
                    first = now + self.plan.interval_s * self._chance.random()
                    heapq.heappush(self._queue, (first, number))
                    return

        await asyncio.gather(*(one(n, d) for n, d in self.devices.items()))
        self.join_cpu_s, self.meanwhile = time.process_time() - cpu_s, self.acts.total()

    def count_from_here(self) -> None:
        """All have joined: what is counted begins, and ends after as long as the plan says."""
        self._end_s = time.monotonic() + self.plan.seconds
        self.acts, self.late, self.said = Counter(), Counter(), Counter()
        self.took = {how: [] for how in How}
        self.errors = Counter({k: n for k, n in self.errors.items() if k.startswith("join: ")})

    async def live(self, ports: Ports) -> None:
        """Each machine's turns, from the moment it has joined; an interval is spread over, as by
        machines that were not switched on at one moment. As an agent does, a machine comes again
        an interval after it was answered, so that machines that wait ask for less.
        """
        turns, queue = asyncio.Semaphore(AT_ONCE), self._queue
        running: set[asyncio.Task[None]] = set()
        while time.monotonic() < self._end_s:
            if not queue or queue[0][0] > time.monotonic() + LOOK_S:
                await asyncio.sleep(LOOK_S)
                continue
            due, number = heapq.heappop(queue)
            act = self._act(number)
            if act == Act.LATE and number not in self._away:
                self._away.add(number)
                again = due + self.plan.interval_s * (LATE_INTERVALS - 1)
                heapq.heappush(queue, (again, number))
                continue
            self._away.discard(number)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            await turns.acquire()
            task = asyncio.create_task(self._lived(ports, number, act, due))
            running.add(task)
            task.add_done_callback(running.discard)
            task.add_done_callback(lambda _done: turns.release())
        if running:
            await asyncio.wait(running)

    async def _lived(self, ports: Ports, number: int, act: Act, due: float) -> None:
        """A turn, and when the next one is."""
        try:
            await self._turn(ports, self.devices[number], act, due)
        finally:
            spread = self._chance.uniform(1 - self.plan.jitter, 1 + self.plan.jitter)
            wait = self.plan.interval_s * spread
            heapq.heappush(self._queue, (time.monotonic() + wait, number))

    async def press(self, ports: Ports) -> None:
        """Each machine again as soon as it was answered, all of them at once."""

        async def one(number: int, device: FleetDevice) -> None:
            while (now := time.monotonic()) < self._end_s:
                if not await self._turn(ports, device, self._act(number), now):
                    await asyncio.sleep(AGAIN_S)

        await asyncio.gather(*(one(n, d) for n, d in self.devices.items()))

    async def once(self, ports: Ports) -> None:
        """Each machine attests once, over the connection that it keeps from then on."""
        turns = asyncio.Semaphore(JOINS)

        async def one(device: FleetDevice) -> None:
            async with turns:
                await self._turn(ports, device, Act.RENEW, time.monotonic())

        await asyncio.gather(*(one(device) for device in self.devices.values()))

    def _act(self, number: int) -> Act:
        """What this machine does now: what it is away for, or what chance says."""
        if number in self._away:
            return Act.LATE
        tampered = self.devices[number].tampered
        return Act.TAMPER if tampered else self.plan.shares.draw(self._chance)

    async def _turn(self, ports: Ports, device: FleetDevice, act: Act, due: float) -> bool:
        """Whether it was answered."""
        self.acts[act.value] += 1
        try:
            state = await self._done(ports, device, act)
        except FramegateError as error:
            self.errors[f"{act.value}: {error.reason.value}"] += 1
            failure = error.failures[0]
            self.said[f"{failure.expected}, got {failure.actual}"[:MOST_SAID]] += 1
            return False
        now = time.monotonic()
        self.took[device.how].append(1e3 * (now - due))
        if (state == State.TRUSTED) == device.tampered:
            self.errors[f"{act.value}: is {state.value}"] += 1
        if act != Act.LATE and now - device.last_s > 2 * self.plan.interval_s:
            self.late[device.name] += 1
        device.last_s = now
        return True

    async def _done(self, ports: Ports, device: FleetDevice, act: Act) -> State:
        firmware = device.forge.firmware
        if act == Act.TAMPER and not device.tampered:
            device.tampered = True
            device.reboot(firmware.tampered())
        elif act == Act.UPDATE:
            device.reboot(replace(firmware, release=RELEASES[1]))
        elif act == Act.REBOOT:
            device.reboot()
        elif act == Act.RENEW and device.admitted:
            return await device.attest(ports, keep=self.plan.keep, watching=self.plan.watching)
        return await device.join(ports)

    def result(self) -> dict[str, Any]:
        """What came of it, for the process that began this one."""
        return {
            "acts": self.acts,
            "errors": self.errors,
            "said": self.said,
            "late": len(self.late),
            "went_over": sum(device.went_over for device in self.devices.values()),
            "silent": sum(device.watch.silent for device in self.devices.values()),
            "join_cpu_s": self.join_cpu_s,
            "meanwhile": self.meanwhile,
            "joined": len(self.join_ms),
            "join_ms": self.join_ms,
            "took_ms": self.took,
            "cpu_s": time.process_time(),
        }


def code_of(number: int) -> bytes:
    """The ticket's code of machine `number`: 16 bytes, which nobody has to guess here."""
    return f"fleet-{number:010}".encode()


def _say(body: Mapping[str, Any]) -> None:
    print(json.dumps(body), flush=True)


def _told() -> dict[str, Any]:
    line = sys.stdin.readline()
    if not line:
        raise SystemExit("the process that began this one is gone")
    return dict(json.loads(line))


async def _run() -> None:
    begun = _told()
    worker = Worker(
        Plan.of(begun["plan"]), begun["first"], TpmMaker.load_or_found(Path(begun["maker"]))
    )
    _say({str(n): device.forge.ek_sha256.hex() for n, device in worker.devices.items()})
    at = await asyncio.to_thread(_told)
    joins, fleets = tuple(at["joins"]), tuple(at["fleets"])
    ports = Ports(joins, fleets, at["root"].encode(), bytes.fromhex(at["digest"]))
    pressing = worker.plan.pressing
    living = None if pressing else asyncio.create_task(worker.live(ports))
    await worker.join_all(ports)
    if pressing:
        await worker.once(ports)
    _say({"joined": len(worker.join_ms)})
    await asyncio.to_thread(_told)
    worker.count_from_here()
    cpu_s = time.process_time()
    await (worker.press(ports) if living is None else living)
    _say(worker.result() | {"cpu_s": time.process_time() - cpu_s})
    measured = Measured(
        tuple(worker.devices.values()), worker.plan, random.Random(worker.plan.seed)
    )
    while worker.plan.alone:
        told = await asyncio.to_thread(_told)
        if "how" not in told:
            break
        how, at_once = How(told["how"]), told.get("at_once")
        asked = measured.together(ports, how, at_once) if at_once else measured.alone(ports, how)
        _say(await asked)


if __name__ == "__main__":
    with looked_for_rarely():  # ten thousand machines are looked through for a tenth of a second
        asyncio.run(_run())
