"""Frames that somebody chose to learn a golden image from."""

import pytest

from framegate.errors import FramegateError, Reason
from framegate.signed.part import MAX_LESSON
from framegate_gateway.ports import lessons
from framegate_gateway.ports.lessons import chosen_frames
from framegate_gateway.verdicts.journal import KeptFrame

IDS = [f"{n:064x}" for n in range(6)]


def chain_of(identifier: str):
    if identifier == "gap":
        return {"kind": "gap", "id": identifier}
    part_type = "other" if identifier == "other" else "t"
    return {"kind": "verdict", "id": identifier, "frame": {"part_type": part_type}}


async def frame_of(chain) -> KeptFrame:
    return KeptFrame(chain["id"].encode(), 1, ())


async def test_frames_come_as_they_were_chosen():
    frames = await chosen_frames(IDS, "t", chain_of, frame_of)
    assert frames == [i.encode() for i in IDS]


@pytest.mark.parametrize(
    "ids",
    [IDS[:4], [*IDS, IDS[0]], [f"{n:064x}" for n in range(MAX_LESSON + 1)], [*IDS, "a" * 65]],
    ids=["few", "twice", "many", "long"],
)
async def test_too_few_too_many_or_one_twice_are_no_lesson(ids):
    with pytest.raises(FramegateError) as refused:
        await chosen_frames(ids, "t", chain_of, frame_of)
    assert refused.value.reason == Reason.USAGE


@pytest.mark.parametrize("one", ["other", "gap"])
async def test_a_frame_of_another_part_or_none_at_all_is_not_learnt_from(one):
    with pytest.raises(FramegateError, match="type"):
        await chosen_frames([*IDS, one], "t", chain_of, frame_of)


async def test_together_they_are_no_more_than_a_lesson_may_hold(monkeypatch):
    monkeypatch.setattr(lessons, "MAX_BYTES", 200)
    with pytest.raises(FramegateError, match="200 bytes"):
        await chosen_frames(IDS, "t", chain_of, frame_of)
