"""A simulated camera: photographs drawn boards and writes them as a capture child does (`exec:framegate-sim camera …`)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2

from framegate_agent.camera.sources import Shot
from framegate_simulators.boards import draw_board


class DrawnBoards:
    """Boards of one design from seed `first` on: every `good_every`-th is good. Endless unless `count` is given."""

    def __init__(self, design: int, first: int, *, good_every: int = 3, count: int = 0) -> None:
        self._design, self._first, self._good_every, self._count = design, first, good_every, count

    def __iter__(self) -> Iterator[Shot]:
        made = 0
        while not self._count or made < self._count:
            board = draw_board(self._first + made, design=self._design, defects=0 if made % self._good_every == 0 else None, clean_capture=True)
            yield Shot(f"board-{self._design}-{made + 1:05d}", part_type(self._design), board.frame)
            made += 1


def part_type(design: int) -> str:
    """The part type of a drawn design."""
    return f"drawn-{design}"


def write_golden(folder: Path, designs: list[int]) -> None:
    """Golden images of drawn designs, as the gateway's --golden folder wants them."""
    folder.mkdir(parents=True, exist_ok=True)
    for design in designs:
        cv2.imwrite(str(folder / f"{part_type(design)}.png"), draw_board(0, design=design, defects=0, clean_capture=True).golden)
