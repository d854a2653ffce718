"""What time it is to a machine, and how far back it goes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from framegate.errors import Refused
from framegate_agent import trusted_clock
from framegate_agent.state import StateFile
from framegate_agent.trusted_clock import (
    BUILD_MS,
    FAST,
    LEEWAY_MS,
    PERIOD_MS,
    PERIODS,
    Sighting,
    TrustedClock,
)

BEGUN_MS = BUILD_MS + 30 * PERIOD_MS
HOUR_MS = 3_600_000
SECOND_MS = 1_000


def told(clock: TrustedClock, signed_ms: int, tpm_ms: int) -> bool:
    """Whether a challenge of that moment is followed, while the TPM's clock stands so."""
    if clock.is_past(signed_ms):
        try:
            clock.set_back(signed_ms, tpm_ms)
        except Refused:
            return False
    else:
        clock.correct(signed_ms)
    clock.saw(Sighting(signed_ms, tpm_ms))
    return True


class TimePasses(RuleBasedStateMachine):
    """A machine that is switched off and on, whose wall clock is anybody's; a controller that is
    ahead at times; and whoever has an old key and shows any moment.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now_ms, self.tpm_ms = BEGUN_MS, 5 * HOUR_MS
        self.off_ms = 0
        self.clock = TrustedClock(BEGUN_MS)
        assert told(self.clock, self.now_ms, self.tpm_ms)

    @rule(passed_ms=st.integers(SECOND_MS, 3 * HOUR_MS))
    def goes_on(self, passed_ms: int) -> None:
        """With power; it attests often."""
        self.now_ms += passed_ms
        self.tpm_ms += passed_ms

    @rule(passed_ms=st.integers(SECOND_MS, 20 * HOUR_MS), lost_ms=st.integers(0, HOUR_MS))
    def is_switched_off(self, passed_ms: int, lost_ms: int) -> None:
        """The TPM's clock stands still, or falls back by up to an hour."""
        lost_ms = min(lost_ms, self.tpm_ms)
        self.now_ms += passed_ms
        self.tpm_ms -= lost_ms
        self.off_ms += passed_ms + lost_ms
        self.clock = TrustedClock(self.clock.floor_ms, self.clock.marshal())

    @rule()
    def attests(self) -> None:
        """A controller that is right is followed, whatever was before."""
        assert told(self.clock, self.now_ms, self.tpm_ms)

    @rule(ahead_ms=st.integers(LEEWAY_MS, 12 * HOUR_MS))
    def attests_while_the_controller_is_ahead(self, ahead_ms: int) -> None:
        """For as long as that takes, and then it is set right at once."""
        assert told(self.clock, self.now_ms + ahead_ms, self.tpm_ms)
        self.attests()

    @rule(back_ms=st.integers(LEEWAY_MS + 1, 40 * PERIOD_MS))
    def an_old_key_is_shown(self, back_ms: int) -> None:
        """It is taken from below what was signed no further back than a machine cannot know better:
        while it was off, and one in a hundred of what passed.
        """
        clock = TrustedClock(self.clock.floor_ms, self.clock.marshal())
        was_past = clock.is_past(self.now_ms - back_ms)
        taken = told(clock, self.now_ms - back_ms, self.tpm_ms)
        unknown_ms = self.off_ms + (self.now_ms - BEGUN_MS) // FAST
        assert not (was_past and taken) or back_ms <= LEEWAY_MS + unknown_ms

    @rule(step_ms=st.integers(SECOND_MS, LEEWAY_MS), steps=st.integers(2, 40))
    def an_old_key_is_shown_step_by_step(self, step_ms: int, steps: int) -> None:
        """Each step is small, and all of them together go no further than one; after them the
        fleet's own controller is followed on.
        """
        clock = TrustedClock(self.clock.floor_ms, self.clock.marshal())
        unknown_ms = self.off_ms + (self.now_ms - BEGUN_MS) // FAST
        least_ms = min(self.clock.floor_ms, self.now_ms - unknown_ms) - LEEWAY_MS
        for step in range(1, steps):
            moment_ms = self.now_ms - step * step_ms
            assert not told(clock, moment_ms, self.tpm_ms) or moment_ms >= least_ms
        assert told(clock, self.now_ms, self.tpm_ms)

    @invariant()
    def says_no_earlier_than_was_signed(self) -> None:
        """As it says itself."""
        assert self.clock.now_ms() >= self.clock.floor_ms


TestTimePasses = TimePasses.TestCase


def test_a_controller_that_is_ahead_for_hours_is_followed_back():
    clock = TrustedClock(0)
    for minute in range(600):
        assert told(clock, BEGUN_MS + 60_000 * minute, 60_000 * minute)
    for minute in range(600, 1200):
        assert told(clock, BEGUN_MS + 60_000 * minute + HOUR_MS, 60_000 * minute)
    assert told(clock, BEGUN_MS + 60_000 * 1200, 60_000 * 1200)
    assert not clock.is_past(BEGUN_MS + 60_000 * 1200)


def test_after_two_days_ahead_it_is_not():
    clock = TrustedClock(0)
    assert told(clock, BEGUN_MS, 0)
    last_ms = 2 * PERIOD_MS + 2 * HOUR_MS
    for passed_ms in range(HOUR_MS, last_ms + 1, HOUR_MS):
        assert told(clock, BEGUN_MS + passed_ms + HOUR_MS, passed_ms)
    assert not told(clock, BEGUN_MS + last_ms, last_ms)
    assert told(clock, BEGUN_MS + last_ms + HOUR_MS, last_ms + HOUR_MS), "its time came"


@pytest.mark.parametrize(("fast", "followed"), [(1.005, True), (1.2, False)])
def test_a_tpm_whose_clock_is_fast_is_believed_but_for_one_in_a_hundred(fast, followed):
    clock = TrustedClock(0)
    assert told(clock, BEGUN_MS, 0)
    for passed_ms in range(HOUR_MS, 12 * HOUR_MS + 1, HOUR_MS):
        assert told(clock, BEGUN_MS + passed_ms + HOUR_MS, int(passed_ms * fast))
    assert told(clock, BEGUN_MS + 12 * HOUR_MS, int(12 * HOUR_MS * fast)) == followed


def test_one_that_was_cleared_knows_no_less_than_what_was_signed():
    clock = TrustedClock(0)
    assert told(clock, BEGUN_MS, 40 * HOUR_MS)
    assert told(clock, BEGUN_MS + 2 * HOUR_MS, 10)
    assert not told(clock, BEGUN_MS - LEEWAY_MS - 1, 20)
    assert told(clock, BEGUN_MS, 20), "what was signed before it was cleared"


def test_what_somebody_signs_of_years_to_come_is_no_end():
    clock = TrustedClock(0)
    assert told(clock, BEGUN_MS, 0)
    assert told(clock, BEGUN_MS + 3_650 * PERIOD_MS, 1_000)
    assert told(clock, BEGUN_MS + 2_000, 2_000)
    for day in range(1, 5):  # and periods go on by what time it is
        assert told(clock, BEGUN_MS + day * PERIOD_MS, day * PERIOD_MS)
    assert not told(clock, BEGUN_MS + 2 * PERIOD_MS, 4 * PERIOD_MS)


def test_it_is_never_earlier_than_this_program():
    kept = json.dumps({"begun_ms": 0, "seen": [[BUILD_MS - PERIOD_MS, 0]]}).encode()
    clock = TrustedClock(0, kept)
    clock.correct(BUILD_MS + PERIOD_MS)
    clock.set_back(BUILD_MS - PERIOD_MS, 0)
    assert clock.floor_ms == BUILD_MS and clock.now_ms() >= BUILD_MS


@pytest.mark.parametrize("step_ms", [1, 2 * SECOND_MS, LEEWAY_MS - 1, LEEWAY_MS])
def test_leeway_is_had_once_and_not_at_each_challenge(step_ms):
    clock = TrustedClock(0)
    assert told(clock, BEGUN_MS, 0)
    taken = [back for back in range(0, 40 * step_ms, step_ms) if told(clock, BEGUN_MS - back, 0)]
    assert max(taken) <= LEEWAY_MS
    assert clock.now_ms() >= BEGUN_MS - LEEWAY_MS


def test_nor_at_each_challenge_after_a_controller_that_was_ahead():
    clock = TrustedClock(0)
    assert told(clock, BEGUN_MS, 0)
    for step in range(40):
        told(clock, BEGUN_MS + HOUR_MS, 0)
        assert told(clock, BEGUN_MS - LEEWAY_MS * step, 0) == (step < 2)
    assert told(clock, BEGUN_MS, 0), "and who is right is followed on"


def test_a_tpm_whose_clock_was_fast_is_forgiven_by_what_is_signed_since():
    clock = TrustedClock(0)
    for hour in range(24):
        assert told(clock, BEGUN_MS + hour * HOUR_MS, int(1.2 * hour * HOUR_MS))
    last_ms, tpm_ms = BEGUN_MS + 23 * HOUR_MS, int(1.2 * 23 * HOUR_MS)
    assert told(clock, last_ms + HOUR_MS, tpm_ms)
    assert told(clock, last_ms, tpm_ms), "the controller was ahead"


@given(st.lists(st.tuples(st.integers(0, 1 << 50), st.integers(0, 1 << 50)), max_size=8))
def test_what_is_kept_is_what_was_remembered(seen):
    clock = TrustedClock(BEGUN_MS)
    for signed_ms, tpm_ms in seen:
        clock.saw(Sighting(signed_ms, tpm_ms))
    again = TrustedClock(BEGUN_MS, clock.marshal())
    assert again.marshal() == clock.marshal()
    assert len(json.loads(clock.marshal())["seen"]) <= PERIODS


@given(
    st.binary(max_size=64)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["seen", "begun_ms", "x"]), inner, max_size=3)
        ),
    ).map(lambda body: json.dumps(body).encode())
)
def test_whatever_else_lies_there_counts_for_nothing(kept):
    clock = TrustedClock(BEGUN_MS, kept)
    assert clock.floor_ms == BEGUN_MS
    assert json.loads(clock.marshal()).keys() == {"begun_ms", "seen"}


def test_that_it_counts_for_nothing_is_said(caplog):
    TrustedClock(BEGUN_MS, b"{")
    assert "not taken" in caplog.text and caplog.records[0].name == trusted_clock.__name__


def test_an_agent_starts_where_what_was_kept_cannot_be_read(tmp_path, caplog):
    file = StateFile(tmp_path)
    assert file.load_clock() == b"" and not caplog.records
    (tmp_path / "clock.json").mkdir()
    assert file.load_clock() == b""
    assert "cannot be read" in caplog.text
