"""Parts to attack: sound frames for commissioning and for counting false alarms, bad ones whose
defects an attacker wants to hide. Drawn boards by a thresholded and by a grey camera, and real ones
(DeepPCB, one design) where its files are given.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from framegate.errors import Reason, Unavailable
from framegate.looks.limits import MIN_COMMISSION
from framegate_gateway.inference.bending import register_bent
from framegate_gateway.inference.registration import Gray, reference
from framegate_models.dataset import read_pair, read_split
from framegate_simulators.boards.boards import CLASSES, Board, draw_board
from framegate_simulators.boards.sensor import GreySensor

Box = tuple[int, ...]
LEEWAY_PX: Final = 3
"""How far a fixture lets a part lie before a grey camera, whose sensor is learned of what moves."""
FOREIGN: Final = 64
"""Frames by another camera: a sensor is told by as many together."""
MARGIN_PX: Final = 6
"""Around a defect's box, what is painted over with the golden image to make a sound board."""


@dataclass(frozen=True, slots=True)
class ShotPair:
    """A frame beside its golden image, both (640, 640) uint8, and the boxes of its defects."""

    frame: Gray
    golden: Gray
    boxes: tuple[Box, ...] = ()


@dataclass(frozen=True, slots=True)
class PartSet:
    """One part type at one camera: sound frames to commission with, others `held_out`, frames with
    one defect and with `many`, and sound `foreign` ones by another camera. `is_one_part`: whether
    all have one golden image, without which frames cannot be replays of each other.
    """

    name: str
    commission: Sequence[ShotPair]
    held_out: Sequence[ShotPair]
    single: Sequence[ShotPair]
    many: Sequence[ShotPair]
    foreign: Sequence[ShotPair] = ()
    is_one_part: bool = True
    is_grey: bool = False


def drawn_part(design: int, sound: int, bad: int, *, grey: bool, seed: int = 0) -> PartSet:
    """A drawn design: `MIN_COMMISSION` frames and a few more to commission with, `sound` held out,
    `bad` of each sort.
    """
    first = 10_000 * (seed + 1)
    golden = draw_board(first, design=design, defects=0, clean_capture=True).golden
    camera = GreySensor(seed, golden.shape) if grey else None
    seen = golden
    if camera is not None:
        shots = [camera.expose(golden) for _ in range(12)]
        seen = np.median(np.stack(shots), axis=0).astype(np.uint8)

    def shot(number: int, defects: int, by: GreySensor | None = camera) -> ShotPair:
        board = draw_board(first + number, design=design, defects=defects, clean_capture=True)
        if by is None:
            return ShotPair(board.frame, seen, _boxes(board, 0, 0))
        draw = np.random.default_rng([seed, number])
        x, y = (int(n) for n in draw.integers(-LEEWAY_PX, LEEWAY_PX + 1, 2))
        return ShotPair(by.expose(np.roll(board.frame, (y, x), (0, 1))), seen, _boxes(board, x, y))

    ready = MIN_COMMISSION + MIN_COMMISSION // 6
    other = GreySensor(seed + 1, golden.shape)
    return PartSet(
        f"drawn, {'grey' if grey else 'thresholded'} camera",
        [shot(n, 0) for n in range(ready)],
        [shot(ready + n, 0) for n in range(sound)],
        [shot(4000 + n, 1) for n in range(bad)],
        [shot(6000 + n, 6) for n in range(bad)],
        [shot(8000 + n, 0, other) for n in range(FOREIGN)] if grey else (),
        is_grey=grey,
    )


def _boxes(board: Board, x: int, y: int) -> tuple[Box, ...]:
    """Of a board's defects, once it was moved by so many pixels."""
    corners = ((d.x1 + x, d.y1 + y, d.x2 + x, d.y2 + y) for d in board.defects)
    return tuple(tuple(max(0, int(side)) for side in box) for box in corners)


def real_part(folder: Path, bad: int, seed: int = 0) -> PartSet:
    """The design of DeepPCB with most pairs: sound boards are real ones whose defects are painted
    over with the golden image, single ones have all but one painted over. Raises Unavailable
    (DATA_SET) where no design has enough pairs.
    """
    groups = defaultdict(list)
    for one in read_split(folder):
        groups[one.name.split("/")[0]].append(one)
    listed = max(groups.values(), key=len)
    ready = MIN_COMMISSION + MIN_COMMISSION // 6
    if len(listed) < ready + bad:
        wanted = f"a design with {ready + bad} pairs"
        raise Unavailable.of(Reason.DATA_SET, wanted, len(listed))
    order = np.random.default_rng([0xDEE9, seed]).permutation(len(listed))
    pairs = []
    for number in order:
        pair = read_pair(listed[number], CLASSES)
        boxes = tuple(tuple(int(side) for side in box) for box in pair.boxes)
        pairs.append(ShotPair(pair.frame, pair.golden, boxes))
    held_out = pairs[ready:]
    return PartSet(
        "real boards (DeepPCB)",
        [painted(pair, 0) for pair in pairs[:ready]],
        [painted(pair, 0) for pair in held_out],
        [painted(pair, 1) for pair in held_out[:bad]],
        [pair for pair in held_out if len(pair.boxes) > 3][:bad],
        is_one_part=False,
    )


def painted(pair: ShotPair, left: int) -> ShotPair:
    """`pair` with all but the first `left` of its defects painted over with the golden image."""
    moved = register_bent(reference(pair.golden), pair.frame).golden
    frame = pair.frame.copy()
    keep = pair.boxes[:left]
    for box in pair.boxes[left:]:
        frame[region(box, MARGIN_PX)] = moved[region(box, MARGIN_PX)]
    for box in keep:  # a neighbour's paint may reach into it
        frame[region(box, MARGIN_PX)] = pair.frame[region(box, MARGIN_PX)]
    return ShotPair(frame, pair.golden, keep)


def region(box: Sequence[int], margin: int) -> tuple[slice, slice]:
    """Rows and columns of a box with `margin` pixels around it."""
    x1, y1, x2, y2 = box
    return (
        slice(max(0, y1 - margin), y2 + margin),
        slice(max(0, x1 - margin), x2 + margin),
    )
