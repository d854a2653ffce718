"""What people do about themselves: who am I, signing out, a fresh factor, a security key more."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

from framegate.access.caller import Caller
from framegate.access.questions import address_text
from framegate.errors import Reason, Refused
from framegate.record.people_events import FactorFailed, SecurityKeyAdded, SignedOut
from framegate.registry.operator import OperatorSession
from framegate_controller.events.notices import AccessChanged
from framegate_controller.people.authority import Aim
from framegate_controller.people.desk import PeopleDesk
from framegate_controller.people.operators import Elevation, elevations, notices, quorum
from framegate_controller.people.security_keys import MAX_LABEL, CounterFell, KeyCeremony
from framegate_controller.people.sessions import shown
from framegate_controller.store.ports import Transaction
from framegate_controller.verbs.verb import Call, Outcome, Verb
from framegate_proto.v1 import framegate_pb2 as pb


@dataclass(frozen=True, slots=True, kw_only=True)
class Me:
    """The caller, their session, what they hold and have, and what everybody should know."""

    caller: Caller
    session: OperatorSession | None
    elevations: tuple[Elevation, ...]
    quorum: int
    notices: tuple[str, ...]
    totp: bool
    security_keys: tuple[str, ...]


def me(tx: Transaction, caller: Caller) -> Me:
    """As it stands in this transaction."""
    person = tx.people.get(caller.name)
    return Me(
        caller=caller,
        session=tx.people.session(caller.session),
        elevations=tuple(elevations(tx, caller.name)),
        quorum=quorum(tx),
        notices=tuple(notices(tx)),
        totp=person is not None and bool(person.factors.totp),
        security_keys=tuple(k.label for k in tx.people.keys(caller.name)),
    )


@dataclass(frozen=True, slots=True)
class WhoAmI(Verb[Me]):
    """The caller, their roles and session, and what everybody should know."""

    @classmethod
    def parse(cls, _request: pb.WhoAmIRequest) -> Self:
        """Nothing is asked for."""
        return cls()

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        return Aim("whoami")

    def run(self, tx: Transaction, call: Call) -> Outcome[Me]:
        """See `Verb.run`."""
        return Outcome(me(tx, call.caller))


@dataclass(frozen=True, slots=True)
class SignOut(Verb[str]):
    """End the caller's session; its certificate opens nothing from now on, here and at gateways."""

    WRITES: ClassVar[bool] = True

    @classmethod
    def parse(cls, _request: pb.WhoAmIRequest) -> Self:
        """Nothing is asked for."""
        return cls()

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        return Aim("logout")

    def run(self, tx: Transaction, call: Call) -> Outcome[str]:
        """See `Verb.run`. Whose session it was."""
        session = tx.people.session(call.caller.session)
        if session is not None:
            tx.people.put_session(replace(session, ended_ms=tx.now_ms))
        tx.raise_revision()
        tx.record(SignedOut())
        return Outcome(call.caller.name, (AccessChanged(),))


@dataclass(frozen=True, slots=True)
class FactorAnswer:
    """A challenge for a security key; or none, and when the factor was shown."""

    challenge: KeyCeremony | None
    factor_ms: int = 0


@dataclass(frozen=True, slots=True)
class ProveFactor(Verb[FactorAnswer]):
    """The second factor again: a code, or a security key in two steps.

    Wrong ones count as at sign-in.
    """

    code: str
    state: bytes
    response: str

    WRITES: ClassVar[bool] = True

    @classmethod
    def parse(cls, request: pb.ProveFactorRequest) -> Self:
        """Whatever is shown."""
        return cls(request.code, request.state, request.response)

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        return Aim("factor.prove")

    def run(self, tx: Transaction, call: Call) -> Outcome[FactorAnswer]:
        """See `Verb.run`. Raises Refused (SIGN_IN, LOCKED)."""
        caller, people = call.caller, call.people
        if not self.code and not self.state:
            challenge = people.sign_in.security_keys.ask(tx, caller.name)
            return Outcome(FactorAnswer(challenge), (AccessChanged(),))
        # counted before it is looked at: many that come at once are many tries
        tried = people.limits.begin(caller.name, caller.source, tx.now_ms)
        if self.state:
            self._by_key(tx, caller, people)
        else:
            people.sign_in.prove_again(tx, caller.session, self.code, caller.source)
        people.limits.right(tried)
        return Outcome(FactorAnswer(None, tx.now_ms), (AccessChanged(),))

    def refused(self, tx: Transaction, caller: Caller, error: Refused, people: PeopleDesk) -> None:
        """See `Verb.refused`: a wrong factor is recorded; `run` counted it."""
        if error.reason == Reason.SIGN_IN:
            tx.record(FactorFailed(source=address_text(caller.source)), by=caller.actor)
        if isinstance(error, CounterFell):
            tx.record(error.event, by=caller.actor)

    def _by_key(self, tx: Transaction, caller: Caller, people: PeopleDesk) -> None:
        whose = people.sign_in.security_keys.answered(tx, self.state, self.response)
        session = tx.people.session(caller.session)
        if whose != caller.name or session is None:
            raise Refused.of(Reason.SIGN_IN, "your own security key", "another's")
        shown(tx, session, "security key", caller.source)


@dataclass(frozen=True, slots=True)
class AddKeyBegin(Verb[KeyCeremony]):
    """Begin to register a security key of the caller's."""

    @classmethod
    def parse(cls, _request: pb.WhoAmIRequest) -> Self:
        """Nothing is asked for."""
        return cls()

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        return Aim("factor.add")

    def run(self, tx: Transaction, call: Call) -> Outcome[KeyCeremony]:
        """See `Verb.run`."""
        return Outcome(call.people.sign_in.security_keys.register(tx, call.caller.name))


@dataclass(frozen=True, slots=True)
class AddKeyComplete(Verb[Me]):
    """Keep the key that answered."""

    state: bytes
    response: str
    label: str

    @classmethod
    def parse(cls, request: pb.AddKeyRequest) -> Self:
        """Whatever answered."""
        return cls(request.state, request.response, request.label[:MAX_LABEL])

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        return Aim("factor.add")

    def run(self, tx: Transaction, call: Call) -> Outcome[Me]:
        """See `Verb.run`. Raises Malformed, Refused (SIGN_IN, CONFLICT)."""
        keys, name = call.people.sign_in.security_keys, call.caller.name
        keys.registered(tx, name, self.state, self.response, self.label)
        tx.record(SecurityKeyAdded(label=self.label))
        return Outcome(me(tx, call.caller))
