"""N206: whole numbers larger than any float, which JSON may hold and readers would convert."""

import json

import pytest

from framegate.errors import Malformed
from framegate.looks.kinds import Look
from framegate.looks.limits import parse_limits
from framegate_controller.sinks.messages import Answer
from framegate_gateway.inference.bundle import DEFAULT_BUNDLE, load_bundle, parse_bundle
from framegate_gateway.inference.recipe import Recipe
from framegate_gateway.inference.recipe_json import parse_recipe, recipe_body
from support.looks import row

VAST = [10**400, -(10**400)]
SIGNS = ["vast", "vast-below-nought"]


@pytest.mark.parametrize("vast", VAST, ids=SIGNS)
@pytest.mark.parametrize("member", ["threshold", "calibration"])
def test_n206_in_a_recipe(member, vast):
    body = recipe_body(Recipe("a", 1, ("b",), 0.5, 32), "ab" * 32)
    body[member] = [vast, 0] if member == "calibration" else vast
    with pytest.raises(Malformed):
        parse_recipe(json.dumps(body).encode(), "ab" * 32)


@pytest.mark.parametrize("vast", VAST, ids=SIGNS)
@pytest.mark.parametrize("member", ["score", "box"])
def test_n206_in_known_answers(member, vast):
    files = dict(load_bundle(DEFAULT_BUNDLE).files)
    answers = json.loads(files["known-answers.json"])
    defect = next(one for answer in answers for one in answer["defects"])
    defect[member] = [vast, 0, 1, 1] if member == "box" else vast
    with pytest.raises(Malformed):
        parse_bundle(files | {"known-answers.json": json.dumps(answers).encode()})


@pytest.mark.parametrize("vast", VAST, ids=SIGNS)
@pytest.mark.parametrize("member", ["limit", "share", "centre", "spread"])
def test_n206_in_a_parts_limits(member, vast):
    with pytest.raises(Malformed):
        parse_limits([row(Look.RESIDUAL, **{member: vast})])


@pytest.mark.parametrize("vast", VAST, ids=SIGNS)
def test_n206_in_what_a_sink_answers(vast):
    body = json.loads(Answer(confirmed=0, failed="busy").marshal()) | {"retry_s": vast}
    with pytest.raises(Malformed):
        Answer.parse(json.dumps(body).encode(), 0, 5)
