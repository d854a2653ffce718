"""A simulated line: trigger, conveyor, diverter, and a PLC that counts from outside. It knows
nothing of cameras, gateways or the adapter's ledger.

Its diverter opens for a part only by a permission that names that very part, in time, while the
adapter's heart beats. What it counts is what happened to the parts; whether a part that went
through had been inspected is asked of the signed verdicts themselves, by `Observer`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
import socket
import ssl
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import paho.mqtt.client as mqtt
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from paho.mqtt.enums import CallbackAPIVersion
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from framegate.errors import FramegateError
from framegate.identity.certificates import from_ms, load_authorities
from framegate.signed.decision import Decision, Notice, verify_decision
from framegate.signed.statement import Outcome, Verdict, verify_verdict

WATCHDOG_S: Final = 1.5
"""Six missed heartbeats: the diverter then opens for nothing."""
SLOTS, FIRST_SLOT, SLOT_SIZE, HEARTBEAT, STOP = 16, 16, 4, 0, 1
"""The PLC's side of docs/reference/protocol.md, section 9, written down again on purpose."""


@dataclass
class Part:
    """One part on the conveyor; `good` is what it really is, which nobody but the simulation
    knows.
    """

    part: str
    sequence: int
    good: bool
    entered_s: float
    due_s: float
    let_through: bool | None = None
    said: str = ""


class Diverter(Protocol):
    """How the PLC hears whether a part may pass."""

    def permits(self, part: Part) -> bool:
        """Whether the diverter opens for this part now."""

    def close(self) -> None:
        """Let go."""


@dataclass
class LineKeys:
    """A folder that `framegate-controller line-certificate` wrote."""

    folder: Path

    @property
    def root(self) -> x509.Certificate:
        """The fleet's root."""
        return x509.load_pem_x509_certificate((self.folder / "root.pem").read_bytes())

    @property
    def authorities(self) -> tuple[x509.Certificate, ...]:
        """The fleet's issuing CAs."""
        found = x509.load_pem_x509_certificates((self.folder / "authorities.pem").read_bytes())
        return load_authorities([c.public_bytes(Encoding.DER) for c in found], self.root)

    def client(self, name: str) -> mqtt.Client:
        """An MQTT client with this certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = (
            False  # loopback; the broker's certificate must still be the fleet's
        )
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.load_verify_locations(cafile=str(self.folder / "authorities.pem"))
        context.load_cert_chain(str(self.folder / "line.pem"), str(self.folder / "line.key"))
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"{name}-{secrets.token_hex(4)}",
            protocol=mqtt.MQTTv5,
        )
        client.tls_set_context(context)
        client.reconnect_delay_set(1, 1)
        return client


class MqttDiverter:
    """Signed decisions off the broker: verified, for this line, in time, by a beating heart."""

    def __init__(self, line: str, keys: LineKeys, port: int) -> None:
        self._line, self._authorities, self._root = line, keys.authorities, keys.root
        self._permits: dict[tuple[str, int], Decision] = {}
        self.decisions: dict[tuple[str, int], str] = {}
        self._beat_s = float("-inf")
        self._beats = -1
        self.stops: list[Notice] = []
        self.refused = 0
        self._client = keys.client(f"{line}-plc")
        topic = f"framegate/v1/lines/{line}"
        self._client.on_connect = lambda c, *_: _subscribe(
            c, f"{topic}/decisions", f"{topic}/notices"
        )
        self._client.on_message = lambda _c, _u, m: self._message(m)
        self._client.connect_async("127.0.0.1", port, 5)
        self._client.loop_start()

    def permits(self, part: Part) -> bool:
        """See `Diverter`."""
        found = self._permits.pop((part.part, part.sequence), None)
        beats = time.monotonic() - self._beat_s < WATCHDOG_S
        return beats and found is not None and found.valid_until_ms >= time.time_ns() // 1_000_000

    def close(self) -> None:
        """See `Diverter`."""
        self._client.disconnect()
        self._client.loop_stop()

    def trigger(self, part: Part, part_type: str) -> None:
        """Tell the adapter that a part has entered; queued while the broker is away."""
        body = {
            "part": part.part,
            "part_type": part_type,
            "trigger_sequence": part.sequence,
            "at_ms": time.time_ns() // 1_000_000,
        }
        self._client.publish(f"framegate/v1/lines/{self._line}/triggers", json.dumps(body), qos=1)

    def _message(self, message: Any) -> None:
        now = from_ms(time.time_ns() // 1_000_000)
        try:
            if message.retain:
                raise ValueError("retained")
            if message.topic.endswith("/decisions"):
                decision = verify_decision(
                    message.payload, self._line, self._authorities, self._root, now
                )
                key = (decision.part, decision.trigger_sequence)
                self.decisions[key] = decision.outcome
                if decision.outcome == Outcome.PASS:
                    self._permits[key] = decision
            else:
                notice, _ = Notice.verify(message.payload, self._authorities, self._root, now)
                if (
                    notice.kind == "heartbeat"
                    and notice.line == self._line
                    and notice.count != self._beats
                ):
                    self._beats, self._beat_s = notice.count, time.monotonic()
                elif notice.kind == "line-stop":
                    self.stops.append(notice)
        except (FramegateError, ValueError):
            self.refused += 1


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
        self.port = _free_port()
        self._thread = threading.Thread(target=self._serve, daemon=True, name="plc")
        self._thread.start()
        if not self._ready.wait(10):
            raise RuntimeError("the simulated PLC did not come up")

    @property
    def stop_asked(self) -> int:
        """Parts in a row for which a stop was asked; 0 where none was."""
        return self.registers[STOP]

    def permits(self, part: Part) -> bool:
        """See `Diverter`: coil, sequence and outcome of the part's slot agree, and the heartbeat
        moves. The permission is used up.
        """
        slot = part.sequence % SLOTS
        at = FIRST_SLOT + SLOT_SIZE * slot
        high, low, outcome, _ = self.registers[at : at + SLOT_SIZE]
        mine = high << 16 | low == part.sequence & 0xFFFFFFFF
        alive = time.monotonic() - self._beat[1] < WATCHDOG_S
        good = alive and mine and outcome == 1 and self.coils[slot]
        self.coils[slot] = False
        return good

    def close(self) -> None:
        """See `Diverter`."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

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


class Observer:
    """Reads every verdict off the broker and verifies it: who really was inspected, whatever the
    adapter says.
    """

    def __init__(
        self,
        client: mqtt.Client,
        authorities: tuple[x509.Certificate, ...],
        root: x509.Certificate,
        port: int,
    ) -> None:
        self._authorities, self._root = authorities, root
        self.verdicts: dict[tuple[str, int, str], list[Verdict]] = {}
        self.refused = 0
        self._client = client
        client.on_connect = lambda c, *_: c.subscribe("framegate/v1/verdicts/#", qos=1)
        client.on_message = lambda _c, _u, m: self._message(bytes(m.payload))
        client.connect_async("127.0.0.1", port, 5)
        client.loop_start()

    def passed(self, part: Part, cameras: tuple[str, ...]) -> bool:
        """Whether every camera's verdicts on this part include a signed PASS."""
        return all(
            any(
                v.outcome == Outcome.PASS
                for v in self.verdicts.get((part.part, part.sequence, c), ())
            )
            for c in cameras
        )

    def close(self) -> None:
        """Stop reading."""
        self._client.disconnect()
        self._client.loop_stop()

    def _message(self, payload: bytes) -> None:
        try:
            verdict = verify_verdict(
                payload, self._authorities, self._root, from_ms(time.time_ns() // 1_000_000)
            )
        except FramegateError:
            self.refused += 1
            return
        self.verdicts.setdefault(
            (verdict.part, verdict.trigger_sequence, verdict.device), []
        ).append(verdict)


@dataclass
class Counts:
    """What the PLC counted."""

    parts_in: int = 0
    let_through: int = 0
    diverted: int = 0
    bad_let_through: int = 0
    good_diverted: int = 0


@dataclass
class Conveyor:
    """Parts at `rate` a second, `transport_s` from trigger to diverter. `cameras` are the sockets
    of the cameras' trigger wires.
    """

    diverters: tuple[Diverter, ...]
    trigger: Callable[[Part, str], None]
    cameras: tuple[Path, ...]
    rate: float = 4.0
    transport_s: float = 1.5
    design: int = 1
    good_every: int = 2
    first_sequence: int = 1
    parts: list[Part] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._wire = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._belt: deque[Part] = deque()
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._run = secrets.token_hex(3)
        self._thread: threading.Thread | None = None
        self._quota = 0

    @property
    def belt(self) -> list[Part]:
        """Parts between trigger and diverter."""
        with self._lock:
            return list(self._belt)

    def start(self, count: int = 0) -> None:
        """Let `count` parts in (0: endless), in a thread."""
        self._quota = count
        self._stop.clear()
        self._thread = threading.Thread(target=self._turn, daemon=True, name="conveyor")
        self._thread.start()

    def finish(self) -> None:
        """Let no more parts in, and wait until the belt is empty."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def finish_count(self) -> None:
        """Wait until every part that `start` was told of has reached the diverter."""
        if self._thread is not None:
            self._thread.join()

    def run(self, count: int) -> None:
        """Let `count` parts in and wait for the last to reach the diverter."""
        self.start(count)
        self.finish_count()

    def counts(self) -> Counts:
        """The PLC's counts so far."""
        found = Counter((p.let_through, p.good) for p in self.parts)
        through = found[True, True] + found[True, False]
        return Counts(
            len(self.parts),
            through,
            found[False, True] + found[False, False],
            found[True, False],
            found[False, True],
        )

    def uninspected_let_through(self, observer: Observer, cameras: tuple[str, ...]) -> list[Part]:
        """Parts that went through without a signed PASS of every camera: must be empty."""
        return [p for p in self.parts if p.let_through and not observer.passed(p, cameras)]

    def _turn(self) -> None:
        begun, made = time.monotonic(), 0
        while True:
            now = time.monotonic()
            entering = not self._stop.is_set() and (not self._quota or made < self._quota)
            if entering and now >= begun + made / self.rate:
                self._enter(now)
                made += 1
            self._arrive(now)
            if not entering and not self._belt:
                return
            time.sleep(0.002)

    def _enter(self, now: float) -> None:
        sequence = self.first_sequence + len(self.parts)
        good = sequence % self.good_every == 0
        part = Part(f"{self._run}-{sequence:06d}", sequence, good, now, now + self.transport_s)
        self.parts.append(part)
        with self._lock:
            self._belt.append(part)
        self.trigger(part, f"drawn-{self.design}")
        wire = json.dumps({"part": part.part, "sequence": sequence, "good": good}).encode()
        for camera in self.cameras:
            with contextlib.suppress(OSError):  # a camera that is dead hears no trigger
                self._wire.sendto(wire, str(camera))

    def _arrive(self, now: float) -> None:
        while self._belt and self._belt[0].due_s <= now:
            part = self._belt[0]
            # each is asked, and so used up
            part.let_through = all(list(d.permits(part) for d in self.diverters))  # noqa: C400
            with self._lock:
                self._belt.popleft()


def _subscribe(client: mqtt.Client, *topics: str) -> None:
    for topic in topics:
        client.subscribe(topic, qos=1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
