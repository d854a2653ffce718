"""Collects what second looks measure of the next sound frames of a part type, for an operator who
commissions it. Numbers alone: no frame is kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Final

from framegate.errors import Reason, Refused, Unavailable
from framegate.looks.fingerprint import Fingerprint
from framegate.looks.kinds import Look
from framegate.looks.limits import MAX_COMMISSION, MIN_COMMISSION
from framegate_gateway.inference.inspection import Inspection

MAX_WAIT_S: Final = 3600
"""A line that brings fewer than two hundred sound parts in an hour is not running."""
BEAT_S: Final = 1.0
"""How often somebody who waits is told how far it is."""


@dataclass(slots=True)
class Commission:
    """What came so far: `rows` of sound frames in order, how many frames were `left_out` because
    the model detected something in them, from which `cameras` the others are, and what is known of
    those cameras' sensors.
    """

    part_type: str
    wanted: int
    rows: list[Mapping[Look, float]] = field(default_factory=list)
    left_out: int = 0
    cameras: set[str] = field(default_factory=set)
    fingerprints: dict[str, Fingerprint] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def whole(self) -> bool:
        """Whether enough came."""
        return len(self.rows) >= self.wanted


def measured_rows(commission: Commission) -> bytes:
    """What was measured, as JSON: `looks` has for each look one number a frame, in order, null
    where it did not look; `cameras`; `fingerprints` by camera.
    """
    looks = {
        look.value: [row.get(look) for row in commission.rows]
        for look in Look
        if any(look in row for row in commission.rows)
    }
    sensors = {name: one.text for name, one in sorted(commission.fingerprints.items())}
    body = {"cameras": sorted(commission.cameras), "looks": looks, "fingerprints": sensors}
    return json.dumps(body).encode()


class Commissioning:
    """One commission at a time. A frame that the part's present limits withhold counts like any
    other without a detection: whether it belongs is for whoever looks at the distributions.
    """

    def __init__(self) -> None:
        self._now: Commission | None = None
        self._number = 0

    def wants(self, part_type: str) -> int:
        """The number of the commission that frames of this part type are to be measured for: what
        one of before learned is none of this one's. 0 for none.
        """
        wanted = self._now is not None and self._now.part_type == part_type
        return self._number if wanted else 0

    def offer(self, device: str, part_type: str, inspection: Inspection) -> None:
        """A camera's frame that was inspected."""
        now = self._now
        if now is None or now.part_type != part_type or now.whole or not inspection.looks:
            return
        if inspection.fingerprint is not None:
            now.fingerprints[device] = inspection.fingerprint
        if inspection.defects:
            now.left_out += 1
        else:
            now.rows.append(inspection.measured)
            now.cameras.add(device)
        now.changed.set()

    async def collect(
        self, part_type: str, frames: int, timeout_s: float
    ) -> AsyncGenerator[Commission, None]:
        """The commission as it grows, at once and then at least every `BEAT_S`, until it has
        `frames` rows. Raises
        Refused (USAGE, CONFLICT), Unavailable (TIMEOUT) where too few come.
        """
        if not MIN_COMMISSION <= frames <= MAX_COMMISSION or not 0 < timeout_s <= MAX_WAIT_S:
            raise Refused.of(
                Reason.USAGE,
                f"{MIN_COMMISSION} to {MAX_COMMISSION} frames, a wait of at most {MAX_WAIT_S} s",
                f"{frames} frames, {timeout_s:g} s",
            )
        if self._now is not None:
            raise Refused.of(
                Reason.CONFLICT,
                "one commission at a time",
                f"one of {ascii(self._now.part_type)[:60]} is on",
                "wait for it to end",
            )
        now = self._now = Commission(part_type, frames)
        self._number += 1
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout_s
        try:
            while True:
                told = now.whole  # rows may come while whoever listens is busy
                yield now
                if told:
                    return
                if not now.whole and loop.time() >= until:
                    raise Unavailable.of(
                        Reason.TIMEOUT,
                        f"{frames} sound frames of {ascii(part_type)[:60]}",
                        f"{len(now.rows)} in {timeout_s:g} s, {now.left_out} with detections",
                        "does a camera send sound parts of this type here?",
                    )
                with contextlib.suppress(TimeoutError):  # `changed` is set where it is whole
                    await asyncio.wait_for(now.changed.wait(), min(BEAT_S, timeout_s))
                now.changed.clear()
        finally:
            self._now = None
