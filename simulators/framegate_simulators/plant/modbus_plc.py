"""A PLC as a Modbus/TCP server: the diverter of a line whose adapter writes coils and registers."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from typing import Any

from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from framegate_simulators.plant.diverter import WATCHDOG_S, Part
from framegate_simulators.plant.processes import free_port

SLOTS, FIRST_SLOT, SLOT_SIZE, HEARTBEAT, STOP = 16, 16, 4, 0, 1
"""The PLC's side of docs/reference/protocol.md, section 9, written down again on purpose."""


class ModbusPlc:
    """A PLC's Modbus/TCP server, from the same library's server side; its program reads its own
    coils and registers.
    """

    def __init__(self) -> None:
        logging.getLogger("pymodbus").setLevel(
            logging.CRITICAL
        )  # a client that was killed is this simulation's daily bread
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self.coils: list[bool] = [False] * SLOTS
        self.registers: list[int] = [0] * (FIRST_SLOT + SLOTS * SLOT_SIZE)
        self._beat = (-1, float("-inf"))
        self.port = free_port()
        self._thread = threading.Thread(target=self._serve, daemon=True, name="plc")
        self._thread.start()
        if not self._ready.wait(10):
            raise RuntimeError("the simulated PLC did not come up")

    @property
    def stop_asked(self) -> int:
        """Parts in a row for which a stop was asked; 0 where none was."""
        return self.registers[STOP]

    def permits(self, part: Part) -> bool:
        """See `Diverter`: coil, sequence and outcome of the part's slot agree, or it says that the
        zone is piloted, and the heartbeat moves. The permission is used up.
        """
        slot = part.sequence % SLOTS
        at = FIRST_SLOT + SLOT_SIZE * slot
        high, low, outcome, stage = self.registers[at : at + SLOT_SIZE]
        mine = high << 16 | low == part.sequence & 0xFFFFFFFF
        alive = time.monotonic() - self._beat[1] < WATCHDOG_S
        good = alive and mine and (outcome == 1 or stage in {1, 2}) and self.coils[slot]
        self.coils[slot] = False
        return good

    def close(self) -> None:
        """See `Diverter`: whoever is connected hears of it, and nobody can connect any more."""
        self._loop.call_soon_threadsafe(self._hang_up)
        self._thread.join(10)
        self._loop.close()

    def _hang_up(self) -> None:
        self._server.close()
        self._loop.call_soon(self._loop.stop)  # behind the ends of its connections

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        device = SimDevice(
            1,
            simdata=(
                [SimData(0, count=SLOTS, values=False, datatype=DataType.BITS)],
                [SimData(0, count=1, values=False, datatype=DataType.BITS)],
                [SimData(0, count=len(self.registers), values=0, datatype=DataType.REGISTERS)],
                [SimData(0, count=1, values=0, datatype=DataType.REGISTERS)],
            ),
            action=self._wrote,
        )

        async def start() -> None:
            self._server = ModbusTcpServer(device, address=("127.0.0.1", self.port))
            await self._server.serve_forever(background=True)
            self._ready.set()

        self._loop.create_task(start())
        self._loop.run_forever()

    async def _wrote(
        self, function: int, _start: int, address: int, count: int, _current: list[int], new: Any
    ) -> None:
        """Called by the library for every request; writes land in the PLC's own memory."""
        if new is None:
            return
        if function in {5, 15}:
            for offset, value in enumerate(new):  # for coils the library counts registers, not bits
                self.coils[address + offset] = bool(value)
        elif function in {6, 16}:
            for offset, value in enumerate(new[:count]):
                self.registers[address + offset] = int(value)
            if (
                address <= HEARTBEAT < address + count
                and self.registers[HEARTBEAT] != self._beat[0]
            ):
                self._beat = (self.registers[HEARTBEAT], time.monotonic())
