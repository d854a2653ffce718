"""A piece of the same frame, mirrored and moved by chance, for a second question to the network:
what was made to mislead it at these very pixels seldom misleads it at others.
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
PIECE_PX: Final = 192
"""Side of the piece that is asked about. The network weighs some 200 pixels around a defect, and a
whole frame of 640 would take ten times as long; of a few attacked frames, pieces of 256 found less.
"""
RIM_PX: Final = 32
"""Along a side of the piece that is none of the frame's, what is detected does not count: the
network sees an edge there which the frame has not.
"""


@dataclass(frozen=True, slots=True)
class Turn:
    """Mirrored left to right, top to bottom, and moved by `x`, `y` pixels after that."""

    left_right: bool
    top_bottom: bool
    x: int
    y: int


@dataclass(frozen=True, slots=True)
class Piece:
    """`height` rows from `top` and `width` columns from `left` of a frame of `size` (h, w)."""

    top: int
    left: int
    height: int
    width: int
    size: tuple[int, int]

    def of(self, tensor: NDArray[Any]) -> NDArray[Any]:
        """The piece of a pair (1, 2, H, W), as an array of its own, as filled up as the pair is."""
        (top, height), (left, width) = (
            (start, length) if length == PIECE_PX else (0, filled)
            for start, length, filled in zip(
                (self.top, self.left), (self.height, self.width), tensor.shape[2:], strict=True
            )
        )
        return np.ascontiguousarray(tensor[:, :, top : top + height, left : left + width])

    def whole(self, detections: Detections) -> Detections:
        """Detections of the piece in the frame, but for those in its rim."""
        x, y = ((detections.boxes[:, n] + detections.boxes[:, n + 2]) / 2 for n in (0, 1))
        inside = _inside(x, self.left, self.width, self.size[1])
        inside &= _inside(y, self.top, self.height, self.size[0])
        moved = detections.boxes[inside] + np.array([self.left, self.top] * 2, np.float32)
        return Detections(moved, detections.classes[inside], detections.scores[inside])


def _inside(at: NDArray[Any], start: int, length: int, size: int) -> NDArray[np.bool_]:
    low = 0 if start == 0 else RIM_PX
    high = length if start + length == size else length - RIM_PX
    return np.asarray((at >= low) & (at <= high), np.bool_)


def piece_around(x: float, y: float, size: tuple[int, int]) -> Piece:
    """The piece of a frame of `size` (h, w) with the pixel `x`, `y` in its middle, or as near to it
    as the frame allows; the frame as long and as wide as it is where that is no more.
    """
    (top, height), (left, width) = (_span(at, side) for at, side in zip((y, x), size, strict=True))
    return Piece(top, left, height, width, size)


def _span(at: float, side: int) -> tuple[int, int]:
    length = min(PIECE_PX, side)
    return min(max(0, round(at) - length // 2), side - length), length


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


def asked_again(tensor: NDArray[Any], piece: Piece, ask: Ask, chance: Random) -> Detections:
    """What `ask`, the network and what it means, says to a piece of the pair `tensor` turned by
    chance, in the frame as it was.
    """
    turn, size = drawn_turn(chance), (piece.height, piece.width)
    return piece.whole(turned_back(ask(turned(piece.of(tensor), turn, size)), turn, size))
