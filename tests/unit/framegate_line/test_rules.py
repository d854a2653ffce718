"""Rules and deadlines of a line."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.errors import FramegateError
from framegate.signed.statement import Outcome
from framegate_line.rules import CLOCK_TRUST_MS, Ruling, Trigger, deadline_of, rule
from support.line import CAM1, CAM2, RULES


def test_late_triggers_do_not_get_more_time():
    assert deadline_of(RULES, Trigger("p", "t", 1, at_ms=10_000_000), 10_004_000) == 10_001_000
    assert deadline_of(RULES, Trigger("p", "t", 1, at_ms=10_009_000), 10_000_000) == 10_001_000, (
        "a PLC whose clock runs ahead gains nothing"
    )
    assert deadline_of(RULES, Trigger("p", "t", 1), 10_000_000) == 10_001_000
    now = 10_000_000 + CLOCK_TRUST_MS
    assert deadline_of(RULES, Trigger("p", "t", 1, at_ms=10_000_000), now) == now + 1_000, (
        "an hour off is a wrong clock: the time of arrival counts"
    )
    assert deadline_of(RULES, Trigger("p", "t", 1, at_ms=10_000_001), now) == 10_001_001


_RULINGS = st.dictionaries(
    st.sampled_from([CAM1, CAM2, "camera.line-1.cam9"]),
    st.sampled_from(list(Outcome)).map(
        lambda o: Ruling(o, "x" if o == Outcome.UNINSPECTED else "")
    ),
)


@given(_RULINGS)
def test_pass_needs_every_view(views):
    decision = rule(RULES, views)
    mine = [views[c].outcome for c in RULES.cameras if c in views]
    if decision is not None and decision.outcome == Outcome.PASS:
        assert mine == [Outcome.PASS, Outcome.PASS]
    elif decision is None:
        assert set(mine) <= {Outcome.PASS} and len(mine) < 2
    else:
        assert decision.outcome in mine


@pytest.mark.parametrize(
    "change",
    [
        {"cameras": ()},
        {"cameras": (CAM1, CAM1)},
        {"cameras": ("camera.line-2.cam1",)},
        {"deadline_ms": 0},
        {"deadline_ms": 10**9},
        {"stop_after": 0},
        {"line": "Press 7"},
    ],
)
def test_rules_that_make_no_sense(change):
    with pytest.raises(FramegateError):
        replace(RULES, **change)
