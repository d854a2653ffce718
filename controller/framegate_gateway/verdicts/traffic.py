"""What each camera has sent lately: frames a second, when the last one came, what became of the
last minute's, and whether its stream stands, ended in peace or broke off.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from framegate.errors import Reason
from framegate.signed.statement import Outcome, Verdict

WINDOW_S: Final = 60
"""What people call lately: long enough for a slow line, short enough to see a change."""
RATE_S: Final = 10
"""A rate over less jumps with every part of a slow line."""
MAX_CAMERAS: Final = 10_000
"""Cameras that are remembered, the longest silent one forgotten first; a zone has fewer."""


@dataclass(slots=True)
class _Second:
    """What was decided in one second."""

    second: int
    frames: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class _Camera:
    streams: int = 0
    begun_ms: int = 0
    ended_ms: int = 0
    in_peace: bool = False
    last_frame_ms: int = 0
    seconds: deque[_Second] = field(default_factory=deque)

    def second(self, now_ms: int) -> _Second:
        """The present second's count; what is older than the window is dropped."""
        now = now_ms // 1000
        while self.seconds and self.seconds[0].second <= now - WINDOW_S:
            self.seconds.popleft()
        if not self.seconds or self.seconds[-1].second < now:
            self.seconds.append(_Second(now))
        return self.seconds[-1]


@dataclass(frozen=True, slots=True)
class CameraTraffic:
    """One camera as this gateway saw it. Times in milliseconds by the gateway's clock, 0 for never.

    `outcomes` are of the last `WINDOW_S`, triggers that no frame came for among them; `reason` is
    the most frequent one of those that were UNINSPECTED. `in_peace` tells of the last stream that
    ended: the camera said goodbye, as it does where its source ended.
    """

    device: str
    streams: int
    begun_ms: int
    ended_ms: int
    in_peace: bool
    last_frame_ms: int
    frames_per_s: float
    outcomes: dict[str, int]
    reason: str


class Traffic:
    """Counts by camera. Their names are established before they come here: by the connection, or
    out of an opening that the camera's key signed.
    """

    def __init__(self) -> None:
        self._cameras: OrderedDict[str, _Camera] = OrderedDict()

    def began(self, device: str, now_ms: int) -> None:
        """A stream of `device` stands."""
        camera = self._camera(device)
        camera.streams += 1
        camera.begun_ms = now_ms

    def ended(self, device: str, now_ms: int, *, in_peace: bool) -> None:
        """A stream that `began` is over."""
        camera = self._camera(device)
        camera.streams = max(0, camera.streams - 1)
        camera.ended_ms, camera.in_peace = now_ms, in_peace

    def decided(self, verdict: Verdict) -> None:
        """Count a verdict, and the frame it is on."""
        camera = self._camera(verdict.device)
        second = camera.second(verdict.issued_at_ms)
        second.outcomes[verdict.outcome] += 1
        if verdict.outcome == Outcome.UNINSPECTED:
            second.reasons[verdict.reason] += 1
        second.frames += 1
        camera.last_frame_ms = max(camera.last_frame_ms, verdict.issued_at_ms)

    def skipped(self, device: str, count: int, now_ms: int) -> None:
        """Count triggers that no frame came for: UNINSPECTED, and no frames."""
        second = self._camera(device).second(now_ms)
        second.outcomes[Outcome.UNINSPECTED] += count
        second.reasons[Reason.FRAME_GAP] += count

    def rows(self, now_ms: int) -> Iterator[CameraTraffic]:
        """Every camera that is remembered, by name."""
        for device in sorted(self._cameras):
            camera = self._cameras[device]
            lately = [s for s in camera.seconds if s.second > now_ms // 1000 - WINDOW_S]
            outcomes: Counter[str] = sum((s.outcomes for s in lately), Counter())
            reasons: Counter[str] = sum((s.reasons for s in lately), Counter())
            (reason, _), *_ = reasons.most_common(1) or [("", 0)]
            yield CameraTraffic(
                device,
                camera.streams,
                camera.begun_ms,
                camera.ended_ms,
                camera.in_peace,
                camera.last_frame_ms,
                _rate(lately, now_ms),
                dict(outcomes),
                reason,
            )

    def _camera(self, device: str) -> _Camera:
        camera = self._cameras.pop(device, None) or _Camera()
        self._cameras[device] = camera
        if len(self._cameras) > MAX_CAMERAS:
            self._cameras.popitem(last=False)
        return camera


def _rate(lately: list[_Second], now_ms: int) -> float:
    """Frames a second over the last whole `RATE_S` seconds; the present one is not over yet."""
    now = now_ms // 1000
    counted = [s for s in lately if now - RATE_S <= s.second < now]
    return sum(s.frames for s in counted) / RATE_S
