"""The same frame, mirrored or moved by chance, for a second question to the network: what was made
to mislead it at these very pixels seldom misleads it at others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from framegate_gateway.inference.detections import Detections

MAX_MOVED_PX: Final = 7
"""Networks that see in strides of eight see a frame anew that is moved by less."""
MIN_MOVED_PX: Final = 2


@dataclass(frozen=True, slots=True)
class Turn:
    """Mirrored left to right, top to bottom, and moved by `x`, `y` pixels after that."""

    left_right: bool
    top_bottom: bool
    x: int
    y: int


def drawn_turn(chance: Random) -> Turn:
    """One by chance, never the frame as it is. Whoever makes a perturbation does not know which."""
    mirrored = chance.choice(((True, False), (False, True), (True, True), (False, False)))
    x, y = (chance.choice((-1, 1)) * chance.randint(MIN_MOVED_PX, MAX_MOVED_PX) for _ in "xy")
    return Turn(*mirrored, x, y)


def turned(tensor: NDArray[Any], turn: Turn, size: tuple[int, int]) -> NDArray[Any]:
    """A pair (1, 2, H, W) whose first `size` (h, w) rows and columns are frame and golden image,
    turned alike; what comes in at the edge is the edge.
    """
    h, w = size
    mirrored = tensor[:, :, :h, :w][
        :, :, :: -1 if turn.top_bottom else 1, :: -1 if turn.left_right else 1
    ]
    # slices: by lists of rows and columns this took half as long as the network
    y, x = turn.y, turn.x
    result = np.empty_like(tensor) if (h, w) == tensor.shape[2:] else tensor.copy()
    inside = result[:, :, :h, :w]
    inside[:, :, max(0, y) : h + min(0, y), max(0, x) : w + min(0, x)] = mirrored[
        :, :, max(0, -y) : h - max(0, y), max(0, -x) : w - max(0, x)
    ]
    side, column = (slice(None, x), x) if x > 0 else (slice(w + x, None), w + x - 1)
    inside[:, :, :, side] = inside[:, :, :, column, None]
    end, row = (slice(None, y), y) if y > 0 else (slice(h + y, None), h + y - 1)
    inside[:, :, end] = inside[:, :, row, None]
    return result


def turned_back(detections: Detections, turn: Turn, size: tuple[int, int]) -> Detections:
    """Detections of the turned frame in the frame as it was."""
    h, w = size
    boxes = detections.boxes - np.array([turn.x, turn.y] * 2, np.float32)
    x1, y1, x2, y2 = boxes.reshape(-1, 4).T
    if turn.left_right:
        x1, x2 = w - x2, w - x1
    if turn.top_bottom:
        y1, y2 = h - y2, h - y1
    back = np.stack([x1, y1, x2, y2], axis=1).astype(np.float32)
    return Detections(back.reshape(-1, 4), detections.classes, detections.scores)


Ask = Callable[[NDArray[Any]], Detections]


def asked_again(
    tensor: NDArray[Any], size: tuple[int, int], ask: Ask, chance: Random
) -> Detections:
    """What `ask`, the network and what it means, says to the pair turned by chance, in the frame
    as it was.
    """
    turn = drawn_turn(chance)
    return turned_back(ask(turned(tensor, turn, size)), turn, size)
