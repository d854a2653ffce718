"""Which heads are of a record that was restored, and which of entries that were lost."""

import pytest

from framegate.record.branches import (
    LoggedRestoration,
    LostEntries,
    logged_restoration,
    part_heads,
    restorations_before,
)
from framegate.signed.receipt import Checkpoint

FIRST = LoggedRestoration(index=10, number=1, kept=10, seen=20, at_ms=100)
SECOND = LoggedRestoration(index=15, number=2, kept=14, seen=18, at_ms=200)


def head(size, at_ms, restorations=0):
    return Checkpoint("plant", size, "00", at_ms, restorations)


def body(**changes):
    members = {"number": 1, "kept": 4, "seen": 9} | changes
    at_ms = members.pop("at_ms", 7)
    return {"kind": "event", "event": "registry-restored", "at_ms": at_ms, "members": members}


def test_an_entry_tells_of_a_restoration_or_of_something_else():
    assert logged_restoration(5, body()) == [LoggedRestoration(5, 1, 4, 9, 7)]
    assert logged_restoration(5, {**body(), "event": "late"}) == []
    assert logged_restoration(5, {**body(), "kind": "access"}) == []


@pytest.mark.parametrize(
    "changes",
    [{"kept": 0}, {"kept": 6}, {"number": True}, {"seen": "9"}, {"at_ms": 7.0}, {"kept": None}],
)
def test_an_entry_that_tells_it_wrongly_is_refused(changes):
    with pytest.raises(ValueError, match="numbers of a restoration"):
        logged_restoration(5, body(**changes))


@pytest.mark.parametrize("name", ["number", "kept", "seen"])
def test_an_entry_that_leaves_a_member_out_is_refused(name):
    cut = body()
    del cut["members"][name]
    with pytest.raises(KeyError):
        logged_restoration(5, cut)


def test_heads_of_the_record_are_kept_and_others_are_lost():
    heads = [head(8, 50), head(20, 99), head(12, 98), head(14, 150, 1), head(30, 300, 2)]
    branches = part_heads(heads, [FIRST, SECOND])
    assert branches.refused == ""
    assert branches.kept == (heads[0], heads[3], heads[4])
    assert branches.lost == (LostEntries(10, 19, 100),)
    later = part_heads([head(17, 199, 1)], [FIRST, SECOND])
    assert later.lost == (LostEntries(14, 16, 200),)


@pytest.mark.parametrize(
    ("seen", "restored", "why"),
    [
        (head(8, 50, 1), [], "older copy"),
        (head(8, 50, 3), [FIRST, SECOND], "older copy"),
        (head(11, 101), [FIRST], "two controllers"),
        (head(21, 99), [FIRST], "more was lost than was said"),
        (head(8, 50), [SECOND, FIRST], "restorations in order"),
        (head(8, 50), [FIRST, FIRST], "restorations in order"),
    ],
)
def test_heads_that_nothing_owns_up_to_are_refused(seen, restored, why):
    branches = part_heads([seen], restored)
    assert why in branches.refused and branches.kept == () == branches.lost


def test_restorations_that_the_first_entries_tell_of():
    assert [restorations_before(n, [FIRST, SECOND]) for n in (10, 11, 15, 16)] == [0, 1, 1, 2]
