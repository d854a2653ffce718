"""Where verbs are done: who asks, may they, the verb itself and its entry in the record."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from framegate.access.caller import Caller
from framegate.access.verbs import find_verb
from framegate.errors import Refused
from framegate_controller.ca.peer import Peer
from framegate_controller.context import Fleet
from framegate_controller.events.audience import Audience
from framegate_controller.events.notices import Notice
from framegate_controller.people.authority import READ_GROUPS, Aim, Allowed, ContentOf, Denied
from framegate_controller.people.desk import PeopleDesk
from framegate_controller.people.operators import BREAK_GLASS, notices
from framegate_controller.people.playbooks import ActingPlaybook
from framegate_controller.store.ports import Store, Transaction
from framegate_controller.verbs.verb import Call, Outcome, Verb

R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """How a verb was asked for: by whom (a verified peer, or a playbook), why, and whether only to
    try.

    `content` gives exactly what is asked: what approvals are of.
    """

    peer: Peer | ActingPlaybook
    content: ContentOf
    reason: str = ""
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Done(Generic[R]):
    """A verb that was done: its value, whom to tell, and what everybody should know (`notices`)."""

    value: R
    tell: tuple[Notice, ...] = ()
    notices: tuple[str, ...] = field(default=())


class _TakenBack(Exception):
    """Ends a transaction that was only to be tried."""


class Desk:
    """Does verbs. Blocking: call it from a thread."""

    def __init__(self, store: Store, fleet: Fleet, people: PeopleDesk, bus: Audience) -> None:
        self.store, self.fleet, self.people, self.bus = store, fleet, people, bus
        self._authority = people.authority

    def perform(self, verb: Verb[R], asking: Asking) -> Done[R]:
        """Do `verb`, if the policy lets its caller.

        1. the caller's session stands; 2. the policy allows exactly this content; 3. the verb;
        4. an event, if the verb left none. All in one transaction: a denial, an error, or a dry run
        leaves nothing of it. A look keeps no writer waiting: 1 to 3 are in a transaction that only
        reads, and what of 4 is due follows in one of its own before anybody is answered.
        A denial is recorded by itself. Raises what the verb raises, and Refused.
        """
        try:
            looked = None if verb.WRITES else self._looked(verb, asking)
            return looked if looked is not None else self._acted(verb, asking)
        except Denied as denied:
            reason = asking.reason or verb.reason
            with self.store.writing() as tx:
                told = self._authority.note_denied(tx, denied, reason, dry=asking.dry_run)
            raise told from None
        except Refused as error:
            self._left_behind(verb, asking, error)
            raise

    def _looked(self, verb: Verb[R], asking: Asking) -> Done[R] | None:
        """A verb that only looks, done; None for one that acts, of which nothing is done."""
        with self.store.reading() as tx:
            caller = self._authority.caller(tx, asking.peer)  # 1
            aim = verb.aim(tx)
            if not aim.only_looks:
                return None
            reason = asking.reason or verb.reason
            judged = self._authority.judge(tx, caller, aim, asking.content, reason)  # 2
            tx.act = judged.allowed.act
            outcome = verb.run(tx, self._call(caller, judged.allowed, asking))  # 3
            told = _notices(tx, aim)
        if not asking.dry_run:
            self._authority.note_look(self.store, caller, aim, judged)  # 4
        return Done(outcome.value, () if asking.dry_run else outcome.tell, told)

    def _acted(self, verb: Verb[R], asking: Asking) -> Done[R]:
        if asking.dry_run:
            return self._tried(verb, asking)
        with self.store.writing() as tx:
            return self._done(tx, verb, asking)

    def _tried(self, verb: Verb[R], asking: Asking) -> Done[R]:
        """Done and taken back: nobody is told."""
        tried: list[Done[R]] = []
        with suppress(_TakenBack), self.store.writing() as tx:
            tried.append(self._done(tx, verb, asking))
            raise _TakenBack
        return replace(tried[0], tell=())

    def _done(self, tx: Transaction, verb: Verb[R], asking: Asking) -> Done[R]:
        caller = self._authority.caller(tx, asking.peer)  # 1
        aim, reason = verb.aim(tx), asking.reason or verb.reason
        allowed = self._authority.authorise(tx, caller, aim, asking.content, reason)  # 2
        tx.act = allowed.act
        outcome: Outcome[R] = verb.run(tx, self._call(caller, allowed, asking))  # 3
        told = _notices(tx, aim)
        if not asking.dry_run:
            self._authority.note_allowed(tx, caller, aim)  # 4
        return Done(outcome.value, outcome.tell, told)

    def _call(self, caller: Caller, allowed: Allowed, asking: Asking) -> Call:
        return Call(
            caller=caller,
            allowed=allowed,
            fleet=self.fleet,
            people=self.people,
            bus=self.bus,
            dry_run=asking.dry_run,
        )

    def _left_behind(self, verb: Verb[R], asking: Asking, error: Refused) -> None:
        """What a refusal leaves, of a dry run too: whoever guesses must not do it for nothing."""
        if type(verb).refused is not Verb.refused:
            with self.store.writing() as tx:
                caller = self._authority.caller(tx, asking.peer)
                verb.refused(tx, caller, error, self.people)


def _notices(tx: Transaction, aim: Aim) -> tuple[str, ...]:
    """What everybody should know; whoever looks is told of an emergency alone."""
    looks = READ_GROUPS & set(find_verb(aim.verb).groups)
    return tuple(n for n in notices(tx) if not looks or n.startswith(BREAK_GLASS))
