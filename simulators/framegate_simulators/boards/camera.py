"""A simulated camera: photographs drawn boards and writes them as a capture child does
(`exec:framegate-sim camera …`).
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from framegate_agent.camera.sources import Shot
from framegate_simulators.boards.boards import draw_board


class DrawnBoards:
    """Boards of one design from seed `first` on: every `good_every`-th is good. Endless unless
    `count` is given. From board `stuck_after` on (0: never) every second picture is the one before,
    as a driver that hands out an old buffer does, or somebody who replays one.
    """

    def __init__(
        self,
        design: int,
        first: int,
        *,
        good_every: int = 3,
        count: int = 0,
        stuck_after: int = 0,
    ) -> None:
        self._design, self._first, self._good_every, self._count = design, first, good_every, count
        self._stuck_after = stuck_after

    def __iter__(self) -> Iterator[Shot]:
        drawn = 0
        while not self._count or drawn < self._count:
            stuck = 0 < self._stuck_after <= drawn and drawn % 2
            board = draw_board(
                self._first + drawn - bool(stuck),
                design=self._design,
                defects=0 if (drawn - bool(stuck)) % self._good_every == 0 else None,
                clean_capture=True,
            )
            yield Shot(
                f"board-{self._design}-{drawn + 1:05d}", part_type(self._design), board.frame
            )
            drawn += 1


class TriggeredBoards:
    """One photograph for each trigger that arrives on the UDP port `wire` of this machine: {part,
    sequence, good}. A maker's program in its cage has no Unix sockets.

    Boards are drawn beforehand and differ by a little noise, as photographs do; drawing each would
    make the camera the slowest thing on the line.
    """

    def __init__(self, design: int, wire: int, pool: int = 12) -> None:
        self._design, self._wire = design, wire
        self._good = [
            draw_board(seed, design=design, defects=0, clean_capture=True).frame
            for seed in range(pool)
        ]
        self._bad = [
            draw_board(1000 + seed, design=design, defects=6, clean_capture=True).frame
            for seed in range(pool)
        ]

    def __iter__(self) -> Iterator[Shot]:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
            wire.bind(("127.0.0.1", self._wire))
            while True:
                body = json.loads(wire.recv(4096))
                sequence = int(body["sequence"])
                pool = self._good if body["good"] else self._bad
                image = pool[sequence % len(pool)].copy()
                noise = np.random.default_rng(sequence)
                image[
                    noise.integers(0, image.shape[0], 4), noise.integers(0, image.shape[1], 4)
                ] ^= 255
                yield Shot(str(body["part"]), part_type(self._design), image, trigger=sequence)


def part_type(design: int) -> str:
    """The part type of a drawn design."""
    return f"drawn-{design}"


def write_golden(folder: Path, designs: list[int]) -> None:
    """Golden images of drawn designs, as the gateway's --golden folder wants them."""
    folder.mkdir(parents=True, exist_ok=True)
    for design in designs:
        cv2.imwrite(
            str(folder / f"{part_type(design)}.png"),
            draw_board(0, design=design, defects=0, clean_capture=True).golden,
        )
