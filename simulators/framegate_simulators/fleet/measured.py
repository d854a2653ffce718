"""Machines of a fleet that attest to be measured, when its life is over: one after the other, and
so many at any time.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, deque
from collections.abc import Sequence
from typing import Any, Final

from framegate.errors import FramegateError
from framegate_simulators.fleet.device import FleetDevice, How, Ports
from framegate_simulators.fleet.plan import Plan

ALONE: Final = 100
"""Machines that attest by themselves: half a second of the controller's processor, and more."""
MOST_GAP_S: Final = 0.1
"""Between two of them: what is colder than after this does not get much colder."""
TOGETHER: Final = 1_000
"""Attestations of so many at any time: four seconds of the controller's processor, and as many
machines where the fleet has them, so that what is kept of them in memory is as cold as in a run.
"""


class Measured:
    """Sound machines of a fleet, by turns; what goes wrong is counted in `errors`."""

    def __init__(self, devices: Sequence[FleetDevice], plan: Plan, chance: random.Random) -> None:
        self._plan, self._chance = plan, chance
        sound = [device for device in devices if device.last_s and not device.tampered]
        self._few, self._ring = sound[:ALONE], deque(sound)
        self.errors = Counter[str]()

    async def alone(self, ports: Ports, how: How) -> dict[str, Any]:
        """Some machines attest one after the other, with nothing beside them, as often as all of
        them together do in the run, so that processors and caches are as cold as then: how long it
        took each from when its turn had come, and how long until it had its challenge.
        """
        took, begun, cpu_s = [], [], time.process_time()
        gap_s = min(MOST_GAP_S, self._plan.interval_s / self._plan.devices)
        at = time.monotonic()
        for device in self._few:
            if how == How.NEW:
                await device.drop()
            elif how == How.JOIN:
                device.reboot()
            at = max(at + gap_s * self._chance.uniform(0.5, 1.5), time.monotonic())
            await asyncio.sleep(at - time.monotonic())
            if await self._answered(ports, device, how, keep=True):
                took.append(1e3 * (time.monotonic() - at))
                begun.append(device.begin_ms)
        return {"took_ms": took, "begin_ms": begun, "cpu_s": time.process_time() - cpu_s}

    async def together(self, ports: Ports, how: How, at_once: int) -> dict[str, Any]:
        """`at_once` of them attest at any time: as soon as one was answered another comes, who has
        not asked for longest; over connections that stand, of those that have one.
        """
        took, cpu_s, left = list[float](), time.process_time(), TOGETHER
        those = deque(self._few) if how == How.KEPT else self._ring

        async def one() -> None:
            nonlocal left
            while left and those:
                device = those.popleft()
                if not device.admitted:  # its certificate ran out since it lived
                    continue
                left -= 1
                if how == How.NEW:  # those that were measured alone keep one
                    await device.drop()
                begun = time.monotonic()
                if await self._answered(ports, device, how, keep=how == How.KEPT):
                    took.append(1e3 * (time.monotonic() - begun))
                those.append(device)

        await asyncio.gather(*(one() for _ in range(at_once)))
        return {"took_ms": took, "cpu_s": time.process_time() - cpu_s}

    async def _answered(self, ports: Ports, device: FleetDevice, how: How, *, keep: bool) -> bool:
        """Whether it attested in the way that is measured."""
        try:
            if how == How.JOIN:
                await device.join(ports)
            else:
                await device.attest(ports, keep=keep, watching=self._plan.watching)
        except FramegateError as error:
            self.errors[error.reason.value] += 1
            return False
        return device.how == how
