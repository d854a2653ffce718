"""Programs that serve look for cycles rarely, and give them back all the same."""

import gc
import weakref

import pytest

from framegate_host.cycles import NEW_OBJECTS, looked_for_rarely
from framegate_host.signals import run_service


class Circle:
    """Two of them that hold each other, or a crowd in a list."""

    other: "Circle"


def test_within_it_and_after_it():
    before = gc.get_threshold()
    with looked_for_rarely():
        assert gc.get_threshold() == (NEW_OBJECTS, *before[1:]) and before[0] < NEW_OBJECTS
    assert gc.get_threshold() == before


def test_what_fails_in_it_leaves_it_too():
    before = gc.get_threshold()
    with pytest.raises(RuntimeError), looked_for_rarely():
        raise RuntimeError
    assert gc.get_threshold() == before


def test_a_service_runs_within_it():
    seen = []

    async def work():
        seen.append(gc.get_threshold()[0])

    run_service(work())
    assert seen == [NEW_OBJECTS]


def test_a_circle_goes_by_itself_once_that_many_objects_came():
    gc.collect()  # no look of before falls in between: what it finds alive is old to the next ones
    first = Circle()
    first.other = Circle()
    first.other.other = first
    alive = weakref.ref(first)
    with looked_for_rarely():
        del first
        kept = [Circle() for _ in range(NEW_OBJECTS // 2)]
        assert alive() is not None, "not yet: it is looked for rarely"
        kept += [Circle() for _ in range(NEW_OBJECTS)]
        assert alive() is None and len(kept) > NEW_OBJECTS
