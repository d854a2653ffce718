"""What is committed is told though its caller hangs up."""

import asyncio
import logging

import pytest

from framegate.errors import Reason, Refused
from framegate_controller.rpc import wire
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


class Ended(Exception):
    """The call was ended."""


@pytest.mark.parametrize("begun", [True, False])
async def test_a_stream_that_outlives_its_callers_certificate_is_not_refused(
    begun, caplog, monkeypatch
):
    """Certificates live for minutes, streams for days: each of them ends so, again and again."""

    async def end(_context, _error):
        raise Ended

    class Service:
        @wire.guarded_stream
        async def TrustFeed(self, _request, _context):
            if begun:
                yield "snapshot"
            raise Refused.of(Reason.CERTIFICATE_EXPIRED, "a certificate alive", "an old one")

    monkeypatch.setattr(wire, "abort", end)
    with caplog.at_level(logging.DEBUG), pytest.raises(Ended):
        async for _ in Service().TrustFeed(None, None):
            pass
    assert "refused" not in caplog.text
    assert ("ended with its caller's certificate" in caplog.text) == begun
    told = [r for r in caplog.records if r.levelno >= logging.INFO]
    assert bool(told) != begun, "what each of them does is no news"
    assert ("attests anew" in caplog.text) != begun
