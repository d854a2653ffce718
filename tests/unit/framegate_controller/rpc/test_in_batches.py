"""Questions that a thread answers as many at a time as wait."""

import asyncio
import threading

import pytest

from framegate.errors import Reason, Refused, Unavailable
from framegate_controller.rpc import in_batches
from framegate_controller.rpc.in_batches import InBatches

WAIT_S = 30.0


class Held:
    """Answers each question with its double, once it may; remembers batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.asked, self.may = threading.Semaphore(0), threading.Semaphore(0)

    def __call__(self, questions):
        self.batches.append(list(questions))
        self.asked.release()
        assert self.may.acquire(timeout=WAIT_S)
        yield {place: 2 * question for place, question in enumerate(questions)}


@pytest.fixture
def held():
    return Held()


@pytest.fixture
def serving():
    begun: list[InBatches[int]] = []

    def serve(answer, most=8, asker=lambda question: question):
        begun.append(InBatches("tried", answer, most, asker))
        return begun[-1]

    yield serve
    for each in begun:
        each.stop(WAIT_S)


async def until_asked(held):
    assert await asyncio.to_thread(held.asked.acquire, timeout=WAIT_S)


async def test_what_waits_is_taken_together_in_its_order_and_no_more_than_may_be(held, serving):
    desk = serving(held, most=3)
    first = asyncio.ensure_future(desk.ask(0))
    await until_asked(held)
    others = [asyncio.ensure_future(desk.ask(n)) for n in range(1, 6)]
    await asyncio.sleep(0)
    for _ in range(3):
        held.may.release()
    assert await asyncio.gather(first, *others) == [0, 2, 4, 6, 8, 10]
    assert held.batches == [[0], [1, 2, 3], [4, 5]]


async def test_who_hung_up_is_not_answered(held, serving):
    desk = serving(held)
    first = asyncio.ensure_future(desk.ask(0))
    await until_asked(held)
    gone, stays = (asyncio.ensure_future(desk.ask(n)) for n in (1, 2))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    for _ in range(2):
        held.may.release()
    assert await asyncio.gather(first, stays) == [0, 4]
    assert held.batches == [[0], [2]]


async def test_who_hangs_up_while_it_is_answered_harms_nobody(held, serving):
    desk = serving(held)
    gone = asyncio.ensure_future(desk.ask(1))
    await until_asked(held)
    gone.cancel()
    for _ in range(2):
        held.may.release()
    assert await desk.ask(2) == 4


async def test_an_answer_that_is_an_exception_is_raised_to_whom_it_is_for(serving):
    def answer(questions):
        for place, question in enumerate(questions):
            yield {place: ValueError(question) if question % 2 else question}

    desk = serving(answer)
    told = await asyncio.gather(*(desk.ask(n) for n in range(4)), return_exceptions=True)
    assert [told[0], told[2]] == [0, 2]
    assert [(type(t), t.args) for t in (told[1], told[3])] == [
        (ValueError, (1,)),
        (ValueError, (3,)),
    ]


async def test_pieces_are_told_before_the_rest_is_known(held, serving):
    known = threading.Event()

    def answer(questions):
        if questions == [0]:
            yield from held(questions)
            return
        yield {0: "first"}
        assert known.wait(WAIT_S)
        yield {1: "second"}

    desk = serving(answer)
    before = asyncio.ensure_future(desk.ask(0))
    await until_asked(held)
    first, second = (asyncio.ensure_future(desk.ask(n)) for n in (1, 2))
    await asyncio.sleep(0)
    held.may.release()
    await before
    assert await first == "first" and not second.done()
    known.set()
    assert await second == "second"


class Panic(BaseException):
    """What a library of Rust raises that panics: pyo3's is no Exception either."""


NO_EXCEPTIONS = [Panic(), StopIteration(), SystemExit(1), asyncio.CancelledError()]


@pytest.mark.parametrize("fault", [KeyError("ours"), None, *NO_EXCEPTIONS])
async def test_whom_no_answer_came_for_is_told_so_and_the_thread_goes_on(serving, fault):
    def answer(questions):
        if questions == ["good"]:
            yield {0: "answered"}
        elif fault is not None:
            raise fault

    desk = serving(answer)
    with pytest.raises(KeyError if isinstance(fault, KeyError) else RuntimeError):
        await desk.ask("bad")
    assert await desk.ask("good") == "answered"


@pytest.mark.parametrize("fault", NO_EXCEPTIONS)
async def test_an_outcome_that_nothing_can_be_raised_by_leaves_nobody_behind_it(
    held, serving, fault
):
    def answer(questions):
        yield from held(questions) if questions == [0] else [{0: 1, 1: fault, 2: 3}]

    desk = serving(answer)
    before = asyncio.ensure_future(desk.ask(0))
    await until_asked(held)
    asked = [asyncio.ensure_future(desk.ask(n)) for n in (1, 2, 3)]
    await asyncio.sleep(0)
    held.may.release()
    told = await asyncio.gather(before, *asked, return_exceptions=True)
    assert [told[0], told[1], told[3]] == [0, 1, 3]
    assert type(told[2]) is RuntimeError and told[2].__cause__ is fault


async def test_after_its_end_what_was_asked_is_answered_and_nothing_more_is_taken(held, serving):
    desk = serving(held)
    asked = [asyncio.ensure_future(desk.ask(n)) for n in (1, 2)]
    await until_asked(held)
    ending = asyncio.ensure_future(asyncio.to_thread(desk.stop, WAIT_S))
    for _ in range(2):
        held.may.release()
    await ending
    assert await asyncio.gather(*asked) == [2, 4]
    with pytest.raises(Unavailable) as caught:
        await desk.ask(3)
    assert caught.value.reason == Reason.UNAVAILABLE


async def test_past_as_many_as_may_wait_one_is_told_to_come_again(held, serving, monkeypatch):
    monkeypatch.setattr(in_batches, "MOST_WAITING", 3)
    desk = serving(held)
    first = asyncio.ensure_future(desk.ask(0))
    await until_asked(held)
    wait = [asyncio.ensure_future(desk.ask(n)) for n in (1, 2, 3)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable) as caught:
        await desk.ask(4)
    assert caught.value.reason == Reason.TOO_MANY_TRIES
    for _ in range(2):
        held.may.release()
    assert await asyncio.gather(first, *wait) == [0, 2, 4, 6]
    assert held.batches == [[0], [1, 2, 3]], "who was sent away is not asked"


async def test_one_that_was_asked_nothing_ends(held, serving):
    desk = serving(held)
    await asyncio.to_thread(desk.stop, WAIT_S)
    with pytest.raises(Unavailable):
        await desk.ask(3)
    assert held.batches == []


async def test_an_end_waits_no_longer_than_it_may(held, serving):
    desk = serving(held)
    asked = asyncio.ensure_future(desk.ask(1))
    await until_asked(held)
    await asyncio.to_thread(desk.stop, 0.01)
    assert not asked.done()
    held.may.release()
    assert await asked == 2


async def test_one_who_asks_and_hangs_up_again_and_again_leaves_the_others_their_places(
    held, serving, monkeypatch
):
    """It has its share of calls anew with each that it ends, and what it asked waits on."""
    monkeypatch.setattr(in_batches, "MOST_OF_ONE", 3)
    desk = serving(held, asker=lambda question: question // 100)
    first = asyncio.ensure_future(desk.ask(0))
    await until_asked(held)
    floods = []
    for number in range(100, 110):
        floods.append(asyncio.ensure_future(desk.ask(number)))
        await asyncio.sleep(0)
        floods[-1].cancel()
    ends = await asyncio.gather(*floods, return_exceptions=True)
    assert [type(e) for e in ends] == [asyncio.CancelledError] * 3 + [Refused] * 7
    assert {e.reason for e in ends[3:]} == {Reason.TOO_MANY_TRIES}
    others = [asyncio.ensure_future(desk.ask(n)) for n in (1, 200)]
    await asyncio.sleep(0)
    for _ in range(3):
        held.may.release()
    assert await asyncio.gather(first, *others) == [0, 2, 400]
    assert await desk.ask(110) == 220, "its places are free again"
    assert held.batches == [[0], [1, 200], [110]] and not desk._of


async def test_who_is_sent_away_takes_no_place(held, serving, monkeypatch):
    monkeypatch.setattr(in_batches, "MOST_OF_ONE", 1)
    desk = serving(held, asker=lambda question: "one machine")
    first = asyncio.ensure_future(desk.ask(0))
    await until_asked(held)
    waits = asyncio.ensure_future(desk.ask(1))
    await asyncio.sleep(0)
    for _ in range(3):
        with pytest.raises(Refused):
            await desk.ask(2)
    for _ in range(3):
        held.may.release()
    assert await asyncio.gather(first, waits) == [0, 2]
    assert await desk.ask(3) == 6
