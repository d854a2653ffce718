"""Verdicts made lately, in memory: for operators to list and watch, with pictures of the last few
defects. Nothing of a frame reaches a disk.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from framegate.errors import Reason
from framegate.signed.statement import Outcome, Verdict
from framegate_gateway.inference.inspection import Inspection
from framegate_gateway.reports.sightings import Sightings
from framegate_gateway.verdicts.traffic import Traffic

BEHIND: Final = 256
"""Verdicts that who watches may lag behind, eight seconds of a fast camera; then it is over."""
KEPT: Final = 2_000
PICTURES: Final = 32
"""Frames of recent defects kept in memory: some 5 MB at 160 KB each."""


@dataclass(frozen=True, slots=True)
class KeptFrame:
    """An encoded frame and what was found in it."""

    image: bytes
    encoding: int
    defects: tuple[dict[str, Any], ...]
    part_type: str = ""


class Journal:
    """The latest verdicts and their counts; `sightings` hears of what somebody should know."""

    def __init__(self, sightings: Sightings | None = None) -> None:
        self.sightings = sightings
        self.rows: deque[tuple[Verdict, bytes]] = deque(maxlen=KEPT)
        self.outcomes: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()
        self.unanswered: Counter[str] = Counter()
        self.last_accept_ms = 0
        self.traffic = Traffic()
        self.took: Callable[[float], None] = lambda _seconds: None
        """Told how many seconds each inspection took."""
        self._frames: OrderedDict[str, KeptFrame] = OrderedDict()
        self._watchers: set[asyncio.Queue[tuple[Verdict, bytes]]] = set()

    def add(self, verdict: Verdict, envelope: bytes, frame: KeptFrame | None) -> None:
        """Keep a verdict; `frame` is given for defects, and for what a second look withheld."""
        self.rows.append((verdict, envelope))
        self.outcomes[verdict.outcome] += 1
        self.traffic.decided(verdict)
        if verdict.outcome == Outcome.UNINSPECTED:
            self.refusals[verdict.reason] += 1
        else:
            self.last_accept_ms = verdict.issued_at_ms
        self._sight(verdict)
        if frame is not None:
            self._frames[verdict.verdict_id] = frame
            if len(self._frames) > PICTURES:
                self._frames.popitem(last=False)
        for queue in list(self._watchers):
            if queue.full():
                self._watchers.discard(queue)  # a slow watcher is cut off; nobody waits for it
            else:
                queue.put_nowait((verdict, envelope))

    def not_answered(self, device: str, reason: Reason) -> None:
        """Count what did not open, or what its camera's budget has no room for."""
        self.unanswered[reason.value] += 1
        if self.sightings is not None:
            self.sightings.unanswered(device, reason)

    def _sight(self, verdict: Verdict) -> None:
        if self.sightings is None:
            return
        if verdict.outcome == Outcome.UNINSPECTED:
            self.sightings.uninspected(verdict.device, Reason(verdict.reason))
        else:
            self.sightings.inspected(verdict.device, verdict.issued_at_ms)

    def looked_at(self, device: str, part_type: str, inspection: Inspection) -> None:
        """Second looks at a frame, whatever came of it."""
        if self.sightings is not None:
            self.sightings.looked_at(device, part_type, inspection)

    def gap(self, device: str, count: int, now_ms: int) -> None:
        """Count triggers that never came."""
        self.traffic.skipped(device, count, now_ms)
        self.outcomes[Outcome.UNINSPECTED] += count
        self.refusals[Reason.FRAME_GAP] += count

    def frame(self, verdict_id: str) -> KeptFrame | None:
        """The frame of a recent defect, by its verdict's id or the unique beginning of one."""
        if verdict_id in self._frames or not verdict_id:
            return self._frames.get(verdict_id)
        alike = [name for name in self._frames if name.startswith(verdict_id)]
        return self._frames[alike[0]] if len(alike) == 1 else None

    def verdict(self, verdict_id: str) -> Verdict | None:
        """A verdict of the latest, by its id or the unique beginning of one."""
        alike = [v for v, _ in self.rows if verdict_id and v.verdict_id.startswith(verdict_id)]
        return alike[0] if len(alike) == 1 else None

    def forget(self, device: str) -> None:
        """Drop every picture of a camera's: what was erased is not shown out of memory either."""
        mine = {v.verdict_id for v, _ in self.rows if v.device == device}
        for identifier in mine & set(self._frames):
            del self._frames[identifier]

    def watch(self) -> asyncio.Queue[tuple[Verdict, bytes]]:
        """A queue of verdicts from now on; hand it back with `unwatch`."""
        queue: asyncio.Queue[tuple[Verdict, bytes]] = asyncio.Queue(BEHIND)
        self._watchers.add(queue)
        return queue

    def unwatch(self, queue: asyncio.Queue[tuple[Verdict, bytes]]) -> None:
        """End a watch."""
        self._watchers.discard(queue)
