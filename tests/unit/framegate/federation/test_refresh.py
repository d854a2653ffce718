"""What a bundle that was fetched again may say."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.errors import Reason, Refused
from framegate.federation.bundle import TrustBundle
from framegate.federation.refresh import refreshed

ROOTS = [b"root %d" % n for n in range(5)]


def of(*roots: int, sequence: int = 7, fleet: str = "north") -> TrustBundle:
    chosen = tuple(ROOTS[n] for n in roots)
    return TrustBundle(fleet=fleet, sequence=sequence, refresh_s=60, roots=chosen)


def test_the_same_bundle_changes_nothing():
    held = refreshed(of(0), 7, of(0))
    assert (held.sequence, held.refresh_s, held.offered) == (7, 60, ())


def test_a_key_beside_is_offered_and_does_not_count():
    held = refreshed(of(0), 7, of(0, 1, sequence=8))
    assert held.sequence == 8
    assert held.offered == tuple(of(1).keys)


@pytest.mark.parametrize(
    ("fetched", "why"),
    [
        (of(0, sequence=6), "goes back"),
        (of(1, sequence=8), "vanished"),
        (of(0, sequence=8), "vanished"),
        (of(0, 1, sequence=8, fleet="south"), "south"),
    ],
    ids=["back", "other-key", "one-less", "other-fleet"],
)
def test_what_is_refused(fetched, why):
    with pytest.raises(Refused, match=why) as caught:
        refreshed(of(0, 1), 7, fetched)
    assert caught.value.reason is Reason.SITE_BUNDLE


def test_what_was_seen_and_not_what_was_pinned_is_the_least():
    with pytest.raises(Refused, match="goes back"):
        refreshed(of(0, sequence=7), 9, of(0, sequence=8))


_SETS = st.sets(st.integers(0, 4), min_size=1)


@given(_SETS, _SETS, st.integers(0, 9), st.integers(0, 9))
def test_whatever_is_taken_has_every_approved_key_and_never_goes_back(mine, theirs, seen, now):
    pinned, fetched = of(*mine), of(*theirs, sequence=now)
    try:
        held = refreshed(pinned, seen, fetched)
    except Refused:
        assert now < seen or not mine <= theirs
        return
    assert mine <= theirs
    assert held.sequence == now >= seen
    assert set(held.offered) == replace(fetched, roots=tuple(ROOTS[n] for n in theirs - mine)).keys
