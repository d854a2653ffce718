"""Drawn circuit boards with known defects, deterministic by seed: layout, damage and capture put
together.

Copper is dark on a light ground, as a line-scan camera with back light sees it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from framegate_simulators.boards.capture import capture, dust, look
from framegate_simulators.boards.damage import CLASSES, Defect, damage
from framegate_simulators.boards.layout import Gray, draw_design
from framegate_simulators.boards.tracing import NECKS, necked

__all__ = ["CLASSES", "SIZE_PX", "Board", "Defect", "draw_board", "write_boards"]

SIZE_PX: Final = 640
"""DeepPCB's frame size."""
_JPEG_QUALITY: Final = 95


@dataclass(frozen=True, slots=True)
class Board:
    """A drawn board: `golden` and `frame` are (640, 640) uint8 grey images, `defects` says what
    `frame` has wrong.
    """

    golden: Gray
    frame: Gray
    defects: tuple[Defect, ...]


def draw_board(
    seed: int,
    *,
    design: int | None = None,
    defects: int | None = None,
    clean_capture: bool | None = None,
    traced: float = 0.0,
) -> Board:
    """Board number `seed`; boards with the same `design` and capture share their golden image.

    `defects` is how many to draw (default: one board in eight is good, the rest have up to
    fourteen); `clean_capture` True gives a thresholded line-scan look, as of a line that is well
    kept; False a grey one, None either by chance, and lines of every sort. `traced` is the share of
    defects that follow edges; with it, layouts have necks.
    """
    rng = np.random.default_rng([0xB0A2D, seed])
    of_design = np.random.default_rng([0x601D, seed if design is None else design])
    copper = draw_design(np.random.default_rng([0xDE51, seed if design is None else design]))
    if traced and of_design.random() < NECKS:
        copper = necked(of_design, copper)
    wanted = (
        (0 if rng.random() < 0.12 else int(rng.integers(1, 15))) if defects is None else defects
    )
    damaged, marked = damage(rng, copper, wanted, traced)
    thresholded = bool(rng.random() < 0.8) if clean_capture is None else clean_capture
    usual = look(of_design, thresholded)
    golden = capture(of_design, copper, usual, shift_px=0.0)
    shift = 0.5 if rng.random() < 0.85 else 1.5
    steady = clean_capture is True
    how = look(rng, thresholded) if rng.random() < 0.5 and not steady else usual
    frame = dust(
        rng, capture(rng, damaged, how, shift_px=0.5 if steady else shift, steady=steady), usual
    )
    return Board(golden, frame, tuple(marked))


def write_boards(folder: Path, numbers: range, defects: int | None = None) -> None:
    """Boards in DeepPCB's own format: `N_test.jpg`, `N_temp.jpg` (golden image), `N.txt` with `x1
    y1 x2 y2 class` a line, and `trainval.txt` that lists them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    listed = []
    for number in numbers:
        board, name = draw_board(number, defects=defects), f"{number:08d}"
        for suffix, image in (("test", board.frame), ("temp", board.golden)):
            cv2.imwrite(
                str(folder / f"{name}_{suffix}.jpg"),
                image,
                [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY],
            )
        (folder / f"{name}.txt").write_text(
            "".join(
                f"{d.x1} {d.y1} {d.x2} {d.y2} {CLASSES.index(d.kind) + 1}\n" for d in board.defects
            )
        )
        listed.append(f"{name}.jpg {name}.txt\n")
    (folder / "trainval.txt").write_text("".join(listed))
