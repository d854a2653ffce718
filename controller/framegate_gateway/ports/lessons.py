"""The frames of a lesson that somebody chose by their verdicts, instead of the next ones."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from framegate.errors import Reason, Refused
from framegate.signed.part import MAX_LESSON, MIN_LESSON
from framegate_gateway.inference.golden_learner import MAX_BYTES
from framegate_gateway.verdicts.journal import KeptFrame

MAX_ID: Final = 64
"""Letters of a verdict's id."""
FrameOf = Callable[[dict[str, Any]], Awaitable[KeptFrame]]
ChainOf = Callable[[str], dict[str, Any]]


async def chosen_frames(
    ids: Sequence[str], part_type: str, chain_of: ChainOf, frame_of: FrameOf
) -> list[bytes]:
    """The frames of these verdicts, as cameras sent them.

    1. `MIN_LESSON` to `MAX_LESSON` of them, each once; 2. each is of `part_type`, by its receipt's
    leaf; 3. each is kept here still; 4. together they are no more than a lesson may hold.
    `chain_of` is what stands behind a verdict, of which it blocks to read.
    Raises Refused (USAGE, NOT_FOUND).
    """
    if (
        not MIN_LESSON <= len(set(ids)) == len(ids) <= MAX_LESSON or max(map(len, ids)) > MAX_ID
    ):  # 1
        wanted = f"{MIN_LESSON} to {MAX_LESSON} verdicts, each once"
        raise Refused.of(Reason.USAGE, wanted, f"{len(ids)}, {len(set(ids))} of them different")
    frames: list[bytes] = []
    for identifier in ids:
        chain = await asyncio.to_thread(chain_of, identifier)
        shown = chain["frame"]["part_type"] if chain["kind"] == "verdict" else chain["kind"]
        if shown != part_type:  # 2
            expected = f"a verdict on a part of type {ascii(part_type)[:60]}"
            raise Refused.of(Reason.USAGE, expected, f"{ascii(shown)[:60]} in {identifier[:16]}")
        frames.append((await frame_of(chain)).image)  # 3
        if sum(map(len, frames)) > MAX_BYTES:  # 4
            hint = "choose fewer of them"
            raise Refused.of(Reason.USAGE, f"frames of at most {MAX_BYTES} bytes", "more", hint)
    return frames
