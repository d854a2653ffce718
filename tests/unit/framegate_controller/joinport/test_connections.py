"""N130, N138: who may be connected to the join port, and who gives way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.errors import Reason, Refused
from framegate_controller.joinport.connections import Connections


class Table(Connections):
    """Connections whose closing is noted."""

    def __init__(self, most: int, most_prefix: int) -> None:
        super().__init__(most, most_prefix)
        self.closed: list[str] = []

    def come(self, peer: str, name: str = "", now_s: float = 0.0):
        return self.admit(peer, lambda: self.closed.append(name), now_s)


def test_n130_the_quietest_of_a_crowded_prefix_gives_way_and_nobody_elses():
    table = Table(100, 2)
    table.come("ipv4:10.0.0.9", "other")
    table.come("ipv4:10.0.0.1", "first")
    table.come("ipv4:10.0.0.1", "second")
    assert table.come("ipv4:10.0.0.1", "third") is not None
    assert table.closed == ["first"] and table.count == 3


def test_n138_a_64_is_one_prefix():
    table = Table(100, 4)
    for host in range(50):
        assert table.come(f"ipv6:%5B2001:db8::{host:x}%5D", str(host)) is not None
    assert table.count == 4 and len(table.closed) == 46


def test_n130_who_calls_or_waits_for_a_tpm_gives_way_to_nobody():
    table = Table(100, 2)
    calling, waiting = table.come("p", "calling"), table.come("p", "waiting")
    waiting.challenged(0.0)
    with calling.calling():
        assert table.come("p", "new", 59.0) is None and table.closed == []
        assert table.come("p", "later", 60.0) is not None and table.closed == ["waiting"]
    waiting.answered()
    assert table.come("p", "last", 60.0) is not None and table.closed == ["waiting", "calling"]


def test_n130_when_all_is_full_the_largest_crowd_gives_way():
    table = Table(6, 5)
    table.come("camera", "camera")
    for n in range(5):
        table.come("flood", f"flood {n}")
    for n in range(3):
        assert table.come(f"new {n}", f"new {n}") is not None
    assert table.closed == ["flood 0", "flood 1", "flood 2"] and table.count == 6


def test_a_call_that_came_past_the_port_is_refused():
    table = Table(5, 5)
    connection = table.come("ipv4:10.0.0.1", "a")
    table.bind(connection, 4321)
    assert table.at("ipv4:127.0.0.1:4321") is connection
    for peer in ("ipv4:127.0.0.1:4322", "unix:", "", "ipv4:127.0.0.1:-1", "ipv4:127.0.0.1:²"):
        with pytest.raises(Refused) as caught:
            table.at(peer)
        assert caught.value.reason == Reason.UNAUTHENTICATED
    table.leave(connection)
    table.leave(connection)
    assert table.count == 0
    with pytest.raises(Refused):
        table.at("ipv4:127.0.0.1:4321")


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans()), max_size=200))
def test_n130_never_more_than_there_may_be(steps):
    table, alive = Table(10, 4), []
    for prefix, leaves in steps:
        if leaves and alive:
            table.leave(alive.pop(0))
            continue
        connection = table.come(prefix, prefix)
        if connection is not None:
            alive.append(connection)
        assert table.count <= 10
        assert all(len(group) <= 4 for group in table._by_prefix.values())
        assert table.count == sum(len(group) for group in table._by_prefix.values())
