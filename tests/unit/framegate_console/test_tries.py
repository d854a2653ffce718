"""Tries to sign in are counted by the browser's address, before the controller hears of any."""

import pytest

from framegate.errors import Reason, Refused
from framegate_console.tries import COUNTED, TRIES, TRIES_AT_ONE, WINDOW_S, Tries


def refused(tries: Tries, address: str, name: str, now: float) -> bool:
    try:
        tries.begin(address, name, now)
    except Refused as error:
        assert error.reason == Reason.LOCKED
        return True
    return False


def test_one_address_has_few_tries_at_one_name_and_others_have_theirs():
    tries = Tries()
    assert not any(refused(tries, "10.0.0.1", "anna", n) for n in range(TRIES_AT_ONE))
    assert refused(tries, "10.0.0.1", "anna", TRIES_AT_ONE)
    assert not refused(tries, "10.0.0.2", "anna", TRIES_AT_ONE)
    assert not refused(tries, "10.0.0.1", "olga", TRIES_AT_ONE)
    assert not refused(tries, "10.0.0.1", "anna", WINDOW_S + 1)


def test_one_address_has_so_many_at_all_names():
    tries = Tries()
    assert not any(refused(tries, "10.0.0.1", f"n{n}", n) for n in range(TRIES))
    assert refused(tries, "10.0.0.1", "another", TRIES)


def test_addresses_of_one_network_are_one():
    tries = Tries()
    for n in range(TRIES):
        tries.begin(f"2001:db8::{n:x}", f"n{n}", n)
    assert refused(tries, "2001:db8::ffff", "x", TRIES)


def test_a_session_is_a_fresh_start():
    tries = Tries()
    for n in range(TRIES_AT_ONE):
        tries.begin("10.0.0.1", "anna", n)
    tries.good("10.0.0.1", "anna")
    assert not refused(tries, "10.0.0.1", "anna", TRIES_AT_ONE)


def test_what_is_refused_is_not_counted_and_the_counters_are_bounded():
    tries = Tries()
    for _ in range(TRIES_AT_ONE):
        tries.begin("10.0.0.1", "anna", 0)
    for _ in range(50):
        with pytest.raises(Refused):
            tries.begin("10.0.0.1", "anna", 1)
    assert not refused(tries, "10.0.0.1", "anna", WINDOW_S + 0.5)
    for n in range(COUNTED + 10):
        tries.begin(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", "", 0)
    assert len(tries._seen) <= COUNTED
