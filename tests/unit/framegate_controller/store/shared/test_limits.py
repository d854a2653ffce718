"""Limits on tries at signing in."""

from hypothesis import given
from hypothesis import strategies as st

from framegate.errors import Reason
from framegate_controller.store.shared.limits import PAIR_TRIES, InMemorySignInLimits
from support.refusals import refused


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
        (limits.good if good else limits.failed)(name, address, now)
        limits.check("a", "home", now)


@given(st.integers(1, 12), st.integers(0, 299_000))
def test_limits_open_again_after_their_window(failures, gap):
    limits = InMemorySignInLimits()
    for at in range(failures):
        limits.failed("a", "x", at)
    if failures >= PAIR_TRIES and gap < 299_000 - failures:
        assert refused(lambda: limits.check("a", "x", failures + gap)) == Reason.LOCKED
    limits.check("a", "x", failures + 300_001)
