"""What a service manager is told, by a socket of ours in its place."""

import asyncio
import os
import signal
import socket

import pytest

from framegate_host.service_manager import MAX_STATUS, NOBODY, ServiceManager
from framegate_host.signals import until_stopped


@pytest.fixture
def listening(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        heard.settimeout(30)
        yield heard


def manager_of(listening, **more):
    return ServiceManager.of({"NOTIFY_SOCKET": listening.getsockname(), **more}, os.getpid())


def lines(listening):
    return listening.recv(4096).decode().splitlines()


def test_it_is_told_ready_stopping_and_signs_of_life(listening):
    manager = manager_of(listening)
    manager.ready("serves")
    manager.alive()
    manager.stopping("ends")
    assert lines(listening) == ["READY=1", "STATUS=serves"]
    assert lines(listening) == ["WATCHDOG=1"]
    assert lines(listening) == ["STOPPING=1", "STATUS=ends"]


def test_a_status_is_one_line_and_no_word_of_its_own(listening):
    manager_of(listening).status("cam\nREADY=1\x1b[2J" + "x" * 1000)
    (told,) = lines(listening)
    assert told.startswith("STATUS=cam?READY=1?[2J") and len(told) == len("STATUS=") + MAX_STATUS


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, 0.0),
        ({"WATCHDOG_USEC": "soon"}, 0.0),
        ({"WATCHDOG_USEC": "-5"}, 0.0),
        ({"WATCHDOG_USEC": "²"}, 0.0),
        ({}, 0.0),
    ],
)
def test_its_time_is_a_number_that_is_meant_for_this_process(listening, said, seconds):
    assert manager_of(listening, **said).watchdog_s == seconds


@pytest.mark.parametrize("address", ["", "notify", "vsock:2:1234", "../notify"])
def test_an_address_of_another_kind_is_nobody(address):
    assert ServiceManager.of({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1"}, 1) == NOBODY


def test_a_manager_that_is_gone_costs_nothing(tmp_path):
    ServiceManager(str(tmp_path / "gone"), 1.0).alive()
    NOBODY.alive()


def test_a_name_without_a_file_is_reached():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(f"\0framegate-test-{os.getpid()}")
        heard.settimeout(30)
        ServiceManager(f"@framegate-test-{os.getpid()}").alive()
        assert heard.recv(100) == b"WATCHDOG=1"


async def test_a_stop_lets_what_is_under_way_end_first(listening):
    went_on, drained = asyncio.Event(), asyncio.Event()

    async def drain():
        await asyncio.wait_for(went_on.wait(), 30)  # the work goes on beside it
        drained.set()

    async def work():
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0)
        went_on.set()
        await asyncio.Event().wait()

    await asyncio.wait_for(until_stopped(work(), manager=manager_of(listening), drain=drain), 30)
    assert drained.is_set() and lines(listening)[0] == "STOPPING=1"


async def test_a_second_stop_does_not_wait():
    begun, ended = asyncio.Event(), asyncio.Event()

    async def drain():
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def work():
        os.kill(os.getpid(), signal.SIGTERM)
        await begun.wait()
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.Event().wait()

    await asyncio.wait_for(until_stopped(work(), drain=drain), 30)
    await asyncio.wait_for(ended.wait(), 30)


async def test_a_drain_that_fails_ends_the_work_all_the_same():
    async def drain():
        raise OSError("disk away")

    async def work():
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.Event().wait()

    await asyncio.wait_for(until_stopped(work(), drain=drain), 30)


async def test_a_reload_is_told_from_its_begin_to_its_end(listening):
    read = asyncio.Event()

    async def work():
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.wait_for(read.wait(), 30)

    await until_stopped(work(), manager=manager_of(listening), reload=read.set)
    first, second = lines(listening), lines(listening)
    assert first[0] == "RELOADING=1" and first[1].startswith("MONOTONIC_USEC=")
    assert second == ["READY=1", "STATUS=settings were read again"]
