"""From a trained network to a bundle: calibrated scores, a threshold, known answers, a card."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import cv2
import numpy as np

from framegate.errors import Reason, Refused
from framegate.wire import sha256
from framegate_gateway.inference.bundle import MIN_KNOWN, KnownAnswer
from framegate_gateway.inference.gate import golden_of
from framegate_gateway.inference.inspector import Inspector
from framegate_gateway.inference.known_answers import verify_known_answers
from framegate_gateway.inference.recipe import Recipe
from framegate_gateway.inference.recipe_json import recipe_body
from framegate_gateway.inference.session import new_session, runner
from framegate_models.accuracy import Truth, best_threshold, pooled_matches
from framegate_models.evaluate import FLOOR, measure
from framegate_models.quantise import MAX_LOSS, quantised
from framegate_models.sampling import LabelledPair

KNOWN_PX: Final = 192
"""Side of a known-answer frame: a few defects with their surroundings, at a tenth of a whole
frame's cost.
"""
KNOWN_FRAMES: Final = 24
CLEAR: Final = 0.12
"""How far a known answer's scores keep from the threshold, so that rounding never decides."""


def calibrated(
    network: bytes,
    name: str,
    version: int,
    classes: tuple[str, ...],
    multiple_px: int,
    pairs: Sequence[LabelledPair],
    threads: int = 2,
) -> Recipe:
    """A recipe for `network` whose scores are probabilities and whose threshold has the best F,
    both on `pairs`, which it must not have been trained on.
    """
    plain = Inspector(
        Recipe(name, version, classes, 0.5, multiple_px), runner(new_session(network, threads))
    )
    truths = [Truth(p.boxes, p.kinds) for p in pairs]
    detections = [plain.inspect(p.frame, golden_of(p.golden), FLOOR, gate=False) for p in pairs]
    rows = [
        row
        for truth, boxes in zip(truths, detections, strict=True)
        for row in pooled_matches(truth, boxes)
    ]
    slope, offset = platt(np.array([s for s, _ in rows]), np.array([h for _, h in rows]))
    fitted = Inspector(Recipe(name, version, classes, 0.5, multiple_px, (slope, offset)), plain.run)
    again = [fitted.inspect(p.frame, golden_of(p.golden), FLOOR, gate=False) for p in pairs]
    return Recipe(
        name, version, classes, best_threshold(truths, again), multiple_px, (slope, offset)
    )


def platt(scores: Any, hits: Any) -> tuple[float, float]:
    """(slope, offset) of a logistic curve from a score's logit to the share of hits (Platt 1999),
    by Newton's method with a little shrinkage towards (1, 0).
    """
    if len(scores) < 10 or hits.all() or not hits.any():
        return 1.0, 0.0
    clipped = np.clip(scores.astype(np.float64), 1e-6, 1 - 1e-6)
    x = np.stack([np.log(clipped / (1 - clipped)), np.ones(len(scores))], 1)
    at = np.array([1.0, 0.0])
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(x @ at, -30, 30)))
        gradient = x.T @ (p - hits) + (at - (1.0, 0.0))
        step = np.linalg.solve((x * (p * (1 - p))[:, None]).T @ x + np.eye(2), gradient)
        at -= step
        if float(np.abs(step).max()) < 1e-9:
            break
    return (round(float(at[0]), 4), round(float(at[1]), 4)) if at[0] > 0.05 else (1.0, 0.0)


def leaner(
    network: bytes,
    training: Sequence[LabelledPair],
    held_out: Sequence[LabelledPair],
    classes: tuple[str, ...],
    threads: int = 2,
) -> tuple[bytes, dict[str, float]]:
    """(the network to run, what was weighed): the quantised one where its pooled average precision
    on `held_out` is within `MAX_LOSS` of the other's, else `network`.
    """
    small = quantised(network, training)
    precision = {}
    for name, candidate in (("float32", network), ("int8", small)):
        inspector = Inspector(
            Recipe("candidate", 1, classes, 0.5, 32), runner(new_session(candidate, threads))
        )
        precision[name] = round(measure(inspector, held_out).score.pooled_ap, 4)
    return (small if precision["float32"] - precision["int8"] <= MAX_LOSS else network), precision


def known_answers(
    network: bytes, recipe: Recipe, pairs: Sequence[LabelledPair], seed: int = 11, threads: int = 2
) -> list[KnownAnswer]:
    """`KNOWN_FRAMES` crops of `pairs` with what the model says to them now: each class present,
    every score clear of the threshold, answered twice alike.

    Raises Refused (KNOWN_ANSWER) where the pairs do not give enough of them.
    """
    inspector = Inspector(recipe, runner(new_session(network, threads)))
    rng = np.random.default_rng(seed)
    answers: list[KnownAnswer] = []
    seen = dict.fromkeys(recipe.classes, 0)
    for attempt in range(60 * KNOWN_FRAMES):
        if len(answers) == KNOWN_FRAMES:
            break
        pair = pairs[int(rng.integers(0, len(pairs)))]
        crop = _crop(rng, pair)
        if crop is None:
            continue
        frame, golden = crop
        loose = inspector.inspect(
            frame, golden_of(golden), max(FLOOR, recipe.threshold - CLEAR), gate=False
        )
        kinds = {recipe.classes[int(k)] for k in loose.classes}
        rare = min(seen.values())
        if (
            not len(loose)
            or bool((np.abs(loose.scores - recipe.threshold) < CLEAR).any())
            or (attempt < 40 * KNOWN_FRAMES and not any(seen[k] == rare for k in kinds))
        ):
            continue
        for kind in kinds:
            seen[kind] += 1
        defects = tuple(
            {
                "kind": recipe.classes[int(c)],
                "score": round(float(s), 4),
                "box": [round(float(v), 1) for v in b],
            }
            for b, c, s in zip(loose.boxes, loose.classes, loose.scores, strict=True)
        )
        png = [
            cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes()
            for image in (frame, golden)
        ]
        answers.append(KnownAnswer(f"{len(answers):02d}", png[0], png[1], defects))
    if len(answers) < MIN_KNOWN:
        raise Refused.of(
            Reason.KNOWN_ANSWER,
            f"{MIN_KNOWN} frames that the model answers clearly",
            len(answers),
            "train longer, or on more data",
        )
    verify_known_answers(inspector, answers)
    return answers


def bundle_files(
    network: bytes,
    recipe: Recipe,
    known: Sequence[KnownAnswer],
    card: Mapping[str, Any],
    weights: bytes,
) -> dict[str, bytes]:
    """The files of an unsigned bundle; `weights` is the network before quantisation."""
    files = {
        "model.onnx": network,
        "recipe.json": _json(recipe_body(recipe, sha256(network).hex())),
        "card.json": _json(dict(card)),
        "known-answers.json": _json([{"name": k.name, "defects": list(k.defects)} for k in known]),
    }
    if weights and weights != network:
        files["weights.onnx"] = weights
    for k in known:
        files[f"known/{k.name}_test.png"] = k.frame
        if k.golden:
            files[f"known/{k.name}_temp.png"] = k.golden
    return files


def _crop(rng: np.random.Generator, pair: LabelledPair) -> tuple[Any, Any] | None:
    h, w = pair.frame.shape
    if not len(pair.boxes) or min(h, w) < KNOWN_PX:
        return None
    b = pair.boxes[int(rng.integers(0, len(pair.boxes)))]
    x = int(np.clip((b[0] + b[2]) / 2 - KNOWN_PX / 2 + rng.uniform(-40, 40), 0, w - KNOWN_PX))
    y = int(np.clip((b[1] + b[3]) / 2 - KNOWN_PX / 2 + rng.uniform(-40, 40), 0, h - KNOWN_PX))
    return tuple(
        np.ascontiguousarray(image[y : y + KNOWN_PX, x : x + KNOWN_PX])
        for image in (pair.frame, pair.golden)
    )  # type: ignore[return-value]


def _json(body: Any) -> bytes:
    return json.dumps(body, indent=1).encode() + b"\n"
