"""Limits and what waits, shared by the controllers of a PostgreSQL database.

Each question is one short transaction beside the others; of those about one counter, one at a time.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import count
from typing import Any, Final, Generic, TypeVar

from sqlalchemy import Connection, text

from framegate.errors import Refused
from framegate.evidence.challenge import unknown_session
from framegate_controller.store.postgres import PostgresEngines
from framegate_controller.store.shared.limits import AHEAD_MS, Rule, Try, counters_of, locked
from framegate_controller.store.shared.spent import InMemorySpentSessions
from framegate_controller.store.shared.tries import too_many_tickets
from framegate_controller.timing import TICKET_TRIES, TICKET_WINDOW_S
from framegate_host.prefixes import prefix_of

C = TypeVar("C")
LONGEST_MS: Final = 3_600_000
"""After so long no limit looks at a try any more, and nothing waits; each write clears some away.
"""
CLEAR: Final = 20
_LOCK: Final = text("SELECT pg_advisory_xact_lock(hashtextextended(:counter, 0))")
_SEEN: Final = text(
    "SELECT at_ms FROM tries WHERE counter = :counter AND at_ms > :since"
    " ORDER BY at_ms DESC LIMIT :most"
)
_FOLLOW: Final = text("UPDATE tries SET at_ms = :now WHERE counter = :counter AND at_ms > :ahead")
"""What was counted by a clock that was ahead is of now: it holds up nobody for longer."""
_ADD: Final = text("INSERT INTO tries (counter, at_ms) VALUES (:counter, :at_ms)")
_TAKE_BACK: Final = text(
    "DELETE FROM tries WHERE id IN"
    " (SELECT id FROM tries WHERE counter = :counter AND at_ms = :at_ms LIMIT 1)"
)
_FORGET: Final = text("DELETE FROM tries WHERE counter = :counter")
_CLEAR: Final = text(
    "DELETE FROM tries WHERE id IN (SELECT id FROM tries WHERE at_ms < :before"
    " ORDER BY at_ms LIMIT :most FOR UPDATE SKIP LOCKED)"
)
_KNOWN: Final = text("SELECT DISTINCT source FROM operator_sessions WHERE operator = :operator")
_KEEP: Final = text(
    "INSERT INTO waiting (kind, name, content, expires_ms)"
    " VALUES (:kind, :name, :content, :expires_ms) ON CONFLICT (kind, name)"
    " DO UPDATE SET content = :content, expires_ms = :expires_ms"
)
_PUSH_OUT: Final = text(
    "DELETE FROM waiting WHERE kind = :kind AND name IN (SELECT name FROM waiting"
    " WHERE kind = :kind ORDER BY expires_ms DESC OFFSET :most)"
)
_GET: Final = text("SELECT content FROM waiting WHERE kind = :kind AND name = :name")
_TAKE: Final = text("DELETE FROM waiting WHERE kind = :kind AND name = :name RETURNING content")
_ANSWER: Final = (
    "INSERT INTO answered_challenges (id, expires_ms) VALUES ($1, $2)"
    " ON CONFLICT DO NOTHING RETURNING 1"
)
_CLEAR_ANSWERED: Final = (
    "DELETE FROM answered_challenges WHERE id IN (SELECT id FROM answered_challenges"
    " WHERE expires_ms < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)"
)
CLEAR_EVERY: Final = 16
"""Every so many answers as many are forgotten that nobody can repeat any more, and some more."""


class PostgresSignInLimits:
    """See `SignInLimits`: tries at every controller count together."""

    def __init__(self, engines: PostgresEngines) -> None:
        self._engines = engines

    def begin(self, operator: str, address: str, now_ms: int) -> Try:
        """See `SignInLimits.begin`."""
        network = prefix_of(address)
        with self._engines.aside() as c:
            known = network in {
                prefix_of(r.source) for r in c.execute(_KNOWN, {"operator": operator})
            }
            rules = counters_of(operator, network, known=known)
            _in_turn(c, [r.name for r in rules])
            lacks = next(filter(None, (_lacks(c, rule, now_ms) for rule in rules)), None)
            if lacks is None:
                for rule in rules:
                    c.execute(_ADD, {"counter": rule.name, "at_ms": now_ms})
                _clear(c, now_ms)
        if lacks is not None:  # past the transaction, which keeps what `_follow` did
            raise lacks
        return Try(operator, address, now_ms)

    def right(self, tried: Try) -> None:
        """See `SignInLimits.right`."""
        network = prefix_of(tried.address)
        with self._engines.aside() as c:
            for rule in counters_of(tried.operator, network, known=False):
                c.execute(_TAKE_BACK, {"counter": rule.name, "at_ms": tried.at_ms})

    def good(self, tried: Try) -> None:
        """See `SignInLimits.good`; the session that it became knows the address."""
        self.right(tried)
        pair = counters_of(tried.operator, prefix_of(tried.address), known=True)[0]
        with self._engines.aside() as c:
            c.execute(_FORGET, {"counter": pair.name})

    def know(self, operator: str, address: str) -> None:
        """Sessions say it."""


class PostgresTicketTries:
    """See `TicketTries`: tries at every controller count together."""

    def __init__(self, engines: PostgresEngines) -> None:
        self._engines = engines

    def begin(self, address: str, now_ms: int) -> None:
        """See `TicketTries.begin`."""
        counter = _ticket(address)
        with self._engines.aside() as c:
            _in_turn(c, [counter])
            since = now_ms - int(TICKET_WINDOW_S * 1000)
            _follow(c, counter, now_ms)
            tries = _since(c, counter, since, TICKET_TRIES)
            left = len(tries) < TICKET_TRIES
            if left:
                c.execute(_ADD, {"counter": counter, "at_ms": now_ms})
                _clear(c, now_ms)
        if not left:  # past the transaction, which keeps what `_follow` did
            raise too_many_tickets(len(tries))

    def right(self, address: str, now_ms: int) -> None:
        """See `TicketTries.right`."""
        with self._engines.aside() as c:
            c.execute(_TAKE_BACK, {"counter": _ticket(address), "at_ms": now_ms})


class PostgresSpentSessions:
    """See `SpentSessions`: an answer at any controller is the only one. Whether there was one is
    said of this controller alone: whoever answers takes, and that asks the database.
    """

    def __init__(self, engines: PostgresEngines) -> None:
        self._engines, self._takes = engines, count(1)
        self._here = InMemorySpentSessions()

    def taken(self, session: bytes) -> bool:
        """See `SpentSessions.taken`."""
        return self._here.taken(session)

    def take(self, session: bytes, expires_ms: int, now_ms: int) -> None:
        """See `SpentSessions.take`."""
        self._here.take(session, expires_ms, now_ms)
        first = self._engines.ask_aside(_ANSWER, (session, expires_ms))
        if next(self._takes) % CLEAR_EVERY == 0:
            self._engines.ask_aside(_CLEAR_ANSWERED, (now_ms - LONGEST_MS, 2 * CLEAR_EVERY))
        if first is None:
            raise unknown_session()


class PostgresWaiting(Generic[C]):
    """See `Waiting`: what was begun at one controller is answered at any. `of` is the type."""

    def __init__(self, engines: PostgresEngines, of: type[C], most: int) -> None:
        self._engines, self._of, self._most = engines, of, most
        self._kind = of.__name__[:16]

    def keep(self, name: bytes, begun: C) -> None:
        """See `Waiting.keep`."""
        values: dict[str, Any] = asdict(begun)  # type: ignore[call-overload]
        content, expires_ms = json.dumps(values), values["expires_ms"]
        row = {"kind": self._kind, "name": name, "content": content, "expires_ms": expires_ms}
        with self._engines.aside() as c:
            c.execute(_KEEP, row)
            c.execute(_PUSH_OUT, {"kind": self._kind, "most": self._most})

    def get(self, name: bytes) -> C | None:
        """See `Waiting.get`."""
        return self._read(_GET, name)

    def take(self, name: bytes) -> C | None:
        """See `Waiting.take`."""
        return self._read(_TAKE, name)

    def _read(self, statement: Any, name: bytes) -> C | None:
        with self._engines.aside() as c:
            row = c.execute(statement, {"kind": self._kind, "name": name}).first()
        return self._of(**json.loads(row.content)) if row is not None else None


def _ticket(address: str) -> str:
    return f"ticket {prefix_of(address)}"


def _in_turn(c: Connection, counters: Sequence[str]) -> None:
    """In one order, so that two never wait for each other."""
    for counter in sorted(counters):
        c.execute(_LOCK, {"counter": counter})


def _follow(c: Connection, counter: str, now_ms: int) -> None:
    c.execute(_FOLLOW, {"counter": counter, "now": now_ms, "ahead": now_ms + AHEAD_MS})


def _since(c: Connection, counter: str, since_ms: int, most: int) -> list[int]:
    """When the last tries were, newest first."""
    seen = c.execute(_SEEN, {"counter": counter, "since": since_ms, "most": most})
    return [r.at_ms for r in seen]


def _lacks(c: Connection, rule: Rule, now_ms: int) -> Refused | None:
    _follow(c, rule.name, now_ms)
    tries = _since(c, rule.name, now_ms - rule.window_ms, rule.tries)
    if len(tries) < rule.tries:
        return None
    left_ms = tries[-1] + rule.window_ms - now_ms
    return locked(rule.tries, rule.window_ms, len(tries), left_ms)


def _clear(c: Connection, now_ms: int) -> None:
    c.execute(_CLEAR, {"before": now_ms - LONGEST_MS, "most": CLEAR})
