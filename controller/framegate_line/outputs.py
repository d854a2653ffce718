"""What the adapter drives. Every output diverts by itself: it opens for one decision on one part,
and only while the adapter's heart beats.

mqtt            decisions and notices, signed, on framegate/v1/lines/<line>/…
modbus:HOST:PORT  coils and registers of a PLC (docs/reference/protocol.md, section 9)
file:PATH       a line of JSON for each decision, for tests and for looking
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, Protocol

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException

from framegate.errors import Reason, Unavailable
from framegate.signed.decision import Decision, Notice
from framegate.signed.statement import Outcome
from framegate_host.private_files import append_private

log = logging.getLogger(__name__)
SLOTS: Final = 16
"""Parts that may be between camera and diverter at once; a part's slot is its trigger sequence
modulo this.
"""
HEARTBEAT, STOP, FIRST_SLOT, SLOT_SIZE = 0, 1, 16, 4
"""Holding registers: a count that rises with every beat; parts in a row when a stop is asked for,
else 0; then four registers a slot.
"""
OUTCOME_CODE: Final = {Outcome.PASS: 1, Outcome.DEFECT: 2, Outcome.UNINSPECTED: 3}
STAGE_CODE: Final = {"": 0, "observe": 1, "warn": 2}
"""The fourth register of a slot: whether the zone is piloted, so that a part goes on whatever its
outcome.
"""
MODBUS_TIMEOUT_S: Final = 0.5
"""A PLC on the same network answers in milliseconds; one that does not has diverted by its own
watchdog long before.
"""


class Output(Protocol):
    """Something that lets parts through. All methods raise Unavailable where it did not take the
    message: the part is then diverted by itself. `name` is how the command line names it.
    """

    name: str

    async def expect(self, sequence: int) -> None:
        """A part has entered under this trigger sequence: what still permits that number ends."""

    async def decide(self, decision: Decision, envelope: bytes) -> None:
        """Hand over a decision."""

    async def beat(self, count: int, envelope: bytes) -> None:
        """Say that the adapter lives."""

    async def ask_stop(self, notice: Notice, envelope: bytes) -> None:
        """Ask for the line to be stopped."""

    async def close(self) -> None:
        """Let go."""


class MqttOutput:
    """Signed decisions and notices on the broker. `publish` hands (topic, payload) to a client and
    raises Unavailable where it is not connected.
    """

    def __init__(self, line: str, publish: Callable[[str, bytes], None]) -> None:
        self.name, self._line, self._publish = "mqtt", line, publish

    async def expect(self, sequence: int) -> None:
        """Nothing: a decision names its trigger and says until when it is valid."""

    async def decide(self, decision: Decision, envelope: bytes) -> None:
        """See `Output`."""
        self._publish(f"framegate/v1/lines/{self._line}/decisions", envelope)

    async def beat(self, count: int, envelope: bytes) -> None:
        """See `Output`."""
        self._publish(f"framegate/v1/lines/{self._line}/notices", envelope)

    async def ask_stop(self, notice: Notice, envelope: bytes) -> None:
        """See `Output`."""
        self._publish(f"framegate/v1/lines/{self._line}/notices", envelope)

    async def close(self) -> None:
        """See `Output`."""


class ModbusOutput:
    """A PLC's coils and registers over Modbus/TCP.

    For each part: its slot's coil is cleared, the slot's registers get the trigger sequence (two
    words, high first), the outcome and the stage, and only for PASS, or under a pilot, is the coil
    set. The PLC opens where coil, sequence and outcome or stage agree and the heartbeat moves; a
    crash between any two of these writes leaves the coil clear. Modbus has no authentication: this
    cable belongs inside the cabinet.

    A register holds a number and no time, and counts start again. So a permit is withdrawn when its
    decision ends, and when its number enters again; and before anything else is written, those that
    an earlier process, or a connection that broke, may have left.
    """

    def __init__(self, host: str, port: int) -> None:
        self._where = f"{host}:{port}"
        self.name = f"modbus:{self._where}"
        self._turn = asyncio.Lock()
        self._clean = False
        self._ends: dict[int, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._client = AsyncModbusTcpClient(
            host,
            port=port,
            timeout=MODBUS_TIMEOUT_S,
            retries=0,
            reconnect_delay=0.1,
            reconnect_delay_max=1.0,
        )

    async def expect(self, sequence: int) -> None:
        """See `Output`."""
        await self._withdraw((sequence & 0xFFFFFFFF) % SLOTS)

    async def decide(self, decision: Decision, envelope: bytes) -> None:
        """See `Output`."""
        sequence = decision.trigger_sequence & 0xFFFFFFFF
        slot = sequence % SLOTS
        outcome, mark = Outcome(decision.outcome), STAGE_CODE[decision.stage]
        async with self._turn:  # one part's writes are not mixed with another's
            self._forget_end(slot)
            await self._write(lambda c: c.write_coil(slot, False))
            await self._write(
                lambda c: c.write_registers(
                    FIRST_SLOT + SLOT_SIZE * slot,
                    [sequence >> 16, sequence & 0xFFFF, OUTCOME_CODE[outcome], mark],
                )
            )
            if decision.passes:
                life_s = max(0, decision.valid_until_ms - decision.issued_at_ms) / 1000
                self._ends[slot] = asyncio.get_running_loop().call_later(life_s, self._end, slot)
                await self._write(lambda c: c.write_coil(slot, True))

    async def beat(self, count: int, envelope: bytes) -> None:
        """See `Output`."""
        await self._write(lambda c: c.write_register(HEARTBEAT, count & 0xFFFF))

    async def ask_stop(self, notice: Notice, envelope: bytes) -> None:
        """See `Output`."""
        await self._write(lambda c: c.write_register(STOP, min(notice.count, 0xFFFF)))

    async def close(self) -> None:
        """Clear every permit, then disconnect."""
        for slot in list(self._ends):
            self._forget_end(slot)
        with contextlib.suppress(Unavailable):  # its watchdog diverts
            await self._write(lambda c: c.write_coils(0, [False] * SLOTS))
        self._client.close()

    def _end(self, slot: int) -> None:
        task = asyncio.get_running_loop().create_task(self._withdraw(slot))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.info("a permit stays until the PLC answers: %s", error)

    def _forget_end(self, slot: int) -> None:
        timer = self._ends.pop(slot, None)
        if timer is not None:
            timer.cancel()

    async def _withdraw(self, slot: int) -> None:
        async with self._turn:
            self._forget_end(slot)
            await self._write(lambda c: c.write_coil(slot, False))

    async def _write(self, call: Callable[[AsyncModbusTcpClient], Awaitable[Any]]) -> None:
        """One write. Where one failed, or nothing was written yet, all permits are cleared first:
        a heartbeat too never comes before that.
        """
        if not self._clean:
            await self._write_one(lambda c: c.write_coils(0, [False] * SLOTS))
            self._clean = True
        try:
            await self._write_one(call)
        except Unavailable:
            self._clean = False
            raise

    async def _write_one(self, call: Callable[[AsyncModbusTcpClient], Awaitable[Any]]) -> None:
        try:
            if not self._client.connected and not await self._client.connect():
                raise Unavailable.of(
                    Reason.LINE_OUTPUT,
                    f"a PLC at {self._where}",
                    "no connection",
                    "is it running? its watchdog diverts meanwhile",
                )
            answer = await call(self._client)
        except (ModbusException, OSError, TimeoutError) as error:
            raise Unavailable.of(
                Reason.LINE_OUTPUT,
                f"a PLC at {self._where}",
                error,
                "is it running? its watchdog diverts meanwhile",
            ) from error
        if answer.isError():
            wanted = (
                f"coils 0 to {SLOTS - 1} and registers to {FIRST_SLOT + SLOTS * SLOT_SIZE - 1} at"
                f" {self._where}"
            )
            raise Unavailable.of(
                Reason.LINE_OUTPUT, wanted, answer, "docs/reference/protocol.md, section 9"
            )


class FileOutput:
    """Decisions and notices as lines of JSON, each on disk before the next."""

    def __init__(self, path: Path) -> None:
        self.name, self._file = f"file:{path.name}", append_private(path)

    async def expect(self, sequence: int) -> None:
        """A file permits nothing."""

    async def decide(self, decision: Decision, envelope: bytes) -> None:
        """See `Output`."""
        self._append({"decision": asdict(decision)})

    async def beat(self, count: int, envelope: bytes) -> None:
        """A file has no watchdog: beats are not kept."""

    async def ask_stop(self, notice: Notice, envelope: bytes) -> None:
        """See `Output`."""
        self._append({"notice": asdict(notice)})

    async def close(self) -> None:
        """See `Output`."""
        os.close(self._file)

    def _append(self, body: dict[str, object]) -> None:
        try:
            os.write(self._file, json.dumps(body).encode() + b"\n")
            os.fsync(self._file)
        except OSError as error:
            raise Unavailable.of(
                Reason.LINE_OUTPUT, "a file that takes decisions", error
            ) from error
