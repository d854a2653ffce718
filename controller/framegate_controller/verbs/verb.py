"""What a verb is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Generic, TypeVar

from framegate.access.caller import Caller
from framegate.errors import Refused
from framegate_controller.context import Fleet
from framegate_controller.events.audience import Audience
from framegate_controller.events.notices import Notice
from framegate_controller.people.authority import Aim, Allowed
from framegate_controller.people.desk import PeopleDesk
from framegate_controller.store.ports import Store, Transaction

R = TypeVar("R")
Row = TypeVar("Row")
MAX_REASON = 500
"""Characters of an operator's reason."""


@dataclass(frozen=True, slots=True)
class Outcome(Generic[R]):
    """What a verb led to: the value its caller gets.

    `tell` is what machines and gateways are told once it is committed.
    """

    value: R
    tell: tuple[Notice, ...] = field(default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of a verb that the policy has allowed.

    In a `dry_run` what the transaction wrote is taken back; what is no row must not be made.
    """

    caller: Caller
    allowed: Allowed
    fleet: Fleet
    people: PeopleDesk
    bus: Audience
    dry_run: bool = False

    @property
    def actor(self) -> str:
        """As events name the caller."""
        return self.caller.actor

    def sees(self, zone: str) -> bool:
        """Whether something in `zone` is the caller's to see."""
        return self.allowed.sees(zone)


class Verb(ABC, Generic[R]):
    """One thing an operator does; a frozen dataclass whose members are what it asks for.

    Classes that read it from a message have `parse(request)`, which raises Malformed or Refused
    before anybody is asked anything.
    """

    WRITES: ClassVar[bool] = False
    """Whether `run` writes although its verb's groups are those of looks (self, view, audit).

    A look gets a transaction that only reads; such a verb gets one like every act.
    """

    @property
    def reason(self) -> str:
        """Why, where the verb itself says so; what comes beside a call goes before it."""
        return ""

    @abstractmethod
    def aim(self, tx: Transaction) -> Aim:
        """Verb, zone, target and words, as the policy and approvers are asked.

        Raises Refused (NOT_FOUND).
        """

    @abstractmethod
    def run(self, tx: Transaction, call: Call) -> Outcome[R]:
        """Do it, in the transaction in which it was allowed.

        Raises Malformed or Refused, which undo all of it.
        """

    def refused(self, tx: Transaction, caller: Caller, error: Refused, people: PeopleDesk) -> None:
        """What stays where `run` refused, in a transaction of its own; after a dry run too."""


class StreamedVerb(Verb[R], Generic[R, Row]):
    """A verb whose rows are read after it was allowed.

    A chunk a transaction, so that others write in between.
    """

    @abstractmethod
    def rows(self, store: Store, fleet: Fleet, start: R) -> Iterator[Row]:
        """The rows, from what `run` gave."""
