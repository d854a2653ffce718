"""The default model meets its card."""

import json

import pytest

from framegate_gateway.inference.bundle import DEFAULT_BUNDLE, load_bundle
from framegate_models.evaluate import inspector_of, measure
from framegate_simulators.boards.train import drawn_pair


@pytest.mark.slow
def test_model_meets_its_card_on_boards_never_trained_on():
    bundle = load_bundle(DEFAULT_BUNDLE)
    # the shipped weights' card is about boards of before defects followed edges
    boards = [drawn_pair(seed, traced=0.0) for seed in range(2_000_000, 2_000_032)]
    measured = measure(inspector_of(bundle), boards)
    card = json.loads(bundle.training)["held_out"]
    assert measured.score.pooled_ap > card["map"] - 0.08 and measured.score.f > card["f"] - 0.08
    assert card["threshold"] == bundle.recipe.threshold
