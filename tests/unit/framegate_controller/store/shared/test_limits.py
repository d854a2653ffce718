"""Limits on tries at signing in."""

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from framegate.errors import Reason, Refused
from framegate_controller.store.shared.limits import (
    AHEAD_MS,
    PAIR_TRIES,
    PAIR_WINDOW_MS,
    InMemorySignInLimits,
)
from framegate_controller.store.shared.tries import InMemoryTicketTries
from framegate_controller.timing import TICKET_TRIES, TICKET_WINDOW_S
from support.refusals import refused

HOUR_MS = 3_600_000


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b"]),
            st.sampled_from(["x", "y", "z"]),
            st.integers(0, 400_000),
            st.booleans(),
        ),
        max_size=80,
    )
)
def test_limits_never_hold_a_known_pair_for_what_others_do(steps):
    """Whatever strangers do from other addresses, (a, home) is open: its own failures are zero."""
    limits, now = InMemorySignInLimits(), 0
    limits.know("a", "home")
    for name, address, later, good in steps:
        now += later
        with suppress(Refused):
            tried = limits.begin(name, address, now)
            if good:
                limits.good(tried)
        limits.right(limits.begin("a", "home", now))


@given(st.integers(1, 12), st.integers(0, 299_000))
def test_limits_open_again_after_their_window(failures, gap):
    limits = InMemorySignInLimits()
    for at in range(failures):
        with suppress(Refused):
            limits.begin("a", "x", at)
    if failures >= PAIR_TRIES and gap < 299_000 - failures:
        assert refused(lambda: limits.begin("a", "x", failures + gap)) == Reason.LOCKED
    limits.begin("a", "x", failures + 300_001)


@given(st.lists(st.sampled_from(["right", "wrong", "good"]), max_size=40))
def test_tries_that_were_right_are_not_counted(outcomes):
    limits, wrong = InMemorySignInLimits(), 0
    for outcome in outcomes:
        if wrong >= PAIR_TRIES:
            assert refused(lambda: limits.begin("a", "x", 0)) == Reason.LOCKED
            return
        tried = limits.begin("a", "x", 0)
        wrong += outcome == "wrong"
        if outcome == "right":
            limits.right(tried)
        elif outcome == "good":
            limits.good(tried)
            wrong = 0


@given(st.integers(0, 12 * HOUR_MS))
def test_tries_that_a_clock_counted_that_was_ahead_hold_nobody_up_once_it_is_right(ahead_ms):
    """They count as those of now do, for as long and no longer."""
    limits, tickets, now = InMemorySignInLimits(), InMemoryTicketTries(), HOUR_MS
    for _ in range(PAIR_TRIES):
        limits.begin("a", "x", now + ahead_ms)
    for _ in range(TICKET_TRIES):
        tickets.begin("x", now + ahead_ms)
    assert refused(lambda: limits.begin("a", "x", now)) == Reason.LOCKED
    assert refused(lambda: tickets.begin("x", now)) == Reason.TOO_MANY_TRIES
    limits.begin("a", "x", now + AHEAD_MS + PAIR_WINDOW_MS)
    tickets.begin("x", now + AHEAD_MS + int(TICKET_WINDOW_S * 1000) + 1)
