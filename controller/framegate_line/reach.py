"""Who answers the adapter: its broker, its PLC, whatever takes its decisions.

Said aloud when it changes and again while somebody is away, and kept in a file beside the ledger
for `framegate-line status`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from framegate.errors import Unavailable
from framegate.signed.decision import Decision, Notice
from framegate_host.logs import started
from framegate_host.printing import printable
from framegate_host.private_files import write_private
from framegate_line.broker import LineBroker
from framegate_line.outputs import Output

log = logging.getLogger(__name__)
AGAIN_S: Final = 30.0
"""Between two words on the same one that is away: a person who looks has not long to wait, and a
log does not fill.
"""
WRITE_S: Final = 1.0
"""Between two writes of the file."""
FRESH_S: Final = 5.0
"""An older file is of an adapter that no longer runs: it writes every `WRITE_S`."""


@dataclass(slots=True)
class Peer:
    """One of them: whether it answers, since when (seconds since the epoch), else why not."""

    answers: bool
    since: float
    problem: str = ""


class Reach:
    """What answers now. `heard` and `lost` are called as often as anything is tried."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._path, self._clock = path, clock
        self.peers: dict[str, Peer] = {}
        self._told: dict[str, float] = {}
        self._written = 0.0

    def heard(self, name: str) -> None:
        """`name` answered."""
        before = self.peers.get(name)
        if before is None or not before.answers:
            self.peers[name] = Peer(True, self._clock())
            self._told.pop(name, None)
            started.info("%s answers", name)

    def lost(self, name: str, problem: str) -> None:
        """`name` did not answer, and why."""
        now, before = self._clock(), self.peers.get(name)
        since = now if before is None or before.answers else before.since
        self.peers[name] = Peer(False, since, problem)
        if now - self._told.get(name, float("-inf")) >= AGAIN_S:
            self._told[name] = now
            log.warning("%s does not answer: %s; trying again", name, printable(problem))

    def write(self) -> None:
        """To the file, not more often than every `WRITE_S`. A file that cannot be written is said
        of once a while: parts are decided all the same.
        """
        now = self._clock()
        if 0 <= now - self._written < WRITE_S:
            return
        self._written = now
        body = {"at": now, "peers": {name: asdict(peer) for name, peer in self.peers.items()}}
        try:
            write_private(self._path, json.dumps(body).encode(), durable=False)
        except OSError as error:
            self.lost(f"file {self._path}", error.strerror or str(error))


class ReachedOutput:
    """`output` at `place`, whose every answer and every silence is told to `reach`."""

    def __init__(self, output: Output, place: str, reach: Reach) -> None:
        self.name, self._output, self._place, self._reach = output.name, output, place, reach

    async def expect(self, sequence: int) -> None:
        """See `Output`."""
        await self._told(self._output.expect(sequence))

    async def decide(self, decision: Decision, envelope: bytes) -> None:
        """See `Output`."""
        await self._told(self._output.decide(decision, envelope))

    async def beat(self, count: int, envelope: bytes) -> None:
        """See `Output`."""
        await self._told(self._output.beat(count, envelope))

    async def ask_stop(self, notice: Notice, envelope: bytes) -> None:
        """See `Output`."""
        await self._told(self._output.ask_stop(notice, envelope))

    async def close(self) -> None:
        """See `Output`."""
        await self._output.close()

    async def _told(self, call: Awaitable[None]) -> None:
        try:
            await call
        except Unavailable as error:
            self._reach.lost(self._place, error.failures[0].actual)
            raise
        self._reach.heard(self._place)


async def follow_broker(link: LineBroker, name: str, reach: Reach) -> None:
    """Tell `reach` every `WRITE_S` whether the broker answers, and have it write; for ever."""
    while True:
        if link.connected:
            reach.heard(name)
        elif link.problem:  # nothing is known of it before it was first tried
            reach.lost(name, link.problem)
        reach.write()
        await asyncio.sleep(WRITE_S)


def reach_file(ledger: Path) -> Path:
    """Where the adapter with this ledger says who answers it."""
    return ledger.with_suffix(".reach")


def read_reach(path: Path, now: float) -> Mapping[str, Peer] | None:
    """Who answers the adapter that writes `path`; None where none runs, or nothing can be read."""
    try:
        body: Any = json.loads(path.read_bytes())
        if not 0 <= now - float(body["at"]) < FRESH_S:
            return None
        return {str(name): Peer(**peer) for name, peer in body["peers"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
