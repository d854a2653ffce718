"""Whether machines that watch still stand, asked of all together."""

import asyncio
import threading

import pytest

from framegate.errors import Reason, Refused
from framegate_controller.rpc.standing import StandingTurns

FALLEN = Refused.of(Reason.CERTIFICATE, "a present key", "another")


class Registry:
    """What machines stand; notes each turn. The first waits for `gate`, where there is one."""

    def __init__(self, fallen=(), gate=None) -> None:
        self.fallen, self.gate, self.turns = set(fallen), gate, []
        self.begun = threading.Event()

    def __call__(self, keys):
        self.turns.append(set(keys))
        self.begun.set()
        if self.gate is not None:
            assert self.gate.wait(30)
        return {key: FALLEN if key in self.fallen else None for key in keys}


async def test_all_that_ask_together_are_one_turn_and_each_is_answered_its_own():
    registry = Registry(fallen={b"b"})
    turns = StandingTurns(registry, 0.0)
    asked = [asyncio.create_task(turns.ask(key)) for key in (b"a", b"b", b"a", b"c")]
    a, b, again, c = await asyncio.gather(*asked, return_exceptions=True)
    assert registry.turns == [{b"a", b"b", b"c"}]
    assert (a, again, c) == (None, None, None) and b is FALLEN


async def test_who_asks_during_a_turn_is_answered_by_the_next():
    """What a turn has read may be older than the question."""
    gate = threading.Event()
    registry = Registry(gate=gate)
    turns = StandingTurns(registry, 0.0)
    first = asyncio.create_task(turns.ask(b"a"))
    assert await asyncio.to_thread(registry.begun.wait, 30)
    registry.fallen.add(b"a")
    second = asyncio.create_task(turns.ask(b"a"))
    await asyncio.sleep(0)
    gate.set()
    with pytest.raises(Refused):
        await second
    assert registry.turns == [{b"a"}, {b"a"}]
    await asyncio.gather(first, return_exceptions=True)


async def test_a_registry_that_is_away_answers_nobody_and_the_next_turn_is_another():
    registry = Registry()
    away = [OSError("away")]

    def look(keys):
        if away:
            raise away.pop()
        return registry(keys)

    turns = StandingTurns(look, 0.0)
    asked = [asyncio.create_task(turns.ask(key)) for key in (b"a", b"b")]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(answer) for answer in answers] == [OSError, OSError]
    await turns.ask(b"a")
    assert registry.turns == [{b"a"}]


async def test_who_hangs_up_takes_nobodys_answer_with_them():
    gate = threading.Event()
    registry = Registry(gate=gate)
    turns = StandingTurns(registry, 0.0)
    gone, stays = (asyncio.create_task(turns.ask(b"a")) for _ in range(2))
    assert await asyncio.to_thread(registry.begun.wait, 30)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    gate.set()
    await stays
    await turns.ask(b"a")
    assert gone.cancelled()
