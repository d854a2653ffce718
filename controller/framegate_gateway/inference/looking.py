"""Second looks in the inference child: which are due for a frame, and what they measured. Whether a
measure is past its limit is for the parent, which has the part's signed limits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from random import Random, SystemRandom
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from framegate.looks.kinds import AT_THE_GATE, Look
from framegate.looks.limits import Limit, parse_limits, suspicions
from framegate_gateway.inference.asked_again import asked_again, piece_around
from framegate_gateway.inference.detections import Detections
from framegate_gateway.inference.fingerprint import Fingerprints, Told
from framegate_gateway.inference.inspecting import Inspects, Ready
from framegate_gateway.inference.last_frames import LastFrames
from framegate_gateway.inference.layouts import Kind
from framegate_gateway.inference.patterns import golden_noise, patterns
from framegate_gateway.inference.rules import apply_rules
from framegate_gateway.inference.scene import Scene
from framegate_gateway.inference.second_looks import at_the_gate, measured

ELSEWHERE: Final = 0.1
"""Of the second questions, those about a piece of the frame that nothing points to."""
AT_NEAREST: Final = 0.2
"""And those about the piece around what is nearest to a detection."""
FLOOR: Final = 0.05
"""Score from which on what is no detection is looked at: below it every edge has some."""

MAX_PARTS: Final = 64
"""Parts whose limits are kept parsed: a line has a few."""


class Looking:
    """One child's. It keeps the last frames of each camera. `told` is what the latest frame said of
    its camera's sensor.
    """

    def __init__(self, inspector: Inspects, chance: Random | None = None) -> None:
        self._inspector, self._last = inspector, LastFrames()
        self._sensors, self._learning = Fingerprints(), Fingerprints()
        self.told = Told()
        self._chance = SystemRandom() if chance is None else chance
        self._signed: dict[str, tuple[list[Any], tuple[Limit, ...]]] = {}

    def past_the_gate(self, request: Mapping[str, Any], ready: Ready) -> Ready:
        """`ready`, its scene without what masks and the part leave out, where light, contrast and
        focus are within the part's limits. Raises Refused (IMAGE_CONTRAST, IMAGE_EXPOSURE,
        IMAGE_DEFOCUS).
        """
        if ready.scene is None:
            return ready
        ignored = (*request["rules"]["ignore"], *request["masks"])
        ready = replace(ready, scene=replace(ready.scene, ignored=ignored))
        limits = [one for one in self._limits(request) if one.look in AT_THE_GATE]
        if limits and ready.scene is not None:
            for past in suspicions(limits, at_the_gate(ready.scene)):
                raise past.error()
        return ready

    def measured(
        self,
        request: Mapping[str, Any],
        ready: Ready,
        arrays: Sequence[NDArray[Any]],
        detections: Detections,
    ) -> dict[Look, float]:
        """What each look that is due measured beside `detections`, the defects; nothing where the
        part has no limits and nobody commissions it.
        """
        limits = {one.look: one for one in self._limits(request)}
        self.told = Told()
        if ready.scene is None or not (limits or request["measure"]):
            return {}
        said = at_the_gate(ready.scene) | measured(ready.scene, detections.boxes)
        own = patterns(ready.scene)
        said[Look.GOLDEN_NOISE] = golden_noise(ready.scene, own)
        key = request["camera"], request["part_type"]
        said |= self._last.compare(*key, own)
        said |= self._sensor(key, request, ready.scene, limits.get(Look.CAMERA_FINGERPRINT))
        if not len(detections) and self._inspector.recipe.kind == Kind.PAIR:
            near = self._inspector.judged(arrays, ready.placing, FLOOR)
            said[Look.NEAR_MISS] = self._best(request, ready, near)
            again = limits.get(Look.ASKED_AGAIN)
            share = 1.0 if request["measure"] else again.share if again is not None else 0.0
            if request["kind"] == "inspect" and self._chance.random() < share:
                said[Look.ASKED_AGAIN] = self._asked_again(request, ready, near)
        return said

    def _sensor(
        self, key: tuple[str, str], request: Mapping[str, Any], scene: Scene, limit: Limit | None
    ) -> dict[Look, float]:
        """While a part is commissioned its cameras are held against what that learns: sound frames
        by a camera that was replaced are none of the old sensor's. The window goes on meanwhile.
        """
        known = None if limit is None else limit.fingerprint(key[0])
        told = Told() if known is None else self._sensors.see(key, scene, known)
        if request["measure"]:
            told = self._learning.see(key, scene, None, int(request["measure"]))
        self.told = told
        return {} if told.measured is None else {Look.CAMERA_FINGERPRINT: told.measured}

    def _asked_again(self, request: Mapping[str, Any], ready: Ready, near: Detections) -> float:
        def ask(tensor: NDArray[Any]) -> Detections:
            arrays = self._inspector.answers(replace(ready, tensor=tensor))
            return self._inspector.judged(arrays, ready.placing, FLOOR)

        piece = piece_around(*self._suspect(ready, near), ready.placing.size)
        return self._best(request, ready, asked_again(ready.tensor, piece, ask, self._chance))

    def _suspect(self, ready: Ready, near: Detections) -> tuple[float, float]:
        """Where in a frame (x, y) the second question is asked, by chance one of: what differs most
        from the golden image; what is nearest to a detection; anywhere. A defect that is hidden
        from the network still differs, and whoever draws the eye elsewhere does not know whether it
        is followed.
        """
        draw = self._chance.random()
        h, w = ready.placing.size
        if draw < ELSEWHERE or ready.scene is None:
            return self._chance.random() * w, self._chance.random() * h
        if draw < ELSEWHERE + AT_NEAREST and len(near):
            x1, y1, x2, y2 = (float(side) for side in near.boxes[0])
            return (x1 + x2) / 2, (y1 + y2) / 2
        unlike = ready.scene.unlike
        y, x = np.unravel_index(int(np.argmax(unlike)), unlike.shape)
        return 2.0 * float(x), 2.0 * float(y)

    def _best(self, request: Mapping[str, Any], ready: Ready, said: Detections) -> float:
        """The best score under those of the part's rules that say where and how small, not how
        sure.
        """
        classes = self._inspector.recipe.classes
        rules = {**request["rules"], "thresholds": dict.fromkeys(classes, FLOOR)}
        left = apply_rules(said, rules, classes, FLOOR, ready.placing.size)
        return float(np.max(left.scores)) if len(left) else 0.0

    def _limits(self, request: Mapping[str, Any]) -> tuple[Limit, ...]:
        """The part's, parsed anew where they are others than those of its last frame."""
        part, rows = request["part_type"], request["rules"]["looks"]
        known = self._signed.get(part)
        if known is None or known[0] != rows:
            if len(self._signed) >= MAX_PARTS:
                self._signed.clear()
            known = self._signed[part] = deepcopy(rows), parse_limits(rows)
        return known[1]
