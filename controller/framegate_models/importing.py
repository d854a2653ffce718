"""From a network that another tool exported to an unsigned bundle: read, proposed for, tried on
pictures, given known answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from framegate.errors import FramegateError, Malformed, Reason, Refused, Unavailable
from framegate.wire import sha256
from framegate_gateway.inference.bundle import (
    Bundle,
    KnownAnswer,
    parse_bundle,
    require_both_answers,
)
from framegate_gateway.inference.decoding import decode_colour, decode_gray
from framegate_gateway.inference.graph import verify_network
from framegate_gateway.inference.known_answers import verify_known_answers
from framegate_gateway.inference.layouts import Kind
from framegate_gateway.inference.picture_input import placing_of, tensor_of
from framegate_gateway.inference.picture_inspector import PictureInspector
from framegate_gateway.inference.recipe import PictureInput, Recipe, verify_recipe
from framegate_gateway.inference.session import new_session, picture_runner
from framegate_models.assemble import bundle_files
from framegate_models.first_results import (
    FirstResults,
    Said,
    Shown,
    enough_pictures,
    first_results,
    fitted_thresholds,
    gap,
    known_of,
    read_pictures,
    said_of,
    separation,
)
from framegate_models.foreign_graph import ForeignGraph, read_graph
from framegate_models.gated import gated, placed
from framegate_models.picture_files import reading
from framegate_models.proposal import (
    PREPARATIONS,
    Wish,
    prepared_otherwise,
    proposed_input,
    proposed_output,
    proposed_recipe,
)

CLEARLY: Final = 0.02
"""By how much another preparation has to tell good from bad better before it is taken."""
TRIED_ON: Final = 24
"""Pictures of each sort that preparations are compared on."""


@dataclass(frozen=True, slots=True)
class Imported:
    """An unsigned bundle that is written nowhere yet, what it says to the pictures, and what was
    decided, in words.
    """

    bundle: Bundle
    inspector: PictureInspector
    results: tuple[Said, ...]
    figures: FirstResults
    decided: tuple[str, ...]


def import_model(path: Path, wish: Wish, good: Path, bad: Path, threads: int = 2) -> Imported:
    """The network in `path` as a bundle, tried on folders of good and bad pictures.

    1. the file is a network that a bundle may hold (`foreign_graph.read_graph`);
    2. its inputs and outputs fit one layout of the kind, for so many classes;
    3. what it says to the pictures can be meant;
    4. it tells good pictures from bad ones, also those that become no known answers (N186);
    5. it gives its known answers, also to the same pictures, moved.

    Raises Malformed, Refused or Unavailable (USAGE, MODEL, MODEL_GRAPH, DATA_SET, IMAGE, INFERENCE,
    KNOWN_ANSWER).
    """
    graph = read_graph(path)  # 1
    session = new_session(graph.model, threads)
    given = proposed_input(graph, wish)
    said = _said_to_one(session, graph, given, enough_pictures(bad)[0])
    output = proposed_output(graph, wish, said, given)  # 2
    recipe = proposed_recipe(graph, wish, given, output)
    verify_network(graph.model, recipe)
    inspector = PictureInspector(recipe, picture_runner(session, recipe))
    shown = [
        *read_pictures(inspector, good, good=True),
        *read_pictures(inspector, bad, good=False),
    ]
    decided = list(graph.changes)
    if not wish.says("input.divide", "input.mean", "input.deviation"):
        inspector = _best_prepared(inspector, shown, wish, decided)
    if not wish.says("place"):
        inspector = placed(inspector, shown, decided)
    results, inspector = _results(inspector, shown, wish)  # 3
    decided.append(gated(inspector, shown))
    known = known_of(inspector, results)
    figures = first_results(inspector, results, known)  # 4
    require_both_answers(known)
    verify_known_answers(inspector, known)  # 5
    files = bundle_files(
        graph.model, inspector.recipe, known, _card(path, graph, inspector.recipe, figures), b""
    )
    bundle = parse_bundle(files)
    return Imported(bundle, inspector, tuple(results), figures, tuple(decided))


def _said_to_one(
    session: Any, graph: ForeignGraph, given: PictureInput, path: Path
) -> Mapping[str, Any]:
    """All outputs of the network to the picture at `path`, by name. Raises Malformed (MODEL_GRAPH,
    IMAGE).
    """
    picture = path.read_bytes()
    with reading(path):
        decoded = decode_gray(picture) if given.channels == 1 else decode_colour(picture)
    placing = placing_of(given, (decoded.shape[0], decoded.shape[1]))
    feeds: dict[str, Any] = {given.name: tensor_of(given, decoded, placing)}
    if given.sizes:
        feeds[given.sizes] = np.array([[given.height, given.width]], np.int64)
    names = [tensor.name for tensor in graph.outputs]
    try:
        arrays = session.run(names, feeds)
    except Exception as error:
        raise Malformed.of(
            Reason.MODEL_GRAPH,
            f"a network that takes {given.width}x{given.height} pixels",
            _in_one_line(error)[:160],
            "--size WxH as it was exported for",
        ) from error
    return {name: np.asarray(array) for name, array in zip(names, arrays, strict=True)}


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


class _Tried(NamedTuple):
    share: float
    gap: float
    inspector: PictureInspector

    @property
    def worth(self) -> float:
        """Between two that order all pictures rightly, the one that keeps them further apart."""
        return self.share + self.gap


def _best_prepared(
    inspector: PictureInspector, shown: Sequence[Shown], wish: Wish, decided: list[str]
) -> PictureInspector:
    """The usual preparation that tells good from bad best; the proposed one where none does so
    clearly better.
    """
    sample = [s for g in (True, False) for s in [s for s in shown if s.good == g][:TRIED_ON]]
    tried: dict[str, _Tried] = {}
    own = ""
    for name, values in PREPARATIONS.items():
        recipe = prepared_otherwise(inspector.recipe, values)
        if recipe.picture_input.type == "uint8" and name != "from 0 to 255":
            continue
        if recipe.picture_input == inspector.recipe.picture_input:
            own = name
        candidate = PictureInspector(recipe, inspector.run)
        try:
            candidate = _ranged(candidate, sample, wish)
            results = [said_of(candidate, s) for s in sample]
            tried[name] = _Tried(separation(results), gap(results), candidate)
        except FramegateError:
            continue
    if not tried:
        return inspector
    best = max(tried, key=lambda name: tried[name].worth)
    if own in tried and tried[best].worth < tried[own].worth + CLEARLY:
        best = own
    told = ", ".join(
        f"{name}: {100 * one.share:.0f} %, {one.gap:.2f} apart" for name, one in tried.items()
    )
    decided.append(f"values {best}, which tells good from bad best ({told})")
    return tried[best].inspector


def _ranged(inspector: PictureInspector, shown: Sequence[Shown], wish: Wish) -> PictureInspector:
    """For raw anomaly scores: a recipe whose range is what was seen on these pictures."""
    recipe = inspector.recipe
    if recipe.kind != Kind.ANOMALY or wish.says("output.range", "output.activation"):
        return inspector
    low, high = np.inf, -np.inf
    for one in shown:
        for array in inspector.answers(inspector.prepared(one.picture)):
            low, high = min(low, float(array.min())), max(high, float(array.max()))
    if low >= 0 and high <= 1:
        return inspector
    if not high - low > 1e-3:
        raise Unavailable.of(Reason.INFERENCE, "anomaly scores that differ", f"{low:g}, {high:g}")
    ranged = replace(recipe.picture_output, range=(round(low, 4), round(high, 4)))
    return PictureInspector(verify_recipe(replace(recipe, output=ranged)), inspector.run)


class _Judged(NamedTuple):
    results: list[Said]
    inspector: PictureInspector


def _results(inspector: PictureInspector, shown: Sequence[Shown], wish: Wish) -> _Judged:
    """What the model says to each picture, by thresholds that fit them unless they were told."""
    inspector = _ranged(inspector, shown, wish)
    results = [said_of(inspector, s) for s in shown]
    recipe: Recipe = fitted_thresholds(inspector, results)
    if wish.threshold is not None:
        recipe = replace(recipe, threshold=wish.threshold)
    if wish.says("output.heat_threshold"):
        recipe = replace(recipe, output=inspector.recipe.output)
    fitted = PictureInspector(verify_recipe(recipe), inspector.run)
    if separation(results) < 0.5:
        raise Refused.of(
            Reason.KNOWN_ANSWER,
            "bad pictures with higher scores than good ones",
            f"in {100 * separation(results):.0f} % of pairs",
            "are --good and --bad the right way round, and the classes in the network's order?",
        )
    return _Judged([said_of(fitted, s) for s in shown], fitted)


def _card(path: Path, graph: ForeignGraph, recipe: Recipe, figures: FirstResults) -> dict[str, Any]:
    return {
        "format": "framegate-card-1",
        "name": recipe.name,
        "version": recipe.version,
        "trained_on": {"source": "not known: the network was imported", "sha256": ""},
        "imported": {
            "file": path.name[:100],
            "sha256": sha256(path.read_bytes()).hex(),
            "changes": list(graph.changes),
        },
        "first_results": figures.as_dict(),
    }


def known_count(known: Sequence[KnownAnswer]) -> str:
    """`8 with defects and 8 without`."""
    bad = sum(bool(answer.defects) for answer in known)
    return f"{bad} with defects and {len(known) - bad} without"
