"""Where verbs are done: who asks, may they, the verb itself and its entry in the record, all in one transaction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from framegate.access.verbs import find_verb
from framegate.errors import Refused
from framegate_controller.ca.peer import Peer
from framegate_controller.context import Fleet
from framegate_controller.events.notices import Notice
from framegate_controller.people.authority import READ_GROUPS, Authority, Denied
from framegate_controller.people.operators import BREAK_GLASS, notices
from framegate_controller.store.ports import Store, Transaction
from framegate_controller.verbs.verb import Call, Outcome, Verb

R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """How a verb was asked for: by whom (a verified peer), why, and whether only to try.

    `content` gives, for a verb's name, the digest of exactly what is asked: what approvals are of.
    """

    peer: Peer
    content: Callable[[str], bytes]
    reason: str = ""
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Done(Generic[R]):
    """A verb that was done: its value, whom to tell, and what everybody should know (`notices`, in words)."""

    value: R
    tell: tuple[Notice, ...] = ()
    notices: tuple[str, ...] = field(default=())


class _TakenBack(Exception):
    def __init__(self, done: Done[object]) -> None:
        super().__init__()
        self.done = done


class Desk:
    """Does verbs. Blocking: call it from a thread."""

    def __init__(self, store: Store, authority: Authority, fleet: Fleet) -> None:
        self.store, self.fleet = store, fleet
        self._authority = authority

    def perform(self, verb: Verb[R], asking: Asking) -> Done[R]:
        """Do `verb`, if the policy lets its caller.

        1. the caller's session stands; 2. the policy allows exactly this content; 3. the verb; 4. an event, if the verb left none. All in one
        transaction: a denial, an error, or a dry run leaves nothing of it. A denial is recorded by itself. Raises what the verb raises, and Refused.
        """
        try:
            with self.store.writing() as tx:
                done = self._done(tx, verb, asking)
                if asking.dry_run:
                    raise _TakenBack(done)
                return done
        except _TakenBack as kept:
            return Done(kept.done.value, (), kept.done.notices)  # type: ignore[arg-type]
        except Denied as denied:
            with self.store.writing() as tx:
                told = self._authority.note_denied(tx, denied, asking.reason or verb.reason, dry=asking.dry_run)
            raise told from None
        except Refused as error:
            self._left_behind(verb, asking, error)
            raise

    def _done(self, tx: Transaction, verb: Verb[R], asking: Asking) -> Done[R]:
        caller = self._authority.caller(tx, asking.peer)  # 1
        aim = verb.aim(tx)
        allowed = self._authority.authorise(tx, caller, aim, asking.content(aim.verb), asking.reason or verb.reason)  # 2
        tx.act = allowed.act
        outcome: Outcome[R] = verb.run(tx, Call(caller=caller, allowed=allowed, fleet=self.fleet, dry_run=asking.dry_run))  # 3
        looks = READ_GROUPS & set(find_verb(aim.verb).groups)
        told = tuple(n for n in notices(tx) if not looks or n.startswith(BREAK_GLASS))
        self._authority.note_allowed(tx, caller, aim)  # 4
        return Done(outcome.value, outcome.tell, told)

    def _left_behind(self, verb: Verb[R], asking: Asking, error: Refused) -> None:
        if type(verb).refused is Verb.refused or asking.dry_run:
            return
        with self.store.writing() as tx:
            verb.refused(tx, self._authority.caller(tx, asking.peer), error, self.fleet)
