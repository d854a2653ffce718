"""What a child that is forked collects: nothing that was there before it."""

import gc
import os

import pytest

from framegate_simulators.chaos.forked import fork


class Poller:
    """In a cycle, and noticed as it goes, as a server's queue that joins its thread is."""

    gone = 0

    def __init__(self):
        self.own = self

    def __del__(self):
        Poller.gone += 1


@pytest.mark.parametrize(("of_before", "expected"), [(True, 0), (False, 1)])
def test_a_child_collects_what_is_its_own_alone(of_before, expected):
    gc.collect()
    Poller.gone = 0
    if of_before:
        Poller()
    child = fork()
    if not child:
        if not of_before:
            Poller()
        gc.collect()
        os._exit(Poller.gone)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == expected
    assert gc.isenabled()
