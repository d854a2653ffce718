"""A commission on a gateway: numbers of sound frames, one commission at a time."""

import contextlib
import json

import pytest

from framegate.errors import Refused, Unavailable
from framegate.looks.kinds import Look
from framegate.looks.limits import MIN_COMMISSION
from framegate_gateway.inference.commissioning import Commissioning, measured_rows
from support.looks import inspected, sound_rows

DEFECT = ({"kind": "open", "score": 0.9, "box": [0, 0, 1, 1]},)


async def test_sound_frames_of_the_part_count_and_nothing_else():
    commissioning = Commissioning()
    rows = sound_rows(MIN_COMMISSION + 50)
    assert not commissioning.wants("board")
    commissioning.offer("cam1", "board", inspected(rows[0], []))

    async with contextlib.aclosing(commissioning.collect("board", MIN_COMMISSION, 30)) as growing:
        assert not (await anext(growing)).rows
        assert commissioning.wants("board") and not commissioning.wants("other")
        for number, one in enumerate(rows):
            commissioning.offer("cam1", "other", inspected(one, []))
            commissioning.offer("cam1", "board", inspected({}, []))
            if number < 3:
                commissioning.offer("cam2", "board", inspected(one, [], DEFECT))
            commissioning.offer("cam1", "board", inspected(one, []))
        now = [now async for now in growing][-1]
    count = len(now.rows)
    assert count == MIN_COMMISSION and now.rows == rows[:MIN_COMMISSION]
    assert now.left_out == 3 and now.cameras == {"cam1"}
    assert not commissioning.wants("board")
    body = json.loads(measured_rows(now))
    assert body["cameras"] == ["cam1"] and len(body["looks"]["residual"]) == MIN_COMMISSION
    assert Look.GROUNDLESS not in body["looks"]


@pytest.mark.parametrize(
    ("frames", "wait"), [(MIN_COMMISSION - 1, 5), (2001, 5), (240, 0), (240, 3601)]
)
async def test_what_cannot_be_a_commission_is_refused(frames, wait):
    with pytest.raises(Refused):
        await anext(Commissioning().collect("board", frames, wait))


async def test_one_at_a_time_and_the_next_after_it_was_given_up():
    commissioning = Commissioning()
    async with contextlib.aclosing(commissioning.collect("board", 200, 60)) as first:
        await anext(first)
        with pytest.raises(Refused):
            await anext(commissioning.collect("other", 200, 60))
    async with contextlib.aclosing(commissioning.collect("other", 200, 60)) as second:
        await anext(second)
        assert commissioning.wants("other")


async def test_a_line_that_brings_too_few_ends_it():
    with pytest.raises(Unavailable):
        async for now in Commissioning().collect("board", 200, 0.01):
            assert not now.rows
