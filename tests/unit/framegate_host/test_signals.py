"""How services end."""

import asyncio
import logging
import time

from framegate_host.signals import ended_within


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
        await asyncio.sleep(0.01)
        done.append(number)

    begun = time.monotonic()
    with caplog.at_level(logging.WARNING):
        await ended_within(0.2, hangs(), fails(), *(ends(n) for n in range(20)))
    await asyncio.sleep(0)
    assert sorted(done) == list(range(20)) and time.monotonic() - begun >= 0.2
    assert cut == ["hangs"] and "cut off" in caplog.text and "no disk" in caplog.text
