"""A camera's fingerprint: the fixed pattern by which its sensor's pixels respond differently to
light (PRNU), as Lukáš, Fridrich and Goljan find it (Digital Camera Identification from Sensor
Pattern Noise, 2006; Goljan, Fridrich, Filler, Large Scale Test of Sensor Fingerprint Camera
Identification, 2009), and how like a commissioned one frames are that come now.

One frame says little: the noise of 64 is weighed together. What lies still in the picture would be
taken for the sensor's, so only flat places count, and no fingerprint is learned where parts lie to
the pixel.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from framegate.looks.fingerprint import SIDE, Fingerprint
from framegate.looks.kinds import MOST_MEASURED
from framegate_gateway.inference.scene import Scene

STEP_PX: Final = 2
"""Of the middle of the picture every second pixel of every second row: of a part's flat zones more
are in view so than of a smaller square.
"""
REACH_PX: Final = SIDE * STEP_PX
AROUND: Final = (5, 5)
NOISE: Final = 3.0
"""Grey levels of deviation that a place is smoothed away for, in Wiener's filter; places that vary
more are texture, and count by as much less.
"""
_AWAY: Final = np.ones((7, 7), np.uint8)
"""How far from edges a place has to be: what the lens leaves of one beside it is the scene's, not
the sensor's, and parts lie much alike.
"""
DARKEST, BRIGHTEST = 16, 249
"""Grey levels between which a pixel says something: how much light it sees is what differs."""
BLOCK: Final = 8
"""Frames that are summed up before they are looked at: a transform for each would cost more than
the rest.
"""
BLOCKS: Final = 8
"""Blocks in the window: 64 frames, as those that replays are looked for in."""
LEAST_LEARNED: Final = 64
"""Frames that a pattern comes from at least, before others are held against it."""
LEAST_SEEN: Final = 4
"""Frames in which a pixel has to have been flat, of a window."""
LEAST_PIXELS: Final = 1_000
"""Of fewer, chance tells as much."""
STILL_PX: Final = 1.2
"""Deviation of the places in which parts lie, below which their print is not told from the
sensor's. With print of eight grey levels that moves by a pixel each way, another sensor came near
the limit (3,136 of 3,459), by three it did not (471 of 2,565).
"""
NEAR: Final = 5
"""Shifts around none that are no chance: neighbours share light and the camera's own filters."""
MAX_CAMERAS: Final = 32
"""Windows that are kept, of 2 MB each: the longest unseen goes first."""
Floats = NDArray[np.float32]
Place = tuple[float, float]


def _nothing() -> Floats:
    return np.zeros((SIDE, SIDE), np.float32)


@dataclass(slots=True)
class Estimate:
    """Of the pixels looked at: noise weighed by light, squares of the light that it was weighed by,
    and in how many `frames` it was flat, (SIDE, SIDE) each; their quotient is the estimate of most
    likelihood of how much more than its neighbours a pixel sees.
    """

    weighed: Floats = field(default_factory=_nothing)
    light: Floats = field(default_factory=_nothing)
    seen: Floats = field(default_factory=_nothing)
    frames: int = 0

    def add(self, other: Estimate) -> None:
        """Count what `other` has too."""
        self.weighed += other.weighed
        self.light += other.light
        self.seen += other.seen
        self.frames += other.frames

    def pattern(self) -> Floats:
        """(SIDE, SIDE), 0 where too little was seen; what whole rows and columns have in common is
        taken out: sensors of one make share it, and a JPEG's blocks.
        """
        known = self.seen >= LEAST_SEEN
        if int(known.sum()) < LEAST_PIXELS:
            return _nothing()
        raw = np.where(known, self.weighed / np.maximum(self.light, 1.0), 0)
        for axis in (0, 1):
            count = np.maximum(known.sum(axis=axis, keepdims=True), 1)
            raw = np.where(known, raw - raw.sum(axis=axis, keepdims=True) / count, 0)
        return np.asarray(raw, np.float32)


def see(estimate: Estimate, scene: Scene) -> bool:
    """Count the frame of `scene`; whether it is large enough to."""
    h, w = scene.frame.shape
    if min(h, w) < REACH_PX:
        return False
    y, x = (h - REACH_PX) // 2, (w - REACH_PX) // 2
    middle = slice(y, y + REACH_PX), slice(x, x + REACH_PX)
    frame = scene.frame[middle]
    step = slice(None, None, STEP_PX), slice(None, None, STEP_PX)
    mean = cv2.boxFilter(frame, cv2.CV_32F, AROUND)[step]
    spread = cv2.sqrBoxFilter(frame, cv2.CV_32F, AROUND)[step] - mean * mean
    inside = cv2.erode(scene.flat[middle], _AWAY)[step] > 0
    level = frame[step]
    flat = (inside & (level > DARKEST) & (level < BRIGHTEST)).astype(np.float32)
    light = level * flat
    noise = (level - mean) * (NOISE**2 / np.maximum(spread, NOISE**2))
    estimate.weighed += noise * light
    estimate.light += light * light
    estimate.seen += flat
    estimate.frames += 1
    return True


def energy(pattern: Floats, fingerprint: Fingerprint) -> float:
    """Peak-to-correlation energy of a pattern (SIDE, SIDE) with a fingerprint: the square of their
    correlation as they lie, over the mean square of their correlations shifted; 0 where they are
    unlike. Two cameras come to 1 on average, and hardly ever to 30.
    """
    if not bool(pattern.any()):
        return 0.0
    said = np.fft.irfft2(np.fft.rfft2(pattern) * _transformed(fingerprint), (SIDE, SIDE))
    beside = said**2
    for axis in (0, 1):
        beside = np.roll(beside, NEAR, axis=axis)
    floor = (beside.sum() - beside[: 2 * NEAR + 1, : 2 * NEAR + 1].sum()) / (
        beside.size - (2 * NEAR + 1) ** 2
    )
    peak = float(said[0, 0])
    return min(MOST_MEASURED, peak * peak / max(float(floor), 1e-12)) if peak > 0 else 0.0


@lru_cache(maxsize=MAX_CAMERAS)
def _transformed(fingerprint: Fingerprint) -> NDArray[Any]:
    bits = np.unpackbits(np.frombuffer(fingerprint.signs, np.uint8)).reshape(SIDE, SIDE)
    return np.asarray(np.conj(np.fft.rfft2(bits.astype(np.float32) * 2 - 1)))


def signs_of(pattern: Floats) -> Fingerprint:
    """The pattern by its signs, which keep four fifths of a correlation."""
    return Fingerprint(np.packbits(pattern > 0).tobytes())


@dataclass(slots=True)
class _Follow:
    """One camera's last frames of a part type, in blocks; while it is commissioned (`commission`, a
    number for each), what went out of the window, which the window is held against, and in which
    `places` (x, y), in pixels, the part lay.
    """

    now: Estimate = field(default_factory=Estimate)
    blocks: deque[Estimate] = field(default_factory=lambda: deque(maxlen=BLOCKS))
    commission: int = 0
    learned: Estimate = field(default_factory=Estimate)
    places: list[Place] = field(default_factory=list)
    measured: float | None = None
    proposed: Fingerprint | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """How like its fingerprint a camera's last frames are, None where nothing can be said yet; and,
    while it is commissioned, the fingerprint as known now.
    """

    measured: float | None = None
    proposed: Fingerprint | None = None


@dataclass(slots=True)
class Fingerprints:
    """Followed by camera and part type."""

    follows: OrderedDict[tuple[str, str], _Follow] = field(default_factory=OrderedDict)

    def see(
        self, key: tuple[str, str], scene: Scene, known: Fingerprint | None, commission: int = 0
    ) -> Told:
        """Count a frame and say what is known after it, by `known` or, under a `commission`, by
        what that learned before.
        """
        follow = self.follows.get(key)
        if follow is None or commission != follow.commission:
            follow = self.follows[key] = _Follow(commission=commission)
        self.follows.move_to_end(key)
        if len(self.follows) > MAX_CAMERAS:
            self.follows.popitem(last=False)
        if not see(follow.now, scene):
            return Told()
        if commission:
            follow.places.append(_place(scene))
        if follow.now.frames == BLOCK:
            _close(follow, known)
        return Told(follow.measured, follow.proposed)


def _close(follow: _Follow, known: Fingerprint | None) -> None:
    """A block is whole: it enters the window, and the oldest leaves it."""
    if follow.commission and len(follow.blocks) == BLOCKS:
        follow.learned.add(follow.blocks[0])
    follow.blocks.append(follow.now)
    follow.now = Estimate()
    if len(follow.blocks) < BLOCKS:
        return
    window = Estimate()
    for block in follow.blocks:
        window.add(block)
    if not follow.commission:
        follow.measured = None if known is None else energy(window.pattern(), known)
    elif follow.learned.frames >= LEAST_LEARNED and _moves(follow.places):
        follow.measured = energy(window.pattern(), signs_of(follow.learned.pattern()))
        window.add(follow.learned)
        follow.proposed = signs_of(window.pattern())


def _place(scene: Scene) -> Place:
    if scene.matrix is None:
        return scene.shift
    return float(scene.matrix[0, 2]), float(scene.matrix[1, 2])


def _moves(places: list[Place]) -> bool:
    return float(np.array(places).std(axis=0).max()) >= STILL_PX
