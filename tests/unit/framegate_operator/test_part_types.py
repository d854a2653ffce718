"""Part types as gateways see them."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.errors import Reason
from framegate_operator.part_types import Asked, file_name, only_unknown, seen_types
from support.refusals import refused


def verdict(part_type: str, at: int, reason: str = ""):
    outcome = "UNINSPECTED" if reason else "PASS"
    return SimpleNamespace(part_type=part_type, issued_at_ms=at, reason=reason, outcome=outcome)


def test_a_type_is_unknown_as_long_as_its_last_verdict_says_so():
    types = seen_types(
        [
            verdict("b", 3),
            verdict("b", 1, "part-unknown"),
            verdict("a", 1),
            verdict("a", 2, "part-unknown"),
            verdict("c", 5, "no-grant"),
        ]
    )
    assert [(t.part_type, t.count, t.last_ms, t.unknown) for t in types] == [
        ("a", 2, 2, True),
        ("b", 2, 3, False),
        ("c", 1, 5, False),
    ]
    assert only_unknown(Asked(tuple(types), True)) == "a"


@pytest.mark.parametrize("since", ["timeout", "frame-frozen", "quarantined"])
def test_a_part_that_was_not_inspected_for_another_reason_says_nothing_of_its_type(since):
    unknown = [verdict("a", 1, "part-unknown"), verdict("a", 2, since)]
    assert only_unknown(Asked(tuple(seen_types(unknown)), False)) == "a"
    known = [verdict("b", 1), verdict("b", 2, since)]
    assert not seen_types(known)[0].unknown


@pytest.mark.parametrize(
    "seen",
    [[], [verdict("a", 1)], [verdict("a", 1, "part-unknown"), verdict("b", 1, "part-unknown")]],
)
def test_none_or_several_unknown_types_are_not_guessed_at(seen):
    assert (
        refused(lambda: only_unknown(Asked(tuple(seen_types(seen)), True))) == Reason.PART_UNKNOWN
    )


def test_where_a_gateway_is_silent_that_nothing_is_unknown_is_not_said():
    for seen in ([], [verdict("a", 1)]):
        asked = Asked(tuple(seen_types(seen)), False)
        assert refused(lambda asked=asked: only_unknown(asked)) == Reason.UNAVAILABLE


@given(st.text(max_size=200))
def test_a_cameras_part_type_names_no_path(part_type):
    name = file_name(part_type)
    assert "/" not in name and name.count(".") == 1
    assert name.endswith(".png") and name != ".png"
