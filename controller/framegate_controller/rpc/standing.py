"""Whether machines that watch still stand: asked of all together, for each is asked every second,
and a turn of a thread with a snapshot of its own costs several times what one row does.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from typing import Final

from framegate.errors import FramegateError

WITHIN_S: Final = 0.1
"""How long the first question waits for others: a tenth of a heartbeat."""
Answers = Mapping[bytes, FramegateError | None]
"""By key: why its machine does not stand, or None."""


class StandingTurns:
    """Questions that come within so long are one turn. Of the event loop alone, but `look`."""

    def __init__(
        self, look: Callable[[Collection[bytes]], Answers], within_s: float = WITHIN_S
    ) -> None:
        """`look` answers for all of some keys, in a thread."""
        self._look, self._within_s = look, within_s
        self._asked = defaultdict[bytes, list[asyncio.Future[None]]](list)
        self._turn: asyncio.Task[None] | None = None

    async def ask(self, key: bytes) -> None:
        """That the machine with this key stands, as of a moment after this. Raises what `look` says
        of it, or raises.
        """
        answer = asyncio.get_running_loop().create_future()
        self._asked[key].append(answer)
        if self._turn is None:
            self._turn = asyncio.create_task(self._turns(), name="who watches and stands")
        await answer

    async def _turns(self) -> None:
        while self._asked:
            await asyncio.sleep(self._within_s)
            asked, self._asked = self._asked, defaultdict(list)
            try:
                said = await asyncio.to_thread(self._look, tuple(asked))
            except Exception as error:  # noqa: BLE001 - it is raised where somebody asked
                _answer(asked, dict.fromkeys(asked, error))
            else:
                _answer(asked, said)
        self._turn = None


def _answer(
    asked: Mapping[bytes, list[asyncio.Future[None]]], said: Mapping[bytes, Exception | None]
) -> None:
    for key, answers in asked.items():
        for answer in answers:
            if answer.done():  # whoever asked has hung up
                continue
            if (error := said[key]) is not None:
                answer.set_exception(error)
            else:
                answer.set_result(None)
