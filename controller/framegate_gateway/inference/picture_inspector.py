"""Inspection by a network that sees the frame alone: detectors, classifiers, segmenting networks,
anomaly models. The part's golden image is what the gate holds the frame against.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from framegate.errors import FramegateError, Reason, Refused, Unavailable
from framegate_gateway.inference.box_answers import boxes_answered
from framegate_gateway.inference.bundle import KnownAnswer
from framegate_gateway.inference.decoding import decode_colour, decode_gray
from framegate_gateway.inference.detections import Detections, calibrated, uncalibrated
from framegate_gateway.inference.gate import Golden, require_place, require_same_light
from framegate_gateway.inference.inspecting import Frame, Ready, require_numbers
from framegate_gateway.inference.layouts import Kind
from framegate_gateway.inference.picture_input import Placing, placing_of, tensor_of
from framegate_gateway.inference.place import NO_LEEWAY, Leeway
from framegate_gateway.inference.recipe import Recipe
from framegate_gateway.inference.region_answers import (
    anomaly_answered,
    frame_answered,
    segments_answered,
)
from framegate_gateway.inference.scene import scene_of
from framegate_gateway.inference.variants import Variant, varied

Run = Callable[[NDArray[Any]], Sequence[NDArray[Any]]]


class PictureInspector:
    """A model of any kind but a pair, with its recipe. `run` is the network: the input tensor to
    the recipe's outputs, in order.
    """

    def __init__(self, recipe: Recipe, run: Run) -> None:
        self.recipe, self.run = recipe, run

    def decode(
        self, data: bytes, encoding: int | None = None, claimed: tuple[int, int] | None = None
    ) -> Frame:
        """See `Inspects.decode`."""
        if self.recipe.picture_input.channels == 1:
            gray = decode_gray(data, encoding, claimed)
            return Frame(gray, gray)
        colour = decode_colour(data, encoding, claimed)
        return Frame(np.asarray(cv2.cvtColor(colour, cv2.COLOR_BGR2GRAY), np.uint8), colour)

    def ready(self, frame: Frame, goldens: Sequence[Golden], leeway: Leeway = NO_LEEWAY) -> Ready:
        """The frame as the network takes it, where it passes the gate with one of the golden
        images: light and focus, and its place where the recipe wants that. The network sees the
        frame as it is: a part that is turned stays turned, and is out of place. Raises as the
        gate, for the first.
        """
        first: FramegateError | None = None
        for number, golden in enumerate(goldens):
            scene = None
            try:
                if self.recipe.place == "registered":
                    moved = require_place(frame.gray, golden, replace(leeway, turns=False))
                    scene = scene_of(frame.gray, moved)
                else:
                    require_same_light(frame.gray, golden)
            except Refused as error:
                first = first or error
                continue
            return replace(self.prepared(frame.picture, number), scene=scene)
        raise first or Refused.of(Reason.PART_UNKNOWN, "a golden image", "none")

    def known(self, answer: KnownAnswer, variant: Variant | None = None) -> Ready:
        """See `Inspects.known`."""
        picture = self.decode(answer.frame).picture
        return self.prepared(picture if variant is None else varied(picture, variant), 0)

    def answers(self, ready: Ready) -> Sequence[NDArray[Any]]:
        """See `Inspects.answers`."""
        return self.checked(ready.placing, self.run(ready.tensor))

    def checked(self, placing: Placing, arrays: Sequence[NDArray[Any]]) -> Sequence[NDArray[Any]]:
        """See `Inspects.checked`: as many outputs as the layout has, each of a shape of its role
        and of its type, all finite and none huge.
        """
        tensors = self.recipe.picture_output.tensors
        if len(arrays) != len(tensors):
            raise Unavailable.of(
                Reason.INFERENCE, f"{len(tensors)} outputs of the model", len(arrays)
            )
        for number, (tensor, array) in enumerate(zip(tensors, arrays, strict=True)):
            if str(array.dtype) != tensor.type or not self.recipe.takes_output(number, array.shape):
                raise Unavailable.of(
                    Reason.INFERENCE,
                    f"{tensor.name} as {tensor.type} {list(tensor.shape)}",
                    f"{array.dtype} {list(array.shape)}",
                )
        require_numbers(arrays)
        return arrays

    def judged(
        self,
        arrays: Sequence[NDArray[Any]],
        placing: Placing,
        threshold: float | None = None,
        ignored: Sequence[Any] = (),
    ) -> Detections:
        """See `Inspects.judged`."""
        recipe = self.recipe
        least = recipe.threshold if threshold is None else threshold
        raw = uncalibrated(least, recipe.calibration)
        if recipe.kind == Kind.DETECTION:
            said = boxes_answered(recipe, arrays, placing, raw).detections
        elif recipe.kind == Kind.CLASSIFICATION:
            said = frame_answered(recipe, arrays, placing, raw)
        elif recipe.kind == Kind.SEGMENTATION:
            said = segments_answered(recipe, arrays, placing, raw, ignored)
        else:
            said = anomaly_answered(recipe, arrays, placing, raw, ignored)
        return Detections(said.boxes, said.classes, calibrated(said.scores, recipe.calibration))

    def prepared(self, picture: NDArray[np.uint8], golden: int = 0) -> Ready:
        """A decoded picture as the network takes it; no gate."""
        given = self.recipe.picture_input
        placing = placing_of(given, (picture.shape[0], picture.shape[1]))
        return Ready(tensor_of(given, picture, placing), placing, golden)
