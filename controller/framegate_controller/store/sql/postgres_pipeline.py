"""A connection to PostgreSQL on which questions wait for company: those whose answer nobody needs
yet go with the next one whose answer somebody does, in one journey.

What a statement costs a controller is mostly its journey: a thread sends, lets go of Python's lock,
sleeps, is woken, and takes the lock again. libpq's pipeline mode sends several and has their
answers in order; each is run only if those before it were.
"""

from __future__ import annotations

import select
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, Final

import psycopg
from psycopg import abc, errors, pq
from psycopg.adapt import PyFormat, Transformer

Check = Callable[[int], None]
"""Is told how many rows a statement changed or found; what it raises undoes the transaction, also
where somebody passes it over: it comes up where an answer is looked at, which may be anywhere.
"""
_BINARY: Final = pq.Format.BINARY
_GOOD: Final = frozenset({pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK})
SNAPSHOT: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
"""How a transaction begins that changes nothing, and is not committed."""
_COMMIT: Final = "COMMIT"
_COMMITTED: Final = b"COMMIT"
_ROLLBACK: Final = "ROLLBACK"
_A_BREATH_MS: Final = 10
"""Between two tries to send what the kernel did not take at once: some hundred KiB, seldom."""
_LOST: Final = "the connection was lost"


class Question:
    """A statement in PostgreSQL's own words, `$1` for its first value; and its answer, once it has
    come.
    """

    __slots__ = ("answer", "check", "dumped", "formats", "prepares", "sql", "values")

    def __init__(self, sql: str, values: Sequence[Any] = (), check: Check | None = None) -> None:
        self.sql, self.values, self.check = sql, values, check
        self.dumped: Sequence[Any] | None = None
        self.formats: Sequence[pq.Format] | None = None
        self.prepares = False
        self.answer: pq.abc.PGresult | None = None

    @property
    def result(self) -> pq.abc.PGresult:
        """Its answer; whoever asks for it MUST have waited for it. Where it failed, or one before
        it did, it has none, which is not to be taken for no rows.
        """
        assert self.answer is not None  # noqa: S101 - see above
        return self.answer

    @property
    def rows(self) -> int:
        """How many rows it changed, or found."""
        return self.result.command_tuples or 0


class Pipelined(psycopg.Connection[Any]):
    """One whose `ask` and `later` go by the pipeline, as statements that its server has prepared.
    What psycopg itself is asked on it goes after what waits.

    Of one thread at a time. What waits and was not sent is forgotten where the transaction is
    rolled back. Raises psycopg.Error; `failing` is then the question whose answer it was.
    """

    def __init__(self, *arguments: Any, **names: Any) -> None:
        super().__init__(*arguments, **names)
        self.failing = Question("")
        self._waiting: list[Question] = []
        self._owed: Question | None = None
        self._undone: BaseException | None = None
        self._names: dict[str, bytes] = {}
        self._numbers = count(1)
        self._values: abc.Transformer = Transformer(self)
        self._poll = select.poll()  # descriptors of a controller with many callers are past 1024
        self._poll.register(self.pgconn.socket, select.POLLIN)
        self._reads = self._torn = False

    def begin(self, words: str) -> None:
        """A transaction begins, by `words`, with the first question in it; by none each question is
        one. Raises psycopg.Error where the server has ended the connection.
        """
        self._settle_owed()
        if not self.good:
            raise psycopg.OperationalError(_LOST)
        # its server says nothing but its end: why, and then that. To look lets nobody else have
        # Python's lock, as to poll would
        self.pgconn.consume_input()
        self.pgconn.consume_input()
        self._reads, self._undone = words == SNAPSHOT, None
        if words:
            self._waiting.append(Question(words))

    @property
    def good(self) -> bool:
        """Whether something may be asked on it: it is there, and owes no answer but its last."""
        return not self.closed and (not self._torn or self._owed is not None)

    @property
    def reads(self) -> bool:
        """Whether its transaction ends without a commit."""
        return self._reads

    def later(self, question: Question) -> None:
        """Ask it before anything that is asked from now on, and at the latest at the commit."""
        self.failing = question
        question.dumped, question.formats = self._dumped(question.values)
        self._waiting.append(question)

    def ask(self, question: Question) -> None:
        """Ask it now, and what waits before it."""
        self.later(question)
        self.settle()

    def rows(self, question: Question, make: Callable[[Sequence[Any]], Any]) -> list[Any]:
        """The rows that answer it, each as `make` makes it."""
        self._values.set_pgresult(question.result)
        return self._values.load_rows(0, question.result.ntuples, make)

    def cursor(self, *arguments: Any, **names: Any) -> Any:
        """psycopg's own, for its own statements, which go after what waits."""
        self.settle()
        return super().cursor(*arguments, **names)

    def commit(self) -> None:
        """Make it last. With it goes what waits, unless that may yet undo it."""
        if any(question.check for question in self._waiting):
            self.settle()
        if self._undone is not None:
            raise self._undone
        if self._idle and len(self._waiting) < 2:  # its server was told of none
            self._waiting.clear()
            return
        self.ask(ended := Question(_COMMIT))
        if ended.result.command_status != _COMMITTED:
            raise errors.InFailedSqlTransaction("a statement of it failed: it was rolled back")

    def rollback(self) -> None:
        """Undo it. Nobody waits for the answer: it is looked at when the next one begins. Of one
        that was left in the middle of an answer the server undoes it, for it is closed.
        """
        if self._owed is not None:
            return
        self._waiting.clear()
        self._undone = None
        if not self.good:
            self.close()
        elif not self._idle:
            self._owed = Question(_ROLLBACK)
            self._send([self._owed])

    def _dumped(self, values: Sequence[Any]) -> tuple[Any, Any]:
        """As they are sent, and in which form. Raises psycopg.Error: a text with NUL."""
        if not values:
            return None, None
        # as text a number fits whatever width its server takes it for
        forms = [PyFormat.BINARY if type(v) is bytes else PyFormat.TEXT for v in values]
        return self._values.dump_sequence(values, forms), self._values.formats

    @property
    def _idle(self) -> bool:
        return self.pgconn.transaction_status == pq.TransactionStatus.IDLE

    def _settle_owed(self) -> None:
        if (owed := self._owed) is not None:
            self._owed = None
            self._take([owed])

    def settle(self) -> None:
        """Ask all that waits, and look at the answers."""
        self._settle_owed()
        if asked := self._waiting:
            self._waiting = []
            self._send(asked)
            self._take(asked)
            for question in asked:
                if question.check is not None:
                    self._checked(question, question.check)

    def _checked(self, question: Question, check: Check) -> None:
        try:
            check(question.rows)
        except BaseException as error:
            self._undone = error
            raise

    def _send(self, asked: Sequence[Question]) -> None:
        """Send them, and that these are all."""
        self._torn, server = True, self.pgconn  # until all of it is answered
        self.failing = asked[0]
        try:
            server.enter_pipeline_mode()
            for question in asked:
                name = self._names.get(question.sql)
                if name is None:
                    name = self._names[question.sql] = b"framegate_%d" % next(self._numbers)
                    server.send_prepare(name, question.sql.encode())
                    question.prepares = True
                server.send_query_prepared(name, question.dumped, question.formats, _BINARY)
            server.pipeline_sync()
            while server.flush():
                if self._poll.poll(_A_BREATH_MS):
                    server.consume_input()
        except psycopg.OperationalError:
            self.close()
            raise

    def _take(self, asked: Sequence[Question]) -> None:
        """Read their answers. After one that is an error there are none."""
        failed: psycopg.Error | None = None
        try:
            for question in asked:
                for prepares in (True, False) if question.prepares else (False,):
                    result = self._next()
                    while self._next_or_none() is not None:
                        """Its answer is over with none."""
                    if failed is None and result.status not in _GOOD:
                        failed, self.failing = errors.error_from_result(result), question
                    if prepares and failed is not None:
                        del self._names[question.sql]
                question.answer = result if failed is None else None
            self._next()  # that these were all
            self.pgconn.exit_pipeline_mode()
            self._torn = False
        except psycopg.OperationalError as error:
            self.close()
            failed = failed or error
        if isinstance(failed, errors.FeatureNotSupported):
            self._names.clear()  # a column that is read has another type now: prepared anew
        if failed is not None:
            raise failed

    def _next(self) -> pq.abc.PGresult:
        result = self._next_or_none()
        if result is None:
            raise psycopg.OperationalError(_LOST)
        return result

    def _next_or_none(self) -> pq.abc.PGresult | None:
        server = self.pgconn
        while server.is_busy():
            self._poll.poll()
            server.consume_input()
        return server.get_result()
