"""From pictures of sound parts alone to an unsigned bundle: what is usual of them, a threshold for
a stated rate of false alarms, that promise measured, known answers.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from framegate_gateway.inference.bundle import Bundle, parse_bundle, require_both_answers
from framegate_gateway.inference.graph import verify_network
from framegate_gateway.inference.known_answers import verify_known_answers
from framegate_gateway.inference.layouts import Kind
from framegate_gateway.inference.picture_inspector import PictureInspector
from framegate_gateway.inference.recipe import Output, PictureInput, Recipe, Tensor, verify_recipe
from framegate_gateway.inference.session import new_session, picture_runner
from framegate_gateway.inference.signed_folder import Provenance
from framegate_models.anomaly_accuracy import Share
from framegate_models.assemble import bundle_files
from framegate_models.choosing import Choosing, Inputs
from framegate_models.damage import damaged
from framegate_models.descriptions import Looking
from framegate_models.first_results import (
    FirstResults,
    Said,
    Shown,
    first_results,
    known_of,
    said_of,
)
from framegate_models.gated import gated, placed
from framegate_models.network_input import input_of
from framegate_models.pretrained import WEIGHTS_SHA256, read_weights
from framegate_models.progress import Said as Tell
from framegate_models.sound_pictures import Sound, Split, read_sound, split_by_part
from framegate_models.surface_graph import (
    HEAT,
    HEAT_STRIDE_PX,
    SCORE,
    surface_graph,
)
from framegate_models.trials import Chosen

KNOWN_FROM: Final = 32
"""Sound pictures that known answers are taken from, and as many with damage drawn on them."""
STRENGTHS: Final = (1.0, 2.0, 4.0)
"""Of drawn damage, weakest first: a surface that varies hides what a plain one shows."""
ENOUGH_SEEN: Final = 0.75
"""Share of drawn damage that has to be found for no stronger one to be drawn."""
STAND_OUT: Final = 5
"""Pictures that are named because they stand out among the sound ones."""
ANOMALY: Final = "anomaly"


@dataclass(frozen=True, slots=True)
class Plan:
    """How to learn: the bundle's `name` and `version`, the input's `size` (width, height) or None,
    the `rate` of false alarms to promise, the share of parts to `keep_back`, which part a file's
    name shows (`part_pattern`), and for how many `minutes` at most pictures are looked at.
    """

    name: str
    version: int
    size: tuple[int, int] | None = None
    rate: float = 0.01
    keep_back: float = 0.2
    part_pattern: str = ""
    minutes: float = 10.0
    threads: int = 2
    seed: int = 7


@dataclass(frozen=True, slots=True)
class Learned:
    """An unsigned bundle that is written nowhere yet; what it says to sound pictures and to such
    with drawn damage; false alarms among the parts that were kept back; names of the pictures that
    stand out; what was decided, in words.
    """

    bundle: Bundle
    inspector: PictureInspector
    results: tuple[Said, ...]
    figures: FirstResults
    false_alarms: Share
    stand_out: tuple[str, ...]
    decided: tuple[str, ...]


def learn_part(folder: Path, plan: Plan, provenance: Provenance, tell: Tell) -> Learned:
    """What is usual of the sound parts in `folder`, as a bundle.

    1. there are enough pictures, and the backbone's weights are those that are known;
    2. parts that are kept back are not learned from;
    3. it is learned in the way that tells damage best which is drawn on parts that were not
       learned from;
    4. the threshold is by parts that what judged them was not learned from;
    5. it finds damage that is drawn on sound pictures, and passes sound ones;
    6. it gives its known answers, also to the same pictures, moved.

    Raises Malformed, Refused or Unavailable (DATA_SET, IMAGE, MODEL, KNOWN_ANSWER).
    """
    begun = time.monotonic()
    weights = read_weights()  # 1
    pictures = read_sound(folder, plan.part_pattern)
    split = split_by_part(pictures, plan.keep_back)  # 2
    inputs = Inputs(*(input_of(pictures, plan.size, evened=even) for even in (False, True)))
    how = Looking(plan.seed, plan.threads, begun + 60 * plan.minutes, tell)
    chosen = Choosing(weights, split.learned, plan.rate, how).best(inputs)  # 3, 4
    inspector = _inspector(surface_graph(chosen.describing, chosen.surface), chosen.given, plan)
    return _tried(inspector, split, plan, provenance, _Before(chosen, begun))


class _Loaded(NamedTuple):
    model: bytes
    inspector: PictureInspector


def _inspector(model: bytes, given: PictureInput, plan: Plan) -> _Loaded:
    cells = given.height // HEAT_STRIDE_PX, given.width // HEAT_STRIDE_PX
    tensors = Tensor(SCORE, (1, 1)), Tensor(HEAT, (1, 1, *cells))
    recipe = verify_recipe(
        Recipe(
            plan.name,
            plan.version,
            (ANOMALY,),
            0.5,
            kind=Kind.ANOMALY,
            input=given,
            output=Output("anomalib", tensors),
        )
    )
    verify_network(model, recipe)
    run = picture_runner(new_session(model, plan.threads), recipe)
    return _Loaded(model, PictureInspector(recipe, run))


class _Before(NamedTuple):
    """What went before a network is tried: what was chosen, and when it began."""

    chosen: Chosen
    begun: float


def _tried(
    loaded: _Loaded, split: Split, plan: Plan, provenance: Provenance, before: _Before
) -> Learned:
    """The bundle, once checks 5 and 6 of `learn_part` hold."""
    inspector = loaded.inspector
    decided = list(before.chosen.words)
    chosen = [*split.kept_back, *split.learned][:KNOWN_FROM]
    sound = [_as_shown(one.name, one.picture, good=True) for one in chosen]
    inspector = placed(inspector, sound, decided)
    decided.append(gated(inspector, sound))
    drawn = _drawn(inspector, chosen, plan.seed)
    decided.append(
        f"damage drawn at {drawn.strength:g} times what is seen without effort is what it must find"
    )
    results = [*(said_of(inspector, one) for one in sound), *drawn.results]
    known = known_of(inspector, results)
    figures = first_results(inspector, results, known)  # 5
    require_both_answers(known)
    verify_known_answers(inspector, known)  # 6
    flagged = sum(_flagged(inspector, one) for one in split.kept_back)
    false_alarms = Share(flagged, len(split.kept_back))
    card = _card(plan, provenance, split, figures, false_alarms)
    card["learned"]["ways"] = before.chosen.as_rows()
    card["learned"]["drawn_strength"] = drawn.strength
    card["learned"]["seconds"] = round(time.monotonic() - before.begun, 1)
    bundle = parse_bundle(bundle_files(loaded.model, inspector.recipe, known, card, b""))
    return Learned(
        bundle,
        inspector,
        tuple(results),
        figures,
        false_alarms,
        _standing_out(split, before),
        tuple(decided),
    )


def _standing_out(split: Split, before: _Before) -> tuple[str, ...]:
    """Names of the learned pictures that are stranger than the threshold, the strangest first: a
    bad part among the sound ones, or one that is rare.
    """
    most = before.chosen.trial.strange
    order = [int(i) for i in np.argsort(-most)[:STAND_OUT] if most[i] > 0]
    return tuple(split.learned[i].name for i in order)


def _flagged(inspector: PictureInspector, one: Sound) -> bool:
    ready = inspector.prepared(one.picture)
    return bool(len(inspector.judged(inspector.answers(ready), ready.placing)))


class _Drawn(NamedTuple):
    strength: float
    results: list[Said]


def _drawn(inspector: PictureInspector, chosen: Sequence[Sound], seed: int) -> _Drawn:
    """What the model says to pictures with damage drawn on them: the least of `STRENGTHS` of which
    it finds enough, else the strongest.
    """
    drawn = _Drawn(0.0, [])
    for strength in STRENGTHS:
        rng = np.random.default_rng(seed + 99)
        results = [
            said_of(
                inspector,
                _as_shown(
                    f"{one.name}, damaged", damaged(one.picture, rng, strength).picture, good=False
                ),
            )
            for one in chosen
        ]
        drawn = _Drawn(strength, results)
        if sum(bool(len(said.detections)) for said in results) >= ENOUGH_SEEN * len(results):
            break
    return drawn


def _as_shown(name: str, picture: NDArray[np.uint8], *, good: bool) -> Shown:
    png = cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes()
    return Shown(name, png, picture, good)


def _card(
    plan: Plan,
    provenance: Provenance,
    split: Split,
    figures: FirstResults,
    false_alarms: Share,
) -> dict[str, Any]:
    return {
        "format": "framegate-card-1",
        "name": plan.name,
        "version": plan.version,
        "trained_on": asdict(provenance),
        "learned": {
            "pictures": [one.digest for one in split.learned],
            "parts": len({one.part for one in split.learned}),
            "false_alarms_promised": plan.rate,
            "kept_back": len(split.kept_back),
            "kept_back_flagged": false_alarms.count,
            "backbone": WEIGHTS_SHA256,
            "seed": plan.seed,
        },
        "first_results": figures.as_dict(),
    }
