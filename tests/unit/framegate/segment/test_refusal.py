"""Prefixes of logged packets, as the rules write them and the enforcer reads them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.errors import Malformed, Reason
from framegate.segment.refusal import Told, Verdict, Why
from support.refusals import refused


@given(st.sampled_from(Verdict), st.sampled_from(["-", "frames", "cam1"]), st.sampled_from(Why))
def test_what_is_told_is_read_back(verdict, where, why):
    told = Told(verdict, where, why)
    assert Told.parse(told.prefix) == told


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "fg",
        "fg drop",
        "fg drop frames",
        "fg drop frames invented ",
        "fg pass frames mac ",
        "xx drop frames mac ",
        "fg drop frames mac more ",
        "fg drop fra mes mac ",
        "\x1b[2Jfg drop frames mac ",
    ],
)
def test_a_prefix_of_somebody_elses_rule_is_refused(prefix):
    assert refused(lambda: Told.parse(prefix), Malformed) == Reason.SEGMENT
