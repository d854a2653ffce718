"""The conveyor of a simulated line, and a PLC that counts from outside what happened to the parts.
It knows nothing of cameras, gateways or the adapter's ledger.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from framegate_simulators.plant.diverter import Diverter, Part
from framegate_simulators.plant.observer import Observer


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
    """Parts at `rate` a second, `transport_s` from trigger to diverter. `cameras` are the UDP ports
    of the cameras' trigger wires.
    """

    diverters: tuple[Diverter, ...]
    trigger: Callable[[Part], None]
    cameras: tuple[int, ...]
    rate: float = 4.0
    transport_s: float = 1.5
    design: int = 1
    good_every: int = 2
    first_sequence: int = 1
    parts: list[Part] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
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
        fates = Counter((p.let_through, p.good) for p in self.parts)
        through = fates[True, True] + fates[True, False]
        return Counts(
            len(self.parts),
            through,
            fates[False, True] + fates[False, False],
            fates[True, False],
            fates[False, True],
        )

    def uninspected_let_through(self, observer: Observer, cameras: tuple[str, ...]) -> list[Part]:
        """Parts that went through without a signed PASS of every camera: must be empty."""
        return [p for p in self.parts if p.let_through and not observer.passed(p, cameras)]

    def _turn(self) -> None:
        begun, entered = time.monotonic(), 0
        while True:
            now = time.monotonic()
            entering = not self._stop.is_set() and (not self._quota or entered < self._quota)
            if entering and now >= begun + entered / self.rate:
                self._enter(now)
                entered += 1
            self._arrive(now)
            if not entering and not self._belt:
                return
            time.sleep(0.002)

    def _enter(self, now: float) -> None:
        sequence = self.first_sequence + len(self.parts)
        good = sequence % self.good_every == 0
        part = Part(
            f"{self._run}-{sequence:06d}",
            f"drawn-{self.design}",
            sequence,
            time.time_ns() // 1_000_000,
            good,
            now,
            now + self.transport_s,
        )
        self.parts.append(part)
        with self._lock:
            self._belt.append(part)
        self.trigger(part)
        wire = json.dumps({"part": part.part, "sequence": sequence, "good": good}).encode()
        for camera in self.cameras:
            with contextlib.suppress(OSError):  # a camera that is dead hears no trigger
                self._wire.sendto(wire, ("127.0.0.1", camera))

    def _arrive(self, now: float) -> None:
        while self._belt and self._belt[0].due_s <= now:
            part = self._belt[0]
            # each is asked, and so used up
            part.let_through = all(list(d.permits(part) for d in self.diverters))  # noqa: C400
            with self._lock:
                self._belt.popleft()
