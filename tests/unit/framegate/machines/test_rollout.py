"""The state machine of a rollout alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.errors import Malformed, Reason, Refused
from framegate.machines.rollout import (
    Plan,
    Rollout,
    RolloutState,
    Seen,
    advance,
    assign,
    classify,
    command,
    parse_plan,
)

plans = st.builds(
    Plan,
    canary=st.integers(0, 3),
    waves=st.sets(st.integers(1, 99), max_size=3).map(lambda s: (*sorted(s), 100)),
    max_fail=st.integers(1, 3),
    soak_s=st.integers(0, 100),
    shadow=st.booleans(),
)


@given(plans)
def test_plans_round_trip(plan):
    assert parse_plan(plan.marshal()) == plan


@pytest.mark.parametrize(
    "change",
    [
        {"waves": ()},
        {"waves": (50,)},
        {"waves": (50, 10, 100)},
        {"waves": (0, 100)},
        {"waves": (100, 100)},
        {"max_fail": 0},
        {"soak_s": -1},
        {"canary": -1},
        {"soak_s": 10**8},
    ],
)
def test_plans_that_are_none(change):
    with pytest.raises(Malformed):
        Plan(
            **(
                {"canary": 1, "waves": (10, 100), "max_fail": 1, "soak_s": 1, "shadow": False}
                | change
            )
        )


@given(plans, st.sets(st.text("abc", min_size=1, max_size=6), max_size=30))
def test_every_device_has_a_turn_and_nobody_is_left_out(plan, devices):
    steps = assign("r", plan, devices)
    assert steps.keys() == devices and all(0 <= s < plan.steps for s in steps.values())
    if plan.canary:
        assert sum(s == 0 for s in steps.values()) == min(plan.canary, len(devices))


@given(
    plans,
    st.lists(
        st.one_of(
            st.tuples(st.just("time"), st.integers(0, 200_000)),
            st.tuples(st.just("fail"), st.integers(0, 3)),
            st.tuples(st.sampled_from(["pause", "resume", "abort", "retire"]), st.just(0)),
        ),
        max_size=30,
    ),
)
def test_a_rollout_never_goes_back_and_never_runs_past_its_failures(plan, events):
    rollout, now, failed = (
        Rollout("r", plan, RolloutState.SHADOW if plan.shadow else RolloutState.RUNNING, 0, 0),
        0,
        0,
    )
    order = {RolloutState.ENFORCED: 1, RolloutState.RETIRED: 2, RolloutState.ABORTED: 2}
    for kind, value in events:
        before = rollout
        if kind == "time":
            now += value
            rollout, notice = advance(rollout, failed, now)
            assert bool(notice) == (rollout != before)
            if before.state == RolloutState.RUNNING and failed >= plan.max_fail:
                assert rollout.state == RolloutState.PAUSED
        elif kind == "fail":
            failed = value
        else:
            try:
                rollout = command(rollout, kind, now)
            except Refused as error:
                assert error.reason == Reason.TRANSITION
        assert rollout.step >= before.step and order.get(rollout.state, 0) >= order.get(
            before.state, 0
        )
        assert rollout.reaches(0) or rollout.state in {RolloutState.SHADOW, RolloutState.ABORTED}


def test_classification_is_total():
    table = {
        (old, new, reached, enforced): classify(
            old=old, new=new, reached=reached, enforced=enforced
        )
        for old in (0, 1)
        for new in (0, 1)
        for reached in (0, 1)
        for enforced in (0, 1)
    }
    assert all(table[0, 0, r, e] == Seen.FAILED for r in (0, 1) for e in (0, 1))
    assert table[0, 1, 0, 0] == Seen.EARLY and table[0, 1, 1, 0] == Seen.UPDATED
    assert table[1, 0, 1, 0] == Seen.WAITING and table[1, 0, 1, 1] == Seen.OVERDUE


@pytest.mark.parametrize(
    "text", ["{}", '{"waves": [100]}', '{"waves": 3}', '{"waves": [100], "x": 1}']
)
def test_texts_that_are_no_plan(text):
    with pytest.raises(Malformed):
        parse_plan(text)


@pytest.mark.parametrize(
    ("canary", "waves", "names"),
    [(2, (50, 100), ["canary", "wave 50 %", "wave 100 %"]), (0, (100,), ["wave 100 %"])],
)
def test_steps_in_words(canary, waves, names):
    plan = Plan(canary=canary, waves=waves, max_fail=1, soak_s=0, shadow=False)
    assert [plan.step_name(n) for n in range(plan.steps)] == names


@pytest.mark.parametrize("text", ["{}", '{"waves": 7}', '{"waves": [100], "more": 1}'])
def test_what_is_no_plan_is_refused(text):
    with pytest.raises(Malformed) as caught:
        parse_plan(text)
    assert caught.value.reason == Reason.MALFORMED


def test_a_step_soaks_gives_way_to_the_next_and_the_last_one_enforces():
    plan = Plan(canary=1, waves=(100,), max_fail=2, soak_s=10, shadow=False)
    rollout = Rollout("r", plan, RolloutState.RUNNING, 0, 1_000)
    assert advance(rollout, 1, 10_999) == (rollout, "")
    following, told = advance(rollout, 1, 11_000)
    assert (following.step, following.step_ms, told) == (1, 11_000, "wave 100 % begins")
    assert following.reaches(1) and not rollout.reaches(1)
    done, told = advance(following, 1, 21_000)
    assert done.state is RolloutState.ENFORCED and told.startswith("enforced")
    assert done.reaches(99) and advance(done, 9, 99_000) == (done, "")
    paused, told = advance(rollout, 2, 99_000)
    assert paused.state is RolloutState.PAUSED and told.startswith(
        "paused: devices that match neither revision: 2"
    )
    assert paused.step == 0 and paused.reaches(0)
