"""The last frames of each camera, as patterns: a scene that is shown again has the noise, or the
etched edges, of one that was there (N182).

Perceptual hashes say nothing here: sound frames of one design lie as near to each other as copies.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from framegate.looks.kinds import Look
from framegate_gateway.inference.patterns import Pattern, Patterns

WINDOW: Final = 64
"""Frames of a camera and part type that a frame is held against: half a minute of a quick line."""
MAX_CAMERAS: Final = 32
"""Windows that are kept, of 4 MB each: the longest unseen goes first."""


class Window:
    """The last `WINDOW` patterns of one sort, as rows (WINDOW, n)."""

    __slots__ = ("_next", "_rows")

    def __init__(self, size: int) -> None:
        self._rows = np.zeros((WINDOW, size), np.float32)
        self._next = 0

    def most_alike(self, pattern: Pattern) -> float:
        """Correlation with the most alike of them; it takes the oldest one's place."""
        most = float((self._rows @ pattern).max())
        self._rows[self._next % WINDOW] = pattern
        self._next += 1
        return most


@dataclass(slots=True)
class _Windows:
    size: int
    noise: Window
    edges: Window


@dataclass(slots=True)
class LastFrames:
    """Windows by camera and part type."""

    windows: OrderedDict[tuple[str, str], _Windows] = field(default_factory=OrderedDict)

    def compare(self, camera: str, part_type: str, own: Patterns) -> dict[Look, float]:
        """How like the most alike of the last frames one with these patterns is, by noise and by
        edges, 0 where it is the first; it is one of them from now on.
        """
        key = camera, part_type
        window = self.windows.get(key)
        if window is None or window.size != own.noise.size:
            size = own.noise.size
            window = self.windows[key] = _Windows(size, Window(size), Window(size))
        self.windows.move_to_end(key)
        if len(self.windows) > MAX_CAMERAS:
            self.windows.popitem(last=False)
        return {
            Look.REPLAYED_NOISE: window.noise.most_alike(own.noise),
            Look.REPLAYED_EDGES: window.edges.most_alike(own.edges),
        }
