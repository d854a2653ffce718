"""The attacks on one part, one after the other: how many fool the network, and how many of those a
second look catches.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import cv2
import numpy as np

from framegate.looks.commission import Proposal, propose
from framegate.looks.fingerprint import Fingerprint
from framegate.looks.limits import Limit
from framegate_gateway.inference.bending import register_bent
from framegate_gateway.inference.registration import Gray, reference
from framegate_gateway.inference.scene import scene_of
from framegate_simulators.evasion.product import CAMERA, Product, Seen, jpeg
from framegate_simulators.evasion.shots import PartSet, ShotPair, region

STEPS: Final = 24
SMOOTH_STEPS: Final = 40
WINDOW_PX: Final = 256
"""Side of the piece around one defect that is perturbed: the network sees some 200 pixels."""
CELL_PX: Final = 32
REPLAY_AFTER: Final = 10
"""Frames between a frame and its replay."""


class Perturbs(Protocol):
    """Whoever makes adversarial frames (`gradient.Gradient`)."""

    def perturbed(self, pair: ShotPair, how: Any) -> Gray:
        """The frame after the attempt."""


@dataclass(slots=True)
class Row:
    """One attack: how often it was `tried`, how often the network `fell` for it, how many of those
    were `caught`, and by which reasons (a frame may have several).
    """

    attack: str
    tried: int = 0
    fell: int = 0
    caught: int = 0
    by: Counter[str] = field(default_factory=Counter)

    def count(self, seen: Seen, *, fell: bool) -> None:
        """Take one frame in."""
        self.tried += 1
        if fell:
            self.fell += 1
            self.caught += bool(seen.reasons)
            self.by.update(reason.value for reason in seen.reasons)

    @property
    def share(self) -> float | None:
        """Of what the network fell for, how much was caught."""
        return self.caught / self.fell if self.fell else None


@dataclass(frozen=True, slots=True)
class FalseAlarms:
    """Held-out sound frames: how many, how many a look withheld, and by which. `wrong`: frames that
    the network itself calls bad; what looks say of those is not counted.
    """

    frames: int
    withheld: int
    wrong: int
    by: Counter[str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """All of it for one part."""

    part: str
    proposal: Proposal
    alarms: FalseAlarms
    groundless: Row
    rows: tuple[Row, ...]


class Campaign:
    """Attacks on one part. `attempt` makes the record that `gradient` takes (`gradient.Attempt`);
    both None where no PyTorch is: attacks by gradient are then left out.
    """

    def __init__(
        self,
        product: Product,
        part: PartSet,
        gradient: Perturbs | None,
        attempt: Callable[..., Any] | None,
        told: Callable[[str], None] = lambda _text: None,
    ) -> None:
        self._product, self._part, self._gradient = product, part, gradient
        self._attempt, self._told = attempt, told
        self._limits: Sequence[Limit] = ()
        self._cameras = 0
        self._sensors: dict[str, Fingerprint] = {}

    def run(self) -> Outcome:
        """Commission, count false alarms, attack."""
        self._told(f"{self._part.name}: commissioning")
        proposal = propose(self._measured(), 1.0, self._sensors)
        self._limits = proposal.limits
        alarms = self._alarms()
        ground = self._grounds()
        rows = []
        for row in self._attacks():
            self._told(
                f"{self._part.name}: {row.attack}: {row.fell} of {row.tried} fool the"
                f" network, {row.caught} caught"
            )
            rows.append(row)
        return Outcome(self._part.name, proposal, alarms, ground, tuple(rows))

    def _measured(self) -> list[Any]:
        seen = [self._see(pair, (), camera=CAMERA) for pair in self._part.commission]
        if self._part.is_one_part:
            known = [one.fingerprint for one in seen if one.fingerprint is not None]
            self._sensors = {CAMERA: known[-1]} if known else {}
        return [one.measured for one in seen if not one.defects and not one.withheld]

    def _see(
        self,
        pair: ShotPair,
        limits: Sequence[Limit],
        frame: Gray | None = None,
        camera: str = "",
    ) -> Seen:
        """By a camera that has seen nothing yet, unless one is named; frames of parts with golden
        images of their own cannot be replays of each other.
        """
        if not camera or not self._part.is_one_part:
            self._cameras += 1
            camera = f"camera.line-1.fresh{self._cameras}"
        return self._product.see(pair, limits, frame=frame, camera=camera)

    def _alarms(self) -> FalseAlarms:
        by: Counter[str] = Counter()
        withheld = wrong = 0
        for pair in self._part.held_out:
            seen = self._see(pair, self._limits, camera=CAMERA)
            if seen.defects:
                wrong += 1
                continue
            withheld += seen.withheld
            by.update({reason.value for reason in seen.reasons})
        return FalseAlarms(len(self._part.held_out), withheld, wrong, by)

    def _grounds(self) -> Row:
        """Honest defects of which a look says that there is nothing, or more than that."""
        row = Row("honest defects, flagged beside DEFECT")
        for pair in (*self._part.single, *self._part.many):
            seen = self._see(pair, self._limits)
            row.count(seen, fell=bool(seen.defects))
        return row

    def _attacks(self) -> Iterator[Row]:
        single, many = self._part.single, self._part.many
        sound = self._part.held_out[: len(single)]
        if self._gradient is not None:
            yield self._hide("PGD 8, several defects", many, epsilon=8)
            yield self._hide("PGD 16, several defects", many, epsilon=16)
            yield self._hide("PGD 16, one defect", single, epsilon=16)
            yield self._hide("PGD 32, one defect", single, epsilon=32)
            yield self._hide("patch 48 x 48 beside it", single, epsilon=255, patch=48)
            yield self._hide("patch 32 x 32 beside it", single, epsilon=255, patch=32)
            yield self._alarm("false alarm 16", sound)
            yield self._hide("adaptive 1: smooth, survives turns", single, epsilon=32, smooth=True)
            yield self._fade("adaptive 2: half the contrast, smooth", single, 0.5)
            yield self._hide("adaptive 3: along edges alone", single, epsilon=32, edges=True)
        yield self._shown("golden image injected", sound, lambda pair: pair.golden)
        yield self._shown("the same, moved and as JPEG 80", sound, _moved_jpeg)
        if self._part.is_one_part:
            yield self._replays("replay", lambda frame: frame)
            yield self._replays("replay as JPEG 80", lambda frame: jpeg(frame, 80))
        if self._part.foreign:
            yield self._swapped("another camera, the last of 64 frames")
        yield self._shown("contrast x 0.6, one defect", single, _faint)
        yield self._shown("whitewash: the golden image over the defect", single, _whitewashed)

    def _hide(
        self,
        name: str,
        pairs: Sequence[ShotPair],
        *,
        epsilon: float,
        patch: int = 0,
        smooth: bool = False,
        edges: bool = False,
    ) -> Row:
        """Bad parts that the attacker wants to pass."""
        row, steps = Row(name), SMOOTH_STEPS if smooth or patch else STEPS
        for pair in self._bad(pairs):
            where = _beside(pair, patch) if patch else _along_edges(pair) if edges else None
            # one defect is hidden from where it is: what is further off, the network does not weigh
            window = _window(pair) if len(pair.boxes) == 1 else None
            how = self._made(
                epsilon=epsilon,
                steps=steps,
                where=where,
                smooth=smooth,
                turned=smooth,
                window=window,
            )
            self._count_hidden(row, pair, self._perturbed(pair, how))
        return row

    def _alarm(self, name: str, pairs: Sequence[ShotPair]) -> Row:
        """Sound parts that the attacker wants to stop the line with. Those that the network calls
        bad as they are need no attack, and say nothing of one.
        """
        row = Row(name)
        for pair in (one for one in pairs if not self._see(one, self._limits).defects):
            how = self._made(epsilon=16, steps=STEPS, alarm=True, window=_window(pair))
            frame = self._perturbed(pair, how)
            seen = self._see(pair, self._limits, frame)
            row.count(seen, fell=bool(seen.defects))
        return row

    def _fade(self, name: str, pairs: Sequence[ShotPair], share: float) -> Row:
        """`share` of the defect's contrast is taken away before the rest is perturbed."""
        row = Row(name)
        for pair in self._bad(pairs):
            faded = _mixed(pair, share)
            how = self._made(
                epsilon=32, steps=SMOOTH_STEPS, smooth=True, turned=True, window=_window(pair)
            )
            frame = self._perturbed(ShotPair(faded, pair.golden, pair.boxes), how)
            self._count_hidden(row, pair, frame)
        return row

    def _shown(self, name: str, pairs: Sequence[ShotPair], made: Callable[[ShotPair], Gray]) -> Row:
        """Frames that are shown in a part's place."""
        row = Row(name)
        for pair in pairs:
            self._count_hidden(row, pair, made(pair))
        return row

    def _replays(self, name: str, made: Callable[[Gray], Gray]) -> Row:
        row, held_out = Row(name), self._part.held_out
        for number in range(len(self._part.single)):
            camera = f"camera.line-1.{name.replace(' ', '-')}-{number}"
            pair = held_out[number]
            for other in held_out[number : number + REPLAY_AFTER]:
                self._see(other, self._limits, camera=camera)
            frame = made(pair.frame)
            seen = self._see(pair, self._limits, frame, camera=camera)
            row.count(seen, fell=not seen.defects)
        return row

    def _swapped(self, name: str) -> Row:
        """Another camera of the same make, once its frames are most of a window."""
        row, last = Row(name), len(self._part.foreign) - len(self._part.single)
        for number, pair in enumerate(self._part.foreign):
            seen = self._see(pair, self._limits, camera=CAMERA)
            if number >= last:
                row.count(seen, fell=not seen.defects)
        return row

    def _count_hidden(self, row: Row, pair: ShotPair, frame: Gray) -> None:
        """The network falls for a frame where it says nothing of it."""
        seen = self._see(pair, self._limits, frame)
        row.count(seen, fell=not seen.defects)

    def _bad(self, pairs: Sequence[ShotPair]) -> list[ShotPair]:
        """Those that the network finds as they are: of the others nothing has to be hidden."""
        return [pair for pair in pairs if self._see(pair, self._limits).defects]

    def _made(self, **how: Any) -> Any:
        assert self._attempt is not None
        return self._attempt(**how)

    def _perturbed(self, pair: ShotPair, how: Any) -> Gray:
        assert self._gradient is not None
        return self._gradient.perturbed(pair, how)


def _window(pair: ShotPair) -> tuple[slice, slice]:
    """A piece of `WINDOW_PX` around the first defect, or the middle of the frame."""
    h, w = pair.frame.shape
    x1, y1, x2, y2 = pair.boxes[0] if pair.boxes else (w // 2, h // 2, w // 2, h // 2)
    corners = []
    for middle, side in (((y1 + y2) // 2, h), ((x1 + x2) // 2, w)):
        start = min(max(0, middle - WINDOW_PX // 2), side - WINDOW_PX)
        corners.append(start // CELL_PX * CELL_PX)
    top, left = corners
    return slice(top, top + WINDOW_PX), slice(left, left + WINDOW_PX)


def _beside(pair: ShotPair, side: int) -> Any:
    """(h, w) bool: a square that touches the first defect's box and covers none of it."""
    h, w = pair.frame.shape
    x1, y1, x2, y2 = pair.boxes[0]
    middle = (x1 + x2) // 2
    top = y2 + 1 if y2 + 1 + side <= h else max(0, y1 - side)
    left = min(max(0, middle - side // 2), w - side)
    where = np.zeros((h, w), bool)
    where[top : top + side, left : left + side] = True
    where[y1 : y2 + 1, x1 : x2 + 1] = False
    return where


def _along_edges(pair: ShotPair) -> Any:
    """(h, w) bool: where looks at flat zones do not look."""
    return scene_of(pair.frame, register_bent(reference(pair.golden), pair.frame)).flat == 0


def _mixed(pair: ShotPair, share: float) -> Gray:
    moved = register_bent(reference(pair.golden), pair.frame).golden
    frame = pair.frame.copy()
    for box in pair.boxes:
        here = region(box, 2)
        mixed = (1 - share) * frame[here].astype(np.float32) + share * moved[here]
        frame[here] = np.clip(mixed, 0, 255).astype(np.uint8)
    return frame


def _whitewashed(pair: ShotPair) -> Gray:
    moved = register_bent(reference(pair.golden), pair.frame).golden
    frame = pair.frame.copy()
    for box in pair.boxes:
        frame[region(box, 4)] = moved[region(box, 4)]
    return frame


def _faint(pair: ShotPair) -> Gray:
    middle = float(pair.frame.mean())
    return np.asarray(
        np.clip(middle + 0.6 * (pair.frame.astype(np.float32) - middle), 0, 255), np.uint8
    )


def _moved_jpeg(pair: ShotPair) -> Gray:
    matrix = np.array([[1, 0, 1.4], [0, 1, -0.7]], np.float32)
    size = pair.golden.shape[::-1]
    moved = cv2.warpAffine(pair.golden, matrix, size, borderMode=cv2.BORDER_REPLICATE)
    return jpeg(np.asarray(moved, np.uint8), 80)
