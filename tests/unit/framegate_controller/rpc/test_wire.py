"""What is committed is told though its caller hangs up."""

import asyncio

import pytest

from framegate_controller.rpc.wire import to_the_end


async def test_what_is_committed_is_told_though_its_caller_hangs_up():
    committed, go_on, told = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        committed.set()
        await go_on.wait()
        told.set()

    call = asyncio.create_task(to_the_end(work()))
    await committed.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    go_on.set()
    await asyncio.wait_for(told.wait(), 1)
