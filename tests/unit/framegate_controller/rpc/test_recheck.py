"""Streams whose peer's standing is asked about."""

import asyncio

import pytest

from framegate.errors import Reason, Refused
from framegate_controller.rpc.recheck import Recheck


async def test_a_slow_registry_holds_up_no_message_and_ends_the_stream_once_it_says_no():
    answered, asked = asyncio.Event(), []

    async def question() -> None:
        asked.append(1)
        await answered.wait()
        raise Refused.of(Reason.NOT_TRUSTED, "a", "b")

    recheck = Recheck(question, every_s=0)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    for _ in range(3):
        await recheck.ask()
    assert loop.time() - begun < 1 and asked == [1]
    answered.set()
    await asyncio.sleep(0.01)
    with pytest.raises(Refused):
        await recheck.ask()
    recheck.close()


async def test_a_peer_is_asked_about_every_so_often_and_at_once_refused():
    times = []

    async def question() -> None:
        times.append(1)

    recheck = Recheck(question, every_s=0.2)
    for _ in range(5):
        await recheck.ask()
    assert times == []
    await asyncio.sleep(0.25)
    for _ in range(5):
        await recheck.ask()
    assert times == [1]

    async def refusal() -> None:
        raise Refused.of(Reason.NOT_TRUSTED, "a", "b")

    with pytest.raises(Refused):
        await Recheck(refusal, every_s=-1).ask()
