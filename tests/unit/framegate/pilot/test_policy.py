"""A pilot's file: what it says, how it ends, and what changes it makes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.access.policy import default_files, parse_policy
from framegate.errors import FramegateError, Reason
from framegate.pilot.policy import (
    FILE,
    MAX_PILOT_DAYS,
    Pilot,
    Stage,
    parse_pilots,
    pilot_changes,
    pilots_text,
    require_ends,
    stage_of,
)
from support.refusals import refused

END_MS = 1_801_418_400_000  # 2027-01-31T18:00:00Z
TEXT = '[line-1]\nstage = "observe"\nuntil = 2027-01-31T18:00:00Z\nlife = "10m"\n'


def pilot(**changes):
    told = {"zone": "line-1", "stage": Stage.OBSERVE, "until_ms": END_MS, "life_s": 600}
    return Pilot(**{**told, **changes})


def test_the_file_says_which_zone_is_lifted_how_far_and_until_when():
    assert parse_pilots(TEXT) == {"line-1": pilot()}
    assert pilots_text(parse_pilots(TEXT)) == TEXT
    assert parse_pilots("") == {}


def test_a_zone_is_enforced_unless_a_pilot_of_it_runs():
    pilots = parse_pilots(TEXT)
    assert stage_of(pilots, "line-1", END_MS - 1) is Stage.OBSERVE
    assert stage_of(pilots, "line-1", END_MS) is Stage.ENFORCE
    assert stage_of(pilots, "line-2", 0) is Stage.ENFORCE
    assert [s.diverts for s in Stage] == [False, False, True]
    assert [s.mark for s in Stage] == ["observe", "warn", ""]


def test_it_is_signed_with_the_policy_and_changes_its_digest():
    without, beside = parse_policy(default_files()), {**default_files(), FILE: TEXT}
    assert parse_policy(beside).pilots["line-1"].stage is Stage.OBSERVE and without.pilots == {}
    assert parse_policy(beside).sha256 != without.sha256
    with pytest.raises(FramegateError):
        parse_policy({**beside, FILE: TEXT.replace("observe", "off")})


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ({}, pilot(), "DIVERTS NOTHING: observe until 2027-01-31 18:00 UTC"),
        (pilot(), None, "ENFORCED again"),
        (pilot(), pilot(stage=Stage.WARN), "warn until 2027-01-31 18:00 UTC, so far observe"),
        (pilot(), pilot(until_ms=END_MS + 86_400_000), "observe until 2027-02-01"),
    ],
    ids=["lifted", "ended", "a-step-on", "longer"],
)
def test_what_a_file_changes_is_said_in_words(before, after, told):
    was = {"line-1": before} if before else {}
    (said,) = pilot_changes(was, {"line-1": after} if after else {})
    assert told in said and "zone line-1" in said


def test_what_opens_is_said_before_what_closes():
    was = {"line-1": pilot()}
    told = pilot_changes(was, {"line-2": pilot(zone="line-2")})
    assert "NOTHING" in told[0] and "ENFORCED" in told[1]
    assert pilot_changes(was, was) == ()


def test_a_pilot_has_its_end_in_sight():
    require_ends({"line-1": pilot()}, END_MS - MAX_PILOT_DAYS * 86_400_000)
    last = END_MS - MAX_PILOT_DAYS * 86_400_000 - 1
    assert refused(lambda: require_ends({"line-1": pilot()}, last)) == Reason.PILOT


@given(st.text(max_size=200))
def test_anything_is_a_file_or_refused(text):
    try:
        pilots = parse_pilots(text)
    except FramegateError:
        return
    assert parse_pilots(pilots_text(pilots)) == pilots


@given(
    st.sampled_from([Stage.OBSERVE, Stage.WARN]),
    st.integers(1, 4_000_000_000),
    st.integers(1, 480),
)
def test_what_is_written_is_read_back(stage, until_s, minutes):
    one = pilot(stage=stage, until_ms=until_s * 1000, life_s=minutes * 60)
    assert parse_pilots(pilots_text({"line-1": one})) == {"line-1": one}
