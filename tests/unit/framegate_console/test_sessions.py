"""Sessions: in memory, each under a value that is drawn here, ended for good."""

import time

import pytest

from framegate.errors import Refused
from framegate_console.sessions import Session, Sessions


def session(name: str = "anna", life_s: float = 60) -> Session:
    until = int((time.time() + life_s) * 1000)
    return Session(name, b"chain", b"key", None, (), until, "127.0.0.1:1")


def test_a_value_finds_its_session_and_no_other():
    kept = Sessions(8)
    anna, olga = session(), session("olga")
    values = [kept.begin(anna, None), kept.begin(olga, None)]
    assert [kept.of(v) for v in values] == [anna, olga]
    assert kept.of(values[0][:-1]) is None and kept.of("") is None and kept.of(None) is None


def test_the_value_itself_is_not_kept():
    kept = Sessions(8)
    value = kept.begin(session(), None)
    assert all(value.encode() not in key for key in kept._sessions)
    assert len(value) >= 43, "256 bits"


def test_beginning_another_ends_the_one_that_was_there():
    kept, first = Sessions(8), session()
    value = kept.begin(first, None)
    again = kept.begin(session("olga"), value)
    assert first.ended and kept.of(value) is None and kept.of(again).operator == "olga"


@pytest.mark.parametrize("how", ["time", "end", "sign-out", "all"])
def test_one_that_is_over_opens_nothing_and_forgets_its_key(how):
    kept, one = Sessions(8), session(life_s=-1 if how == "time" else 60)
    stopped = []
    one.at_end.append(lambda: stopped.append(one))
    value = kept.begin(one, None)
    {"time": lambda: None, "end": one.end, "all": kept.end_all}.get(how, lambda: kept.end(value))()
    assert kept.of(value) is None
    assert one.ended and one.key == b"" and stopped == [one]


def test_there_are_only_so_many_and_those_that_are_over_make_room():
    kept, short = Sessions(2), session()
    kept.begin(short, None)
    kept.begin(session(), None)
    with pytest.raises(Refused, match="at most 2 sessions"):
        kept.begin(session(), None)
    short.end()
    kept.begin(session(), None)
