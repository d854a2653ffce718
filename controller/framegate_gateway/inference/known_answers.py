"""Known answers: a model says to known frames what it said when it was approved, and to the same
frames, moved, as much (N105, N186).
"""

from __future__ import annotations

from collections.abc import Sequence
from random import SystemRandom
from typing import Final

import numpy as np

from framegate.errors import Reason, Refused
from framegate_gateway.inference.bundle import KnownAnswer
from framegate_gateway.inference.detections import Detections, iou
from framegate_gateway.inference.inspecting import Inspects
from framegate_gateway.inference.recipe import Recipe
from framegate_gateway.inference.steadiness import Steadiness
from framegate_gateway.inference.variants import drawn_variant, is_steady

SCORE_SLACK: Final = 0.03
"""By how much a known answer's score may differ: kernels of another processor round otherwise, by
less than a thousandth; a swapped model by far more.
"""
BOX_SLACK: Final = 0.85
"""Overlap that a known answer's box must have with its place."""


def verify_known_answers(inspector: Inspects, known: Sequence[KnownAnswer]) -> int:
    """How many known frames the model was asked.

    1. to each it says what it must: the same boxes, classes and, within `SCORE_SLACK`, scores;
    2. to enough of the same frames, moved as nobody has seen them, it says as much (`variants`).

    Raises Refused (KNOWN_ANSWER) naming the first frame that differs (N105), or how many moved ones
    did (N186).
    """
    steadiness = Steadiness()
    for _, answer in steadiness.rounds(known):  # 2
        verify_known(inspector, answer)  # 1
        steadiness.count(answer, steady=known_moved(inspector, answer))
    return len(known)


def verify_known(inspector: Inspects, answer: KnownAnswer) -> None:
    """That the model says to one known frame what it must. Raises Refused (KNOWN_ANSWER)."""
    ready = inspector.known(answer)
    said = inspector.judged(inspector.answers(ready), ready.placing)
    verify_known_answer(inspector.recipe, answer, said)


def known_moved(inspector: Inspects, answer: KnownAnswer) -> bool:
    """Whether the model says to one known frame, moved by chance, what it says to that frame."""
    variant = drawn_variant(SystemRandom())
    ready = inspector.known(answer, variant)
    said = inspector.judged(inspector.answers(ready), ready.placing, inspector.recipe.threshold / 2)
    return is_steady(inspector.recipe, answer, variant, said)


def verify_known_answer(recipe: Recipe, answer: KnownAnswer, detections: Detections) -> None:
    """That `detections` are what the model must find in a known frame. Raises Refused
    (KNOWN_ANSWER).
    """
    wanted = [
        (recipe.classes.index(d["kind"]), d["score"], np.array(d["box"], np.float32))
        for d in answer.defects
    ]
    open_ = set(range(len(detections)))
    for kind, score, box in wanted:
        overlap = iou(box, detections.boxes) if len(detections) else np.zeros(0)
        hit = next(
            (
                i
                for i in sorted(open_)
                if detections.classes[i] == kind
                and overlap[i] > BOX_SLACK
                and abs(float(detections.scores[i]) - score) <= SCORE_SLACK
            ),
            None,
        )
        if hit is None:
            raise _deviates(
                answer.name,
                f"{recipe.classes[kind]} at {[round(float(v)) for v in box]} with {score:.2f}",
                detections,
                recipe,
            )
        open_.remove(hit)
    if open_:
        raise _deviates(answer.name, f"{len(wanted)} defects", detections, recipe)


def _deviates(name: str, wanted: str, detections: Detections, recipe: Recipe) -> Refused:
    said = (
        ", ".join(
            f"{recipe.classes[int(c)]} {float(s):.2f}"
            for c, s in zip(detections.classes, detections.scores, strict=True)
        )
        or "nothing"
    )
    return Refused.of(
        Reason.KNOWN_ANSWER,
        f"known answer {name}: {wanted}",
        said[:200],
        "this is not the model that was approved, or the processor computes wrongly",
    )
