"""Token buckets: what they give, and what they forget."""

from hypothesis import given
from hypothesis import strategies as st

from framegate_host.token_buckets import Rate, TokenBuckets


def test_a_burst_and_then_so_much_a_second():
    buckets = TokenBuckets(Rate(3, 2), 10)
    assert [buckets.take("a", 0) for _ in range(4)] == [True, True, True, False]
    assert not buckets.take("a", 499) and buckets.take("a", 500) and not buckets.take("a", 500)
    assert buckets.take("b", 500), "another's share is its own"
    assert buckets.level("a", 500) == 0 and buckets.level("a", 750) == 0.5


def test_what_is_refused_costs_nothing_and_what_is_looked_at_neither():
    buckets = TokenBuckets(Rate(10, 1), 10)
    assert not buckets.take("a", 0, 11)
    assert buckets.level("a", 0) == buckets.level("a", 0) == 10 and buckets.take("a", 0, 10)
    assert buckets.level("a", 0) == 0


def test_a_clock_that_goes_back_fills_nothing_and_empties_nothing_for_as_long():
    buckets = TokenBuckets(Rate(1, 1), 10)
    assert buckets.take("a", 3_600_000) and not buckets.take("a", 0)
    assert not buckets.take("a", 900) and buckets.take("a", 1_000)


def test_nor_for_whoever_only_looks():
    buckets = TokenBuckets(Rate(1, 1), 10)
    assert buckets.take("a", 3_600_000) and buckets.level("a", 0) == 0
    assert buckets.level("a", 1_000) == 1


def test_what_somebody_else_counted_is_learned():
    buckets = TokenBuckets(Rate(10, 1), 2)
    buckets.learn("a", 2.5, 0)
    assert buckets.level("a", 0) == 2.5 and buckets.level("a", 1_000) == 3.5
    for key in ("b", "c"):
        buckets.learn(key, 0, 0)
    assert len(buckets) == 2 and buckets.level("a", 0) == 10


def test_the_bucket_untouched_for_longest_is_forgotten_first():
    buckets = TokenBuckets(Rate(1, 0.001), 2)
    for key in ("a", "b", "c"):
        assert buckets.take(key, 0)
    assert len(buckets) == 2
    assert buckets.take("a", 0) and not buckets.take("c", 0)


@given(st.lists(st.tuples(st.integers(0, 5_000), st.floats(0.1, 5)), max_size=50))
def test_never_more_than_burst_and_rate_allow(steps):
    buckets, now, given_out = TokenBuckets(Rate(7, 3), 4), 0, 0.0
    for wait_ms, cost in steps:
        now += wait_ms
        if buckets.take("k", now, cost):
            given_out += cost
    assert given_out <= 7 + 3 * now / 1000 + 1e-6
