"""What /proc says of a process, also of one that is ending."""

import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest

from framegate_simulators.process_readings import (
    children_of,
    descriptors_of,
    processor_s,
    resident_kib,
    status_kib,
)

FOR_CLOCK_TICKS_S = 0.05
"""A process's time is counted in ticks of a hundredth of a second."""


@contextmanager
def waiting(first="pass"):
    """A child that has done `first` and waits."""
    argv = [sys.executable, "-c", f"{first}; print('up', flush=True); input()"]
    child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert child.stdout.readline() == b"up\n"
        yield child
    finally:
        child.communicate(b"\n")


def ended():
    """The number of a process that has ended and was waited for."""
    with waiting() as child:
        pass
    return child.pid


def test_children_of_every_thread_are_found():
    """One that the first thread began, and one of another."""
    found, go, there = [], threading.Event(), threading.Event()

    def begin():
        with waiting() as child:
            found.append(child.pid)
            there.set()
            go.wait()

    thread = threading.Thread(target=begin)
    with waiting() as child:
        thread.start()
        assert there.wait(60)
        try:
            assert {child.pid, *found} <= set(children_of(os.getpid()))
        finally:
            go.set()
            thread.join()
    assert not {child.pid, *found} & set(children_of(os.getpid()))


def test_children_are_found_while_threads_end():
    """Each look meets threads that end before they are asked."""
    over = threading.Event()

    def come_and_go():
        while not over.is_set():
            thread = threading.Thread(target=int)
            thread.start()
            thread.join()

    thread = threading.Thread(target=come_and_go)
    with waiting() as child:
        thread.start()
        try:
            for _ in range(200):
                assert child.pid in children_of(os.getpid())
        finally:
            over.set()
            thread.join()


def test_a_process_that_is_gone_has_neither_children_nor_memory():
    gone = ended()
    assert (children_of(gone), resident_kib(gone)) == ([], 0)
    with pytest.raises(FileNotFoundError):
        processor_s(gone)
    with pytest.raises(FileNotFoundError):
        list(descriptors_of(gone))


def test_one_that_was_not_waited_for_has_no_memory_any_more():
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert resident_kib(child.pid) == 0
    child.wait()


def test_memory_is_what_is_held():
    with waiting() as small, waiting(f"held = b'x' * {64 << 20}") as large:
        grown = resident_kib(large.pid) - resident_kib(small.pid)
        assert 60 * 1024 < grown < 72 * 1024
        assert status_kib(large.pid, "VmHWM") >= resident_kib(large.pid)
        assert status_kib(large.pid, "no such name") == 0


def test_time_is_what_the_process_took_and_that_of_its_children_where_it_is_wanted():
    busy = "import time\nwhile time.process_time() < 0.5: pass"
    of_child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {busy!r}])"
    with waiting(of_child) as child:
        own = processor_s(child.pid)
        assert own < 0.5 - FOR_CLOCK_TICKS_S
        assert processor_s(child.pid, ended_children=True) - own > 0.5 - FOR_CLOCK_TICKS_S
    before, spent = processor_s(os.getpid()), time.process_time()
    while time.process_time() < spent + 0.2:
        pass
    assert processor_s(os.getpid()) - before > 0.2 - FOR_CLOCK_TICKS_S


def test_descriptors_are_told_with_what_they_lead_to(tmp_path):
    with (tmp_path / "there").open("w") as file:
        assert (file.fileno(), str(tmp_path / "there")) in list(descriptors_of(os.getpid()))
    assert str(tmp_path / "there") not in {leads for _, leads in descriptors_of(os.getpid())}


def test_a_file_that_is_closed_while_they_are_told_is_passed_over(tmp_path):
    with (tmp_path / "first").open("w"):
        second = (tmp_path / "second").open("w")
        told = descriptors_of(os.getpid())
        seen = [next(told)]
        second.close()
        seen += told
    leads = {each for _, each in seen}
    assert str(tmp_path / "first") in leads and str(tmp_path / "second") not in leads
