"""A program's threads stay together on one processor, and what it starts does not."""

import asyncio
import errno
import os
import threading
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from framegate_host import child_process, one_processor
from framegate_host.one_processor import OneProcessor, anywhere, on_one_processor

ALL = frozenset(os.sched_getaffinity(0))
needs_two = pytest.mark.skipif(len(ALL) < 2, reason="needs two processors to choose from")


@pytest.fixture(autouse=True)
def as_before():
    """Whatever a test did, this process may run everywhere again."""
    yield
    for thread in Path("/proc/self/task").iterdir():
        with suppress(ProcessLookupError):  # one of another test's that ended meanwhile
            os.sched_setaffinity(int(thread.name), ALL)


@contextmanager
def a_thread():
    """A thread that stands still; its number."""
    go, there = threading.Event(), threading.Event()
    numbers = []

    def stand():
        numbers.append(threading.get_native_id())
        there.set()
        go.wait()

    thread = threading.Thread(target=stand)
    thread.start()
    there.wait()
    try:
        yield numbers[0]
    finally:
        go.set()
        thread.join()


@needs_two
def test_every_thread_is_where_the_first_one_is_and_so_are_those_that_come_later():
    ours = OneProcessor()
    with a_thread() as before:
        there = ours.settle()
        with a_thread() as after:
            for number in (0, before, after):
                assert os.sched_getaffinity(number) == {there}
            ours.loosen()
            for number in (0, before, after):
                assert os.sched_getaffinity(number) == ALL


@needs_two
def test_it_stays_where_the_kernel_has_it(tmp_path):
    ours = {wanted: OneProcessor(tmp_path / str(wanted)) for wanted in ALL}
    for wanted in ALL:
        task = tmp_path / str(wanted) / str(os.getpid())
        task.mkdir(parents=True)
        # the program's name has what separates fields in it
        rest = " ".join(["S", *["0"] * 35, str(wanted), "0"])
        (task / "stat").write_text(f"{os.getpid()} (a ) b) {rest}\n")
        assert ours[wanted].settle() == wanted
        assert os.sched_getaffinity(0) == {wanted}


def test_a_processor_that_was_never_given_is_not_taken(tmp_path):
    task = tmp_path / str(os.getpid())
    task.mkdir()
    rest = " ".join(["S", *["0"] * 35, str(max(ALL) + 1), "0"])
    (task / "stat").write_text(f"{os.getpid()} (python) {rest}\n")
    assert OneProcessor(tmp_path).settle() == min(ALL)


def test_a_thread_that_has_ended_is_passed_over(tmp_path, monkeypatch):
    ours = OneProcessor(tmp_path)
    (tmp_path / "1").mkdir()
    asked = []

    def gone(number, processors):
        asked.append((number, processors))
        raise ProcessLookupError

    monkeypatch.setattr(os, "sched_setaffinity", gone)
    ours.loosen()
    monkeypatch.undo()
    assert asked == [(1, ALL)]


@needs_two
async def test_what_is_started_inside_may_run_everywhere():
    async with on_one_processor():
        assert len(os.sched_getaffinity(0)) == 1
        child = await child_process.start_module("asyncio.__main__")
        try:
            assert os.sched_getaffinity(child.process.pid) == ALL
        finally:
            child_process.end_child(child)
        assert len(os.sched_getaffinity(0)) == 1
    assert os.sched_getaffinity(0) == ALL
    with anywhere():
        assert os.sched_getaffinity(0) == ALL


async def test_nothing_changes_where_it_is_not_wanted(monkeypatch):
    monkeypatch.setattr(os, "sched_setaffinity", None)
    async with on_one_processor(wanted=False):
        assert os.sched_getaffinity(0) == ALL


async def test_nothing_changes_where_there_is_no_other_processor(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _number: {0})
    monkeypatch.setattr(os, "sched_setaffinity", None)
    async with on_one_processor():
        with anywhere():
            pass


@needs_two
async def test_a_kernel_that_refuses_leaves_threads_where_they_are(monkeypatch, caplog):
    def refused(_number, _processors):
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "sched_setaffinity", refused)
    with caplog.at_level("INFO"):
        async with on_one_processor():
            monkeypatch.undo()
            assert os.sched_getaffinity(0) == ALL
    assert "threads stay on all processors: Operation not permitted" in caplog.text


@needs_two
async def test_the_processor_is_chosen_anew_and_by_the_kernel(monkeypatch):
    """Each choice lets every thread go everywhere first."""
    seen, thrice = [], asyncio.Event()

    def note(_ours, processors):
        seen.append(processors)
        if len(seen) == 7:
            thrice.set()

    monkeypatch.setattr(one_processor, "LOOK_S", 0)
    monkeypatch.setattr(one_processor, "BREATH_S", 0)
    monkeypatch.setattr(OneProcessor, "_set", note)
    async with on_one_processor():
        await thrice.wait()
    assert [len(each) for each in seen[:7]] == [1, len(ALL), 1, len(ALL), 1, len(ALL), 1]
    assert seen[-1] == ALL


@needs_two
async def test_a_kernel_that_refuses_later_ends_the_choosing_and_not_the_program(
    monkeypatch, caplog
):
    told = asyncio.Event()

    def refused(_ours):
        told.set()
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(one_processor, "LOOK_S", 0)
    async with on_one_processor():
        monkeypatch.setattr(OneProcessor, "loosen", refused)
        await told.wait()
    assert "no processor is chosen any more: Invalid argument" in caplog.text
