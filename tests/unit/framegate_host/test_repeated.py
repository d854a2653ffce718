"""What repeats is said when it is news, and else now and then."""

import pytest

from framegate_host import repeated
from framegate_host.repeated import AGAIN_S, Repeated, more_of


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(repeated.time, "monotonic", lambda: now[0])
    return now


def test_the_first_is_said_and_the_next_alike_are_counted(clock):
    said = Repeated()
    assert [said.left_out("a") for _ in range(4)] == [0, None, None, None]
    clock[0] += AGAIN_S
    assert said.left_out("a") == 3, "it still is so"
    assert said.left_out("a") is None


def test_another_one_is_news_and_so_is_the_first_again(clock):
    said = Repeated()
    assert [said.left_out(w) for w in "aabba"] == [0, None, 1, None, 1]


def test_after_it_was_well_the_same_is_news(clock):
    said = Repeated()
    assert said.left_out("a") == 0 and said.left_out("a") is None
    said.over()
    assert said.left_out("a") == 0, "nobody counts what was before"


def test_nothing_may_be_said_too(clock):
    said = Repeated()
    assert said.left_out(None) == 0 and said.left_out("a") == 0


@pytest.mark.parametrize(("count", "words"), [(0, ""), (7, " (7 more like the last one said)")])
def test_words_for_what_was_left_out(count, words):
    assert more_of(count) == words
