"""A recipe's input for series, and what is measured by it."""

import copy

import numpy as np
import pytest

from framegate.errors import Malformed, Reason
from framegate.payload.series.form import parse_series
from framegate.payload.series.kind import SERIES
from framegate.payload.series.recipe import parse_input
from framegate.payload.series.signal import row_of
from framegate_simulators.vibration.machine_signal import Motor, State, draw
from framegate_simulators.vibration.sensor import as_series, golden
from framegate_simulators.vibration.train import series_input

BODY = series_input()


def test_channels_left_are_counted_alike():
    assert SERIES.left(BODY, ()) == 100
    assert SERIES.left(BODY, ("current", "another")) == 66
    assert SERIES.left(BODY, ("current", "vibration-x")) == 33


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("values", 1),
        ("values", "39"),
        ("rate_hz", 0),
        ("rate_hz", float("nan")),
        ("samples", 8),
        ("samples", 2**30),
        ("channels", []),
        ("channels", [{"name": "x"}]),
        ("channels", [{"name": "x", "unit": "g", "mains_hz": 0.0}] * 2),
        ("shaft_hz", [50.0, 15.0]),
        ("shaft_hz", 15.0),
        ("band_hz", [1800.0, 5000.0]),
        ("steps", []),
        ("steps", [{"of": "magic"}]),
        ("steps", [{"of": "spectrum"}]),
        ("steps", [{"of": "level", "order": 1.0}]),
        ("steps", [{"of": "spectrum", "order": 1.0, "more": 1}]),
        ("steps", ["level"]),
        ("name", ""),
        ("extra", 1),
    ],
    ids=lambda value: str(value)[:30],
)
def test_an_input_that_cannot_be_meant_is_refused(member, value):
    body = copy.deepcopy(BODY) | {member: value}
    with pytest.raises(Malformed) as caught:
        parse_input(body)
    assert caught.value.reason == Reason.MODEL


def test_a_row_is_still_where_nothing_changed_and_moves_where_something_did():
    given, base = parse_input(BODY), parse_series(golden(1))
    assert not row_of(given, base, base, frozenset()).any()
    rng = np.random.default_rng(1)
    worn = as_series(draw(Motor.drawn(1), State(35.0, "outer-race", 0.6), rng), 35.0, 10**7)
    steps = len(given.steps)
    row = row_of(given, worn, base, frozenset({"vibration-y"})).reshape(len(given.names), steps)
    outer = next(n for n, s in enumerate(given.steps) if s.of == "envelope")
    assert row[0, outer] > 1.5, "its line in the envelope, at another speed than the golden one"
    assert not row[1].any(), "a masked channel says nothing"
    assert abs(row[2]).max() < 1, "the mains' line is taken out of the current"
