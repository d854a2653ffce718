"""What an imported model says to pictures of which somebody knows what they show: figures, a
threshold, known answers, and the same as pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from framegate.errors import FramegateError, Reason, Refused
from framegate_gateway.inference.bundle import MAX_PART_BYTES, MIN_EACH_ANSWER, KnownAnswer
from framegate_gateway.inference.detections import Detections
from framegate_gateway.inference.known_answers import SCORE_SLACK
from framegate_gateway.inference.layouts import Kind
from framegate_gateway.inference.picture_inspector import PictureInspector
from framegate_gateway.inference.region_answers import anomaly_scores
from framegate_gateway.inference.variants import drawn_variant, is_steady
from framegate_models.picture_files import picture_paths, reading

MAX_PICTURES: Final = 500
"""Of each folder, in order of name: enough to judge by, in minutes."""
MIN_PICTURES: Final = 2 * MIN_EACH_ANSWER
"""Of good and of bad ones each: half become known answers, and the model has to be right about
pictures that do not.
"""
MAX_KNOWN_EACH: Final = 8
FLOOR: Final = 0.02
"""Scores below are not looked at."""
CLEAR: Final = SCORE_SLACK + 0.02
"""How far a known answer's scores keep from the threshold, so that rounding never decides."""
TRIES: Final = 3
"""Moved variants of a picture that the model must answer alike before it becomes a known answer."""
LEAST_RIGHT: Final = 0.6
"""Share of good and of bad pictures each that the model must be right about: less is a coin, a
network of other parts, or one that is prepared for wrongly.
"""


@dataclass(frozen=True, slots=True)
class Shown:
    """One picture: its name, its bytes as PNG, the decoded picture, and whether it is good."""

    name: str
    data: bytes
    picture: NDArray[np.uint8]
    good: bool


@dataclass(frozen=True, slots=True)
class Said:
    """What the model says of one picture: detections from `FLOOR` on, regions as they are at its
    threshold, its highest score, and for anomalies the hottest place of its heat map.
    """

    shown: Shown
    detections: Detections
    score: float
    hottest: float


@dataclass(frozen=True, slots=True)
class FirstResults:
    """Figures over all pictures: how many of each, and how many were right at the threshold; the
    same of those that are no known answers.
    """

    good: int
    good_passed: int
    bad: int
    bad_flagged: int
    unseen: int
    unseen_right: int

    def as_dict(self) -> dict[str, int]:
        """As a card has it."""
        return {name: getattr(self, name) for name in self.__slots__}


def enough_pictures(folder: Path) -> list[Path]:
    """Files of the pictures of a folder, in order of name, `MAX_PICTURES` at most. Raises
    Unavailable (DATA_SET) for no folder, Refused (DATA_SET) for too few.
    """
    paths = picture_paths(folder)
    if len(paths) < MIN_PICTURES:
        raise Refused.of(
            Reason.DATA_SET,
            f"at least {MIN_PICTURES} pictures in {folder}",
            len(paths),
            "put more there: a model is judged by good and by bad pictures",
        )
    return paths[:MAX_PICTURES]


def read_pictures(inspector: PictureInspector, folder: Path, *, good: bool) -> list[Shown]:
    """The pictures of a folder, in order of name. Raises as `enough_pictures`, and Malformed
    (IMAGE) naming a file that is no picture.
    """
    shown = []
    for path in enough_pictures(folder):
        with reading(path):
            picture = inspector.decode(path.read_bytes()).picture
        png = cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes()
        shown.append(Shown(path.name, png, picture, good))
    return shown


def said_of(inspector: PictureInspector, shown: Shown) -> Said:
    """What the model says of one picture. Raises Unavailable (INFERENCE) where it says nothing that
    can be meant.
    """
    ready = inspector.prepared(shown.picture)
    arrays = inspector.answers(ready)
    if inspector.recipe.kind == Kind.ANOMALY:
        whole = anomaly_scores(inspector.recipe, arrays, ready.placing)
        said = inspector.judged(arrays, ready.placing)
        return Said(shown, said, whole.score, whole.hottest)
    said = inspector.judged(arrays, ready.placing, FLOOR)
    best = float(said.scores.max()) if len(said) else 0.0
    if inspector.recipe.kind == Kind.SEGMENTATION:  # regions grow as their threshold falls
        said = inspector.judged(arrays, ready.placing)
    return Said(shown, said, best, best)


def separation(results: Sequence[Said]) -> float:
    """The area under the ROC curve of the pictures' scores: how often a bad one has the higher."""
    good = np.array([s.score for s in results if s.shown.good])
    bad = np.array([s.score for s in results if not s.shown.good])
    if not len(good) or not len(bad):
        return 0.5
    over = (bad[:, None] > good[None]).mean() + (bad[:, None] == good[None]).mean() / 2
    return float(over)


def gap(results: Sequence[Said]) -> float:
    """By how much the least score of a bad picture is above every good one's; 0 where it is not."""
    good = [s.score for s in results if s.shown.good]
    bad = [s.score for s in results if not s.shown.good]
    return max(0.0, min(bad) - max(good)) if good and bad else 0.0


def best_cut(good: Sequence[float], bad: Sequence[float]) -> float:
    """The value between good and bad ones that is right about the largest share of each; the middle
    of those that are equally right, in hundredths.
    """
    values = [hundredth / 100 for hundredth in range(5, 96)]
    right = [
        float(np.mean([g < v for g in good])) + float(np.mean([b >= v for b in bad]))
        for v in values
    ]
    best = [v for v, r in zip(values, right, strict=True) if r >= max(right) - 1e-9]
    return best[len(best) // 2]


def is_right(inspector: PictureInspector, said: Said) -> bool:
    """Whether the model's verdict at its threshold is what the picture shows."""
    flagged = bool((said.detections.scores >= inspector.recipe.threshold).any())
    return flagged != said.shown.good


def known_of(inspector: PictureInspector, results: Sequence[Said]) -> list[KnownAnswer]:
    """Known answers: at most half of the good and of the bad pictures, such as the model is right
    about, clear of its threshold, also when they are moved a little.

    Raises Refused (KNOWN_ANSWER) where there are too few.
    """
    answers: list[KnownAnswer] = []
    for good in (False, True):
        mine = [s for s in results if s.shown.good == good]
        most, taken = min(MAX_KNOWN_EACH, len(mine) // 2), 0
        for said in sorted(mine, key=lambda s: s.score, reverse=not good):
            if taken < most and (answer := _known(inspector, said, len(answers))) is not None:
                answers.append(answer)
                taken += 1
        if taken < MIN_EACH_ANSWER:
            what = "good" if good else "bad"
            raise Refused.of(
                Reason.KNOWN_ANSWER,
                f"{MIN_EACH_ANSWER} {what} pictures that the model is right about, also moved",
                f"{taken} of {len(mine)}",
                "more pictures; or is it prepared for wrongly, or a network of other parts?",
            )
    return answers


def _known(inspector: PictureInspector, said: Said, number: int) -> KnownAnswer | None:
    recipe = inspector.recipe
    least = recipe.threshold
    if len(said.shown.data) > MAX_PART_BYTES or not is_right(inspector, said):
        return None
    scores = [*said.detections.scores.tolist(), said.score]
    if any(abs(score - least) < CLEAR for score in scores):
        return None
    kept = said.detections.scores >= least
    defects = tuple(
        {
            "kind": recipe.classes[int(c)],
            "score": round(float(s), 4),
            "box": [round(float(v), 1) for v in b],
        }
        for b, c, s in zip(
            said.detections.boxes[kept],
            said.detections.classes[kept],
            said.detections.scores[kept],
            strict=True,
        )
    )
    answer = KnownAnswer(f"{number:02d}", said.shown.data, b"", defects)
    chance = Random(number)  # noqa: S311 - which variants are tried decides nothing
    try:
        steady = all(_steady(inspector, answer, chance) for _ in range(TRIES))
    except FramegateError:
        return None
    return answer if steady else None


def _steady(inspector: PictureInspector, answer: KnownAnswer, chance: Random) -> bool:
    variant = drawn_variant(chance)
    ready = inspector.known(answer, variant)
    said = inspector.judged(inspector.answers(ready), ready.placing, inspector.recipe.threshold / 2)
    return is_steady(inspector.recipe, answer, variant, said)


def first_results(
    inspector: PictureInspector, results: Sequence[Said], known: Sequence[KnownAnswer]
) -> FirstResults:
    """The figures. Raises Refused (KNOWN_ANSWER) for a model that is right about too few pictures,
    or about its known answers and not about the others (N186).
    """
    frames = {answer.frame for answer in known}
    right = {s.shown.name + str(s.shown.good): is_right(inspector, s) for s in results}
    good = [right[s.shown.name + "True"] for s in results if s.shown.good]
    bad = [right[s.shown.name + "False"] for s in results if not s.shown.good]
    unseen = [s for s in results if s.shown.data not in frames]
    right_unseen = [is_right(inspector, s) for s in unseen]
    figures = FirstResults(len(good), sum(good), len(bad), sum(bad), len(unseen), sum(right_unseen))
    for what, rows in (
        ("good", [r for s, r in zip(unseen, right_unseen, strict=True) if s.shown.good]),
        ("bad", [r for s, r in zip(unseen, right_unseen, strict=True) if not s.shown.good]),
    ):
        if sum(rows) < LEAST_RIGHT * len(rows):
            raise Refused.of(
                Reason.KNOWN_ANSWER,
                f"a model that is right about {LEAST_RIGHT:.0%} of the {what} pictures that are no"
                " known answers",
                f"{sum(rows)} of {len(rows)}",
                "it knows its known frames, or is of other parts, or prepared for wrongly",
            )
    return figures


def fitted_thresholds(inspector: PictureInspector, results: Sequence[Said]) -> Any:
    """The recipe with thresholds between the good pictures' scores and the bad ones'."""
    recipe = inspector.recipe
    good, bad = ([s for s in results if s.shown.good == g] for g in (True, False))
    recipe = replace(recipe, threshold=best_cut([s.score for s in good], [s.score for s in bad]))
    if recipe.kind != Kind.ANOMALY:
        return recipe
    heat = best_cut([s.hottest for s in good], [s.hottest for s in bad])
    return replace(recipe, output=replace(recipe.picture_output, heat_threshold=heat))
