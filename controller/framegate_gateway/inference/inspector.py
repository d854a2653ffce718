"""One inspection of a pair, from decoded frame to detections: gate, registration, network, boxes.

The same code runs in the gateway's inference child, in `model evaluate` and for known answers, so
that what is measured is what is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from framegate.errors import Reason, Refused, Unavailable
from framegate_gateway.inference.bending import laid
from framegate_gateway.inference.bundle import KnownAnswer
from framegate_gateway.inference.decoding import decode_gray
from framegate_gateway.inference.detections import (
    Detections,
    calibrated,
    detections_from_maps,
    uncalibrated,
)
from framegate_gateway.inference.gate import Golden, golden_of, require_place, require_size
from framegate_gateway.inference.inspecting import Frame, Ready, require_numbers
from framegate_gateway.inference.picture_input import Placing
from framegate_gateway.inference.place import NO_LEEWAY, Leeway
from framegate_gateway.inference.recipe import Recipe
from framegate_gateway.inference.registration import MIN_LIKENESS, Gray, Registered, register
from framegate_gateway.inference.scene import Scene, scene_of
from framegate_gateway.inference.tolerance import nearest_allowed
from framegate_gateway.inference.variants import Variant, varied

Floats = NDArray[np.float32]
TURNS: Final = Leeway(turns=True)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A frame beside its moved golden image as the network takes it: `pair` (1, 2, h, w) float32 in
    [0, 1]; `size` (h, w) of the frame before it was filled up; `allowed` the golden image as near
    to the frame as it tolerates, which stands in the pair then.
    """

    pair: Floats
    size: tuple[int, int]
    registered: Registered
    allowed: Gray | None = None


class Inspector:
    """A model with its recipe, ready to inspect. `run` is the network: (n, 2, h, w) float32 to heat
    and geometry.
    """

    def __init__(self, recipe: Recipe, run: Any) -> None:
        self.recipe, self.run = recipe, run

    def prepare(
        self, frame: Gray, golden: Golden, leeway: Leeway = TURNS, *, gate: bool = True
    ) -> Prepared:
        """Gate and register. Raises Refused (IMAGE_COVERED, IMAGE_EXPOSURE, IMAGE_DEFOCUS,
        REGISTRATION, OUT_OF_PLACE), Malformed (IMAGE) for another size.

        Without `gate` a frame that does not fit its golden image is compared as it lies, which is
        for measuring alone.
        """
        if gate:
            moved = require_place(frame, golden, leeway)
        else:
            require_size(frame, golden)
            moved = register(golden.reference, frame)
            if moved.likeness < MIN_LIKENESS:
                moved = Registered(golden.image, (0.0, 0.0), moved.likeness)
        moved = laid(moved, frame)
        allowed = None
        if golden.tolerance is not None:
            allowed = nearest_allowed(frame, moved, golden.tolerance)
        h, w = frame.shape
        m = self.recipe.multiple_px
        pair = np.empty((1, 2, -(-h // m) * m, -(-w // m) * m), np.float32)
        if pair.shape[2:] != frame.shape:
            pair[:] = 1.0
        np.multiply(frame, np.float32(1 / 255), out=pair[0, 0, :h, :w], casting="unsafe")
        beside = moved.golden if allowed is None else allowed
        np.multiply(beside, np.float32(1 / 255), out=pair[0, 1, :h, :w], casting="unsafe")
        return Prepared(pair, (h, w), moved, allowed)

    def prepare_best(
        self, frame: Gray, goldens: Sequence[Golden], leeway: Leeway = TURNS
    ) -> tuple[int, Prepared]:
        """(which golden image, the frame beside it): the one that is most like the frame, of those
        that it passes the gate with. Raises as `prepare`, for the first.
        """
        best: tuple[int, Prepared] | None = None
        first: Refused | None = None
        for number, golden in enumerate(goldens):
            try:
                prepared = self.prepare(frame, golden, leeway)
            except Refused as error:
                first = first or error
                continue
            if best is None or prepared.registered.likeness > best[1].registered.likeness:
                best = number, prepared
        if best is None:
            raise first or Refused.of(Reason.PART_UNKNOWN, "a golden image", "none")
        return best

    def decode(
        self, data: bytes, encoding: int | None = None, claimed: tuple[int, int] | None = None
    ) -> Frame:
        """See `Inspects.decode`."""
        gray = decode_gray(data, encoding, claimed)
        return Frame(gray, gray)

    def ready(self, frame: Frame, goldens: Sequence[Golden], leeway: Leeway = NO_LEEWAY) -> Ready:
        """The frame beside the golden image that is most like it; see `prepare_best`. What moves is
        the golden image, so that a turn is put right.
        """
        which, prepared = self.prepare_best(frame.gray, goldens, replace(leeway, turns=True))
        return _ready(prepared, which, scene_of(frame.gray, prepared.registered, prepared.allowed))

    def known(self, answer: KnownAnswer, variant: Variant | None = None) -> Ready:
        """See `Inspects.known`: frame and golden image are moved alike."""
        frame, golden = decode_gray(answer.frame), decode_gray(answer.golden)
        if variant is not None:
            frame, golden = varied(frame, variant), varied(golden, variant)
        return _ready(self.prepare(frame, golden_of(golden), gate=False), 0)

    def answers(self, ready: Ready) -> Sequence[NDArray[Any]]:
        """See `Inspects.answers`."""
        return self.maps(ready.tensor)

    def checked(self, placing: Placing, arrays: Sequence[NDArray[Any]]) -> Sequence[NDArray[Any]]:
        """See `Inspects.checked`."""
        return self._checked((1, 2, *placing.sides), arrays)

    def judged(
        self,
        arrays: Sequence[NDArray[Any]],
        placing: Placing,
        threshold: float | None = None,
        ignored: Sequence[Any] = (),
    ) -> Detections:
        """See `Inspects.judged`."""
        heat, geometry = arrays
        return self.detections(heat[0], geometry[0], threshold)

    def maps(self, pair: Floats) -> tuple[Floats, Floats]:
        """Heat and geometry of a batch. Raises Unavailable (INFERENCE) where the network gives no
        numbers or other shapes.
        """
        return self._checked(pair.shape, self.run(pair))

    def _checked(
        self, shape: tuple[int, ...], arrays: Sequence[NDArray[Any]]
    ) -> tuple[Floats, Floats]:
        heat, geometry = arrays
        n, s = shape[0], tuple(side // 8 for side in shape[2:])
        if heat.shape != (n, len(self.recipe.classes), *s) or geometry.shape != (n, 4, *s):
            raise Unavailable.of(
                Reason.INFERENCE,
                f"heat and geometry of {s[1]}x{s[0]} cells",
                f"{heat.shape} and {geometry.shape}",
            )
        require_numbers((heat, geometry))
        return heat, geometry

    def detections(
        self, heat: Floats, geometry: Floats, threshold: float | None = None
    ) -> Detections:
        """Boxes of one image's maps (classes, h/8, w/8) and (4, h/8, w/8), with calibrated scores
        of at least `threshold` (default: the recipe's).
        """
        least = self.recipe.threshold if threshold is None else threshold
        curve = self.recipe.calibration
        raw = detections_from_maps(heat, geometry, uncalibrated(least, curve))
        return Detections(raw.boxes, raw.classes, calibrated(raw.scores, curve))

    def inspect(
        self, frame: Gray, golden: Golden, threshold: float | None = None, *, gate: bool = True
    ) -> Detections:
        """All of it for one decoded frame."""
        heat, geometry = self.maps(self.prepare(frame, golden, gate=gate).pair)
        return self.detections(heat[0], geometry[0], threshold)


def _ready(prepared: Prepared, golden: int, scene: Scene | None = None) -> Ready:
    h, w = prepared.pair.shape[2:]
    placing, matrix = Placing(prepared.size, (h, w)), prepared.registered.matrix
    return Ready(prepared.pair, placing, golden, scene, matrix)
