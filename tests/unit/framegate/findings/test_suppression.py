"""Floods told in few findings: nothing is left out of a count, and devices do not crowd out each
other.
"""

from hypothesis import given
from hypothesis import strategies as st

from framegate.findings.kinds import MAX_SAID, FindingKind
from framegate.findings.suppression import WINDOW_MS, Key, Suppression

FROZEN = Key(FindingKind.FRAME_FROZEN, "camera.line-1.cam1", "frame-frozen")
OTHER = FROZEN._replace(device="camera.line-1.cam2")


def test_the_first_is_told_at_once_and_the_rest_as_one_count_a_minute():
    kept = Suppression()
    kept.add(FROZEN, 1_000, "first")
    (first,) = kept.due(1_000)
    assert (first.count, first.first_ms, first.last_ms, first.said) == (1, 1_000, 1_000, "first")
    for n in range(5):
        kept.add(FROZEN, 2_000 + n, "later", count=2)
    assert kept.due(3_000) == kept.due(WINDOW_MS + 999) == []
    (rest,) = kept.due(WINDOW_MS + 1_000)
    assert (rest.count, rest.first_ms, rest.last_ms) == (10, 2_000, 2_004)


def test_a_key_of_which_nothing_came_is_new_again_when_something_does():
    kept = Suppression()
    kept.add(FROZEN, 0)
    kept.add(Key(FindingKind.BROKER_TROUBLE, "", "x"), 0)
    assert len(kept.due(0)) == 2
    assert kept.due(WINDOW_MS) == []
    kept.add(FROZEN, WINDOW_MS + 1)
    assert [f.count for f in kept.due(WINDOW_MS + 1)] == [1]


def test_a_clock_that_goes_back_keeps_nothing_silent():
    kept = Suppression()
    kept.add(FROZEN, 5_000)
    kept.due(5_000)
    kept.add(FROZEN, 1_000)
    assert [f.count for f in kept.due(1_000)] == [1]


def test_the_most_urgent_comes_first_and_what_a_stranger_says_is_cut_and_printable():
    kept = Suppression()
    kept.add(Key(FindingKind.PILOT_PASSED, "", ""), 0)
    kept.add(OTHER, 0)
    kept.add(FROZEN, 0, "\x1b[2J" + "x" * 999)
    told = kept.due(0)
    assert [f.device for f in told] == [FROZEN.device, OTHER.device, ""]
    assert told[0].said.startswith("?[2Jx") and len(told[0].said) == MAX_SAID


def test_devices_past_the_limit_are_counted_together_and_come_back_when_there_is_room():
    kept = Suppression(most_devices=1)
    kept.add(FROZEN, 0)
    kept.add(FROZEN._replace(reason="another"), 0)
    kept.add(OTHER, 0)
    kept.add(OTHER._replace(device="camera.line-1.cam3"), 1, count=3)
    told = {(f.kind, f.device, f.reason): f.count for f in kept.due(1)}
    assert told[FindingKind.FOLDED, "", "frame-frozen"] == 4
    assert len(told) == 3
    kept.due(WINDOW_MS + 1)
    kept.add(OTHER, WINDOW_MS + 2)
    assert [f.device for f in kept.due(WINDOW_MS + 2)] == [OTHER.device]


@given(
    st.lists(
        st.tuples(st.sampled_from("abcd"), st.integers(0, 40_000), st.integers(1, 9)), max_size=40
    )
)
def test_no_sighting_is_ever_left_out_of_a_count(sightings):
    kept, now, told = Suppression(most_devices=2), 0, 0
    for device, later, count in sightings:
        now += later
        kept.add(FROZEN._replace(device=device), now, count=count)
        told += sum(f.count for f in kept.due(now))
    told += sum(f.count for f in kept.due(now + 2 * WINDOW_MS))
    assert told == sum(count for _, _, count in sightings)
