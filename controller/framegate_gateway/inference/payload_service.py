"""What the inference child does with payloads that are no pictures: one request, one answer, by the
examiner that their kind brings along.

What the network says is judged as any classifier's answer is; where it shows, the examiner says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from random import Random, SystemRandom
from typing import Any, Final, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from framegate.errors import Malformed, Reason, Refused, Unavailable
from framegate.payload.contract import Asked, ExaminedPayload, Examiner, ExaminingModule
from framegate_gateway.inference import pictures
from framegate_gateway.inference.bundle import Bundle, KnownAnswer
from framegate_gateway.inference.detections import Detections
from framegate_gateway.inference.known_answers import verify_known_answer
from framegate_gateway.inference.picture_input import Placing
from framegate_gateway.inference.picture_inspector import PictureInspector
from framegate_gateway.inference.recipe import Recipe
from framegate_gateway.inference.rules import apply_rules, least_threshold
from framegate_gateway.inference.steadiness import Steadiness
from framegate_gateway.inference.variants import Variant, is_steady

UNMOVED: Final = Variant(0, 0, 1.0)
"""A varied payload shows the same thing in the same rows."""


@dataclass(frozen=True, slots=True)
class _Row:
    """A payload as the network takes it, and where in it a finding shows."""

    values: NDArray[np.float32]
    box: Sequence[float]
    size: tuple[int, int]


def examining_of(kind: ExaminedPayload) -> ExaminingModule:
    """The kind's own code for the child. The caller loads it before its files are closed."""
    return cast(ExaminingModule, import_module(f"{kind.module}.examining"))


class PayloadService:
    """Answers requests about payloads of the bundle's kind, and keeps the golden windows that
    it was given. `run` is the network: (1, values) float32 to its outputs.
    """

    def __init__(
        self,
        bundle: Bundle,
        run: Callable[[NDArray[Any]], Sequence[NDArray[Any]]],
        chance: Random | None = None,
    ) -> None:
        kind = bundle.recipe.examined
        if kind is None:
            raise Malformed.of(Reason.MODEL, "a kind that is examined", "pictures")
        self.recipe, self.known = bundle.recipe, bundle.known
        self.goldens: dict[str, list[Any]] = {}
        self._examiner: Examiner = examining_of(kind).examiner(bundle.recipe.given)
        self._judge = PictureInspector(bundle.recipe, run)
        self._chance = chance or SystemRandom()

    def verify(self) -> int:
        """How many known answers the model gave as it must, and to varied ones as much. Raises
        Refused (KNOWN_ANSWER).
        """
        steadiness = Steadiness()
        for _, answer in steadiness.rounds(self.known):
            steadiness.count(answer, steady=self._known(answer))
        return len(self.known)

    def answer(self, request: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        """(answer, what goes with it) to a request of any kind. Raises FramegateError."""
        kind = request["kind"]
        if kind == "inspect":
            return self._inspected(request, body), b""
        if kind == "known":
            steady = self._known(self.known[request["number"]])
            return {"known_answers": 1, "steady": steady}, b""
        if kind in {"picture", "card", "marked"}:
            return {}, self._drawn(request, body)
        raise Refused.of(
            Reason.PAYLOAD,
            "what can be done with a payload that is no picture",
            ascii(kind)[:40],
            "record a golden window on a machine that is known to be sound: framegate part add",
        )

    def _inspected(self, request: dict[str, Any], body: bytes) -> dict[str, Any]:
        """1. the bytes are the payload that they say; 2. it passes its kind's gate against one of
        the part's golden windows; 3. what the network says, by the part's thresholds.
        """
        for old in request["forget"]:
            self.goldens.pop(old, None)
        part_type, sizes = request["part_type"], request["golden_bytes"]
        if sizes:
            ends = np.cumsum(sizes).tolist()
            pieces = [body[end - size : end] for end, size in zip(ends, sizes, strict=True)]
            self.goldens[part_type] = [self._examiner.parsed(piece) for piece in pieces]
        parsed = self._examiner.parsed(body[sum(sizes) :])  # 1
        asked = _asked(request)
        which = self._fitting(parsed, self.goldens[part_type], asked)  # 2
        row = self._row(parsed, self.goldens[part_type][which], asked.masked)
        rules = request["rules"]
        least = least_threshold(rules, self.recipe.classes, self.recipe.threshold)
        said = self._judged(row, least)  # 3
        said = apply_rules(said, rules, self.recipe.classes, self.recipe.threshold, row.size)
        defects = [
            {
                "kind": self.recipe.classes[int(kind)],
                "score": round(float(score), 4),
                "box": [float(side) for side in box],
            }
            for box, kind, score in zip(said.boxes, said.classes, said.scores, strict=True)
        ]
        return {"defects": defects, "looks": {}, "golden": which, "part_percent": None}

    def _fitting(self, parsed: Any, goldens: Sequence[Any], asked: Asked) -> int:
        """Which golden window lets it past the gate; raises for the first where none does."""
        first: Refused | None = None
        for number, golden in enumerate(goldens):
            try:
                self._examiner.require_good(parsed, golden, asked)
            except Refused as error:
                first = first or error
                continue
            return number
        raise first or Refused.of(Reason.PART_UNKNOWN, "a golden window", "none")

    def _row(self, parsed: Any, golden: Any, masked: frozenset[str]) -> _Row:
        values = np.asarray(self._examiner.row(parsed, golden, masked), np.float32)
        if values.shape != self.recipe.row.shape[1:] or not bool(np.isfinite(values).all()):
            raise Unavailable.of(
                Reason.INFERENCE, f"{self.recipe.row.shape[1]} numbers", f"{values.shape}"
            )
        box = list(self._examiner.box(parsed, golden, masked))
        return _Row(values[None], box, (int(box[3]), int(box[2])))

    def _judged(self, row: _Row, threshold: float | None = None) -> Detections:
        placing = Placing(row.size, row.size)
        arrays = self._judge.checked(placing, self._judge.run(row.values))
        said = self._judge.judged(arrays, placing, threshold)
        boxes = np.tile(np.array(row.box, np.float32), (len(said), 1)).reshape(-1, 4)
        return Detections(boxes, said.classes, said.scores)

    def _known(self, answer: KnownAnswer) -> bool:
        """That the model says to a known payload what it must, and whether it says as much to a
        varied one. Raises Refused (KNOWN_ANSWER).
        """
        parsed, golden = (self._examiner.parsed(one) for one in (answer.frame, answer.golden))
        none: frozenset[str] = frozenset()
        said = self._judged(self._row(parsed, golden, none))
        verify_known_answer(self.recipe, answer, said)
        at, by = self._chance.random(), self._chance.uniform(-1, 1)
        varied = self._examiner.varied(parsed, at, by)
        half = self.recipe.threshold / 2
        moved = self._judged(self._row(varied, golden, none), half)
        return is_steady(self.recipe, answer, UNMOVED, moved)

    def _drawn(self, request: Mapping[str, Any], body: bytes) -> bytes:
        """A PNG of the payload over the lines that were asked for, and what was detected in it."""
        parsed = self._examiner.parsed(body[request.get("golden_size", 0) :])
        said = [f"{d['kind']} {d['score']:.2f}" for d in request.get("defects", ())]
        lines = [", ".join(said)] if said else []
        picture = pictures.marked(self._examiner.drawn(parsed), [*lines, *request["lines"]])
        return bytes(cv2.imencode(".png", picture)[1].tobytes())


def _asked(request: Mapping[str, Any]) -> Asked:
    return Asked(
        width=request["width"],
        height=request["height"],
        masked=frozenset(request["masks"]),
        camera=request["camera"],
        part_type=request["part_type"],
        trigger_sequence=request["trigger_sequence"],
        captured_at_ms=request["captured_at_ms"],
        uncertainty_ms=request["uncertainty_ms"],
    )


def row_runner(session: Any, recipe: Recipe) -> Callable[[NDArray[Any]], Sequence[NDArray[Any]]]:
    """The session as `PayloadService` takes it."""
    names = [tensor.name for tensor in recipe.picture_output.tensors]
    taken = recipe.row.name
    return lambda row: [np.asarray(array) for array in session.run(names, {taken: row})]
