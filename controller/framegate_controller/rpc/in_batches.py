"""Questions of an event loop that a thread answers in batches: as many at a time as wait. The more
there are, the more have a turn, a transaction and a wait for the disk in common.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any, Final, Generic, TypeVar

from framegate.errors import Reason, Refused, Unavailable
from framegate_proto.caller_share import MAX_CALLS

MOST_WAITING: Final = 2048
"""Questions that wait: some five seconds of answers, and 64 MiB where each is a machine's with all
the evidence that its offer may have. Who comes after them is told at once to come again.
"""
MOST_OF_ONE: Final = MAX_CALLS
"""Of one who asks: the calls that a caller has at once. Whoever hangs up has another call, and what
was asked waits on, or is known to be nobody's only when it is its turn.
"""
Q = TypeVar("Q")
Outcomes = Mapping[int, Any]
"""Answers, or what is to be raised, by place in their batch."""
_END: Final = None


@dataclass(frozen=True, slots=True, eq=False)
class _Asked(Generic[Q]):
    question: Q
    by: Hashable
    answer: asyncio.Future[Any]


class InBatches(Generic[Q]):
    """A thread that takes what waits, at most `most` of it at a time. `answer` gives the outcomes
    of a batch in pieces, each of which is told at once; `asker` says who asks a question.
    """

    def __init__(
        self,
        name: str,
        answer: Callable[[Sequence[Q]], Iterable[Outcomes]],
        most: int,
        asker: Callable[[Q], Hashable],
    ) -> None:
        self._answer, self._most, self._asker = answer, most, asker
        self._of = Counter[Hashable]()
        self._waiting: SimpleQueue[_Asked[Q] | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._beginning, self._begun, self._ended = Lock(), False, False

    async def ask(self, question: Q) -> Any:
        """Its answer; an exception that it is answered with is raised. Raises Refused where too
        many of its asker's wait, Unavailable where too many do, and once this was stopped.
        """
        by = self._asker(question)
        with self._beginning:
            if self._ended:
                raise Unavailable.of(Reason.UNAVAILABLE, "a controller that serves", "it ends")
            if self._of[by] >= MOST_OF_ONE:
                wanted = f"at most {MOST_OF_ONE} questions of one machine that wait"
                raise Refused.of(Reason.TOO_MANY_TRIES, wanted, "more", "wait for the answers")
            if self._waiting.qsize() >= MOST_WAITING:
                wanted = f"at most {MOST_WAITING} machines that wait for an answer"
                raise Unavailable.of(Reason.TOO_MANY_TRIES, wanted, "more", "try again")
            if not self._begun:
                self._begun = True
                self._thread.start()
            asked = _Asked(question, by, asyncio.get_running_loop().create_future())
            self._of[by] += 1
            self._waiting.put(asked)
        return await asked.answer

    def stop(self, within_s: float) -> None:
        """Take no more, and wait for so long until what was asked is answered."""
        with self._beginning:
            self._ended = True
            self._waiting.put(_END)
        if self._begun:
            self._thread.join(within_s)

    def _run(self) -> None:
        while (first := self._waiting.get()) is not _END:
            self._serve(self._batch(first))

    def _batch(self, first: _Asked[Q]) -> list[_Asked[Q]]:
        """What waits now, without those that were asked by who has hung up."""
        batch = [first]
        with suppress(Empty):
            while len(batch) < self._most:
                if (another := self._waiting.get_nowait()) is _END:
                    self._waiting.put(_END)
                    break
                batch.append(another)
        with self._beginning:
            for asked in batch:
                self._of[asked.by] -= 1
                if not self._of[asked.by]:
                    del self._of[asked.by]
        return [asked for asked in batch if not asked.answer.done()]

    def _serve(self, batch: Sequence[_Asked[Q]]) -> None:
        left = dict(enumerate(batch))
        fault: BaseException = RuntimeError("an answer to each question was expected, none came")
        try:
            for outcomes in self._answer([asked.question for asked in batch]):
                _tell([(left.pop(place), outcome) for place, outcome in outcomes.items()])
        except BaseException as error:  # noqa: BLE001 - told to whoever asked: the thread is all's
            fault = error
        _tell([(asked, fault) for asked in left.values()])


def _tell(outcomes: Sequence[tuple[_Asked[Any], Any]]) -> None:
    if outcomes:
        loop = outcomes[0][0].answer.get_loop()
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_settle, outcomes)


def _settle(outcomes: Sequence[tuple[_Asked[Any], Any]]) -> None:
    for asked, outcome in outcomes:
        if asked.answer.done():  # who asked has hung up
            continue
        if isinstance(outcome, BaseException):
            asked.answer.set_exception(_raisable(outcome))
        else:
            asked.answer.set_result(outcome)


def _raisable(error: BaseException) -> Exception:
    """What whoever asked is raised: `error`, or of it what a future takes and no handler lets pass.
    A library of Rust that panics over bytes of somebody's raises what is no Exception.
    """
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    fault = RuntimeError(f"an answer or an error was expected, {type(error).__name__} came")
    fault.__cause__ = error
    return fault
