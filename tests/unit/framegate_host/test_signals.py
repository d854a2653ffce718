"""How services end."""

import asyncio
import errno
import logging
import time

import pytest

from framegate.errors import Reason, Unavailable
from framegate_host.signals import ended_within, run_service


async def test_ends_are_awaited_beside_each_other_and_none_waits_for_another(caplog):
    cut, done = [], []

    async def hangs():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cut.append("hangs")
            raise

    async def fails():
        raise OSError("no disk")

    async def ends(number):
        await asyncio.sleep(0)  # by turns of the loop: of its time a busy machine may take all
        done.append(number)

    begun = time.monotonic()
    with caplog.at_level(logging.WARNING):
        await ended_within(0.2, hangs(), fails(), *(ends(n) for n in range(20)))
    await asyncio.sleep(0)
    assert sorted(done) == list(range(20)) and time.monotonic() - begun >= 0.2
    assert cut == ["hangs"] and "cut off" in caplog.text and "no disk" in caplog.text


async def grouped(error):
    async with asyncio.TaskGroup() as group:
        group.create_task(failing(error))


async def failing(error):
    raise error


def test_a_folder_that_is_removed_under_a_service_ends_it_in_a_sentence(caplog):
    gone = FileNotFoundError(errno.ENOENT, "No such file or directory", "/state/receipts.db")
    with pytest.raises(Unavailable) as caught:
        run_service(grouped(gone))
    (told,) = caught.value.failures
    assert "/state/receipts.db: No such file" in told.actual and "put it back" in told.hint


def test_what_is_no_systems_fault_stays_what_it_is():
    with pytest.raises(ExceptionGroup):
        run_service(grouped(ValueError("ours")))
    with pytest.raises(Unavailable) as caught:
        run_service(grouped(Unavailable.of(Reason.TRUST_FEED, "a feed", "none")))
    assert caught.value.reason == Reason.TRUST_FEED
    with pytest.raises(OSError):
        run_service(failing(OSError(errno.EADDRINUSE, "taken")))
