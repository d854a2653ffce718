"""A lesson on a gateway."""

import asyncio
import json

import pytest

from framegate.errors import Refused, Unavailable
from framegate_gateway.inference.golden_learner import GoldenLearner


async def test_a_lesson_takes_frames_of_its_part_and_ends():
    learner = GoldenLearner()
    learner.offer("board", b"before it begins")

    async def line() -> None:
        for number in range(20):
            await asyncio.sleep(0)
            learner.offer("other", b"x")
            learner.offer("board", b"%d" % number)

    async def learn() -> list[bytes]:
        async with learner.lesson("board", 6, 5) as frames:
            return list(frames)

    taken, _ = await asyncio.gather(learn(), line())
    assert len(taken) == 6 and b"before" not in b"".join(taken)
    with pytest.raises(Unavailable):
        async with learner.lesson("board", 6, 0.01):
            pass
    for frames, wait in ((2, 5), (100, 5), (6, 10_000)):
        with pytest.raises(Refused):
            async with learner.lesson("board", frames, wait):
                pass
    assert json.dumps(taken[0].decode())
