"""N154: rules that are evaded at their windows' edges, by chunks, clocks and patience; and twenty
insiders among people who do nothing wrong.
"""

from functools import lru_cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framegate.behaviour.deed import Deed, Sites
from framegate.behaviour.rules import DAY, HOUR, Limits, RuleName
from framegate.behaviour.watch import BehaviourWatch, replayed
from framegate.behaviour.windows import Limit
from framegate_simulators.fixtures.insiders import INSIDERS, insider
from framegate_simulators.fixtures.plant_days import SITES, PlantDays
from support.deeds import Scene

RULE_OF = {
    "guesses a password": RuleName.FAILURES_THEN_SUCCESS,
    "guesses it within seconds": RuleName.FAILURES_THEN_SUCCESS,
    "guesses it over a day": RuleName.FAILURES_THEN_SUCCESS,
    "uses a stolen session": RuleName.FIRST_SEEN,
    "comes at night": RuleName.ODD_HOURS,
    "exports in a burst": RuleName.EXPORTS,
    "exports around a full hour": RuleName.EXPORTS,
    "exports just below the hour's limit": RuleName.EXPORTS,
    "exports all week": RuleName.EXPORTS,
    "exports data sets": RuleName.EXPORTS,
    "is denied again and again": RuleName.DENIALS,
    "probes what goes": RuleName.DENIALS,
    "has a friend who approves": RuleName.EACH_OTHER,
    "opens the envelope": RuleName.BREAK_GLASS,
    "uses an account that slept": RuleName.DORMANT,
    "changes in a freeze": RuleName.FREEZE,
    "thaws, changes and freezes": RuleName.FREEZE,
    "tries in a freeze": RuleName.FREEZE,
    "is at two sites": RuleName.TWO_SITES,
}
"""Whose rule it is that finds each; "is patient" is found by none."""


@pytest.mark.parametrize("seed", range(2))
def test_n154_ninety_days_of_people_who_do_nothing_wrong_are_at_most_one_alert_a_week_for_ten(seed):
    plant = PlantDays(seed)
    findings = replayed(plant.entries(), sites=SITES)
    assert len(plant.moments) > 3_000
    assert len(findings) <= plant.people / 10 * plant.days / 7
    assert {f.rule for f in findings} <= {RuleName.FIRST_SEEN, RuleName.ODD_HOURS}


@lru_cache(maxsize=1)
def usual() -> frozenset:
    """What is told of the plant where nobody does wrong."""
    findings = replayed(PlantDays(7, 85, 12).entries(), sites=SITES)
    return frozenset((f.rule, f.person, f.at_ms) for f in findings)


def caught(name: str) -> set[RuleName]:
    """The rules that tell of this insider, and did not without."""
    plant = PlantDays(7, 85, 12)
    who = insider(plant, name)
    return {
        f.rule
        for f in replayed(plant.entries(), sites=SITES)
        if f.person == who.name and (f.rule, f.person, f.at_ms) not in usual()
    }


@pytest.mark.parametrize("name", sorted(RULE_OF))
def test_n154_nineteen_of_twenty_insiders_are_caught_by_the_rule_that_is_theirs(name):
    assert RULE_OF[name] in caught(name)


def test_n154_the_patient_one_is_not_and_there_are_twenty():
    assert not caught("is patient")
    assert len(INSIDERS) == 20 and set(INSIDERS) - set(RULE_OF) == {"is patient"}


@pytest.mark.parametrize("offset", range(0, 60, 7))
def test_n154_a_burst_is_found_wherever_the_clocks_full_hour_is(offset):
    scene, begin = Scene(), 100 * DAY + offset * 60_000
    for n in range(10):
        scene(begin + n * 90_000, "denied", verb="x")
    assert scene.findings(RuleName.DENIALS)


def test_n154_just_below_the_short_window_meets_the_long_one():
    scene = Scene()
    for n in range(30):
        scene(100 * DAY + n * 47 * 60_000, "denied", verb="x")
    (found,) = scene.findings(RuleName.DENIALS)
    assert found.count == 30


def test_n154_a_clock_that_goes_back_stretches_no_window():
    scene = Scene()
    for at in (10, 9, 8, 7, 6, 5, 4, 3, 2, 1):
        scene(100 * DAY + at * HOUR, "denied", verb="x")
    assert scene.findings(RuleName.DENIALS)


def test_n154_noise_of_others_hides_nobody():
    scene = Scene()
    for n in range(2_000):
        scene(100 * DAY + n, "denied", f"p{n}", verb="x")
        if n % 200 == 0:
            scene(100 * DAY + n, "denied", "anna", verb="x")
    assert [f.person for f in scene.findings(RuleName.DENIALS)] == ["anna"]


LIMITS = Limits(
    failures=(Limit(2, 50),),
    exports=(Limit(2, 60),),
    denials=(Limit(3, 40),),
    denied_verbs=Limit(2, 30),
    each_other=Limit(1, 80),
    dormant_ms=90,
    after_thaw_ms=20,
    frozen_tries=Limit(2, 40),
    between_sites_ms=15,
    hold_ms=25,
    habit_ms=40,
    habit_deeds=4,
    known_ms=120,
    folded_ms=5,
)
"""Of a world in which a day is a hundred milliseconds, so that random deeds meet them."""
EVENTS = (
    "sign-in-failed",
    "signed-in",
    "denied",
    "access-asked",
    "access-approved",
    "approval-taken",
    "zone-frozen",
    "zone-thawed",
    "retire",
    "break-glass-used",
)
deeds = st.builds(
    dict,
    wait=st.integers(-3, 30),
    event=st.sampled_from(EVENTS),
    person=st.sampled_from(["anna", "berta", ""]),
    zone=st.sampled_from(["", "line-1"]),
    source=st.sampled_from(["", "10.1.1.0/24", "10.2.1.0/24", "192.0.2.0/24"]),
    verb=st.sampled_from(["", "device.retire", "frame.export", "trust.add"]),
    members=st.fixed_dictionaries(
        {},
        optional={
            "request": st.sampled_from(["r1", "r2"]),
            "about": st.sampled_from(["frame.export", "mask.set"]),
            "count": st.integers(1, 3),
            "reason": st.sampled_from(["zone-frozen", "denied-by-policy"]),
        },
    ),
)


def story(parts) -> list[Deed]:
    at, told = 1000, []
    for index, part in enumerate(parts):
        given = dict(part)
        at += given.pop("wait")
        told.append(Deed(index=index, at_ms=at, **given))
    return told


@settings(max_examples=40, deadline=None)
@given(st.lists(deeds, max_size=60), st.lists(st.integers(1, 9), max_size=20))
def test_n154_streaming_is_batch_under_any_chunking_and_any_restart(parts, chunks):
    """A watch that sees deeds one by one, one that begins anew before each chunk from what was, and
    one that sees all of them at once say the same.
    """
    told = story(parts)

    def batch(some):
        watch = BehaviourWatch(LIMITS, SITES)
        return [f for deed in some for f in watch.deed(deed)]

    whole, streamed, place = batch(told), [], 0
    for length in [*chunks, len(told)]:
        watch = BehaviourWatch(LIMITS, SITES)
        for deed in told[:place]:
            watch.deed(deed)
        for deed in told[place : place + length]:
            streamed += watch.deed(deed)
        place = min(len(told), place + length)
    assert streamed == whole == batch(told)


@settings(max_examples=40, deadline=None)
@given(st.lists(deeds, max_size=60))
def test_n154_denials_are_what_whoever_counts_by_hand_finds(parts):
    """An independent count over all deeds at once: windows by subtraction, no state kept."""
    told = [d for d in story(parts) if d.event == "denied" and d.person]
    now, clock = [], 0
    for deed in story(parts):
        clock = max(clock, deed.at_ms)
        if deed in told:
            now.append(clock)
    (limit,) = LIMITS.denials
    expected, begun = [], {}
    for n, deed in enumerate(told):
        since = begun.get(deed.person, -1)
        window = [
            m
            for m, other in enumerate(told[: n + 1])
            if other.person == deed.person and m > since and now[n] - now[m] <= limit.within_ms
        ]
        if len(window) >= limit.least:
            expected.append((told[window[0]].index, deed.index))
            begun[deed.person] = n
    watch = BehaviourWatch(LIMITS, Sites())
    found = [f for deed in story(parts) for f in watch.deed(deed)]
    often = [(f.first, f.last) for f in found if (f.rule, f.kind) == (RuleName.DENIALS, "often")]
    # a window keeps as many as meet it: the first of them may be later than the first by hand
    assert [last for _, last in often] == [last for _, last in expected]
