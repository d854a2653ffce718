"""What each camera has sent lately, as a gateway counts it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate_gateway.verdicts import traffic
from framegate_gateway.verdicts.traffic import RATE_S, WINDOW_S, Traffic
from framegate_simulators.fixtures.frames import passed

CAM = "camera.line-1.cam1"
NOW = 1_800_000_000_000


def verdict(at_ms: int, outcome: str = "PASS", reason: str = "", device: str = CAM):
    return passed(at_ms, device=device, outcome=outcome, reason=reason)


def row(book: Traffic, now_ms: int):
    (only,) = book.rows(now_ms)
    return only


def test_frames_a_second_and_the_last_minute():
    book = Traffic()
    for n in range(20):  # two a second, for ten seconds
        book.decided(verdict(NOW + 500 * n, "DEFECT" if n % 4 == 0 else "PASS"))
    seen = row(book, NOW + 10_000)
    assert (seen.frames_per_s, seen.outcomes) == (2.0, {"DEFECT": 5, "PASS": 15})
    assert seen.last_frame_ms == NOW + 9_500


def test_what_is_older_than_a_minute_is_not_lately():
    book = Traffic()
    book.decided(verdict(NOW))
    seen = row(book, NOW + WINDOW_S * 1000)
    assert (seen.frames_per_s, seen.outcomes, seen.last_frame_ms) == (0.0, {}, NOW)


def test_a_rate_forgets_sooner_than_the_minute():
    book = Traffic()
    book.decided(verdict(NOW))
    seen = row(book, NOW + (RATE_S + 1) * 1000)
    assert (seen.frames_per_s, seen.outcomes) == (0.0, {"PASS": 1})


def test_a_frame_that_never_came_is_uninspected_and_no_frame():
    book = Traffic()
    book.skipped(CAM, 3, NOW)
    seen = row(book, NOW + 1_000)
    assert (seen.last_frame_ms, seen.frames_per_s) == (0, 0.0)
    assert (seen.outcomes, seen.reason) == ({"UNINSPECTED": 3}, "frame-gap")


def test_the_most_frequent_reason_is_told():
    book = Traffic()
    for reason in ("stale", "quarantined", "quarantined"):
        book.decided(verdict(NOW, "UNINSPECTED", reason))
    assert row(book, NOW).reason == "quarantined"


def test_two_streams_of_a_camera_and_one_that_ends():
    book = Traffic()
    book.began(CAM, NOW)
    book.began(CAM, NOW + 1)
    book.ended(CAM, NOW + 2, in_peace=True)
    seen = row(book, NOW + 3)
    assert (seen.streams, seen.begun_ms, seen.ended_ms, seen.in_peace) == (
        1,
        NOW + 1,
        NOW + 2,
        True,
    )


def test_a_stream_that_breaks_off_after_one_that_ended_in_peace():
    book = Traffic()
    for peace in (True, False):
        book.began(CAM, NOW)
        book.ended(CAM, NOW + 2, in_peace=peace)
    assert (row(book, NOW).streams, row(book, NOW).in_peace) == (0, False)


def test_memory_is_bounded_and_the_longest_silent_goes_first(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(traffic, "MAX_CAMERAS", 3)
    book = Traffic()
    for n in range(3):
        book.decided(verdict(NOW, device=f"camera.line-1.c{n}"))
    book.decided(verdict(NOW, device="camera.line-1.c0"))
    book.decided(verdict(NOW, device="camera.line-1.new"))
    names = [r.device.split(".")[-1] for r in book.rows(NOW)]
    assert names == ["c0", "c2", "new"]


@given(
    st.lists(st.tuples(st.integers(0, 200_000), st.sampled_from(["PASS", "DEFECT"])), max_size=60)
)
def test_counts_are_those_of_the_window_whatever_the_times(rows: list[tuple[int, str]]):
    book, ordered = Traffic(), sorted(rows)
    for at, outcome in ordered:
        book.decided(verdict(NOW + at, outcome))
    now = NOW + (ordered[-1][0] if ordered else 0)
    inside = [at for at, _ in ordered if (NOW + at) // 1000 > now // 1000 - WINDOW_S]
    for seen in book.rows(now):
        assert sum(seen.outcomes.values()) == len(inside)
        assert len(book._cameras[CAM].seconds) <= WINDOW_S
