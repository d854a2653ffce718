"""Operators: listed, added, changed and barred; and how many people a decision takes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Self

from framegate.access.caller import OPERATOR_PREFIX
from framegate.access.verbs import Scoped
from framegate.errors import Malformed, Reason, Refused
from framegate.identity.names import parse_name
from framegate.record.people_events import (
    OperatorEnabled,
    OperatorRolesChanged,
)
from framegate.registry.operator import Operator
from framegate_controller.events.notices import AccessChanged
from framegate_controller.people.authority import Aim
from framegate_controller.people.operators import (
    MAX_REMARK,
    Elevation,
    NewOperator,
    add_operator,
    disable,
    elevations,
    enrolled,
    parse_roles,
    quorum,
    reset_factors,
    set_quorum,
)
from framegate_controller.store.ports import Transaction
from framegate_controller.verbs.sessions import Me, me
from framegate_controller.verbs.verb import MAX_REASON, Call, Outcome, Verb
from framegate_proto.v1 import framegate_pb2 as pb

MAX_ISSUER = 500
MAX_SUBJECT = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorView:
    """A person, what they sign in with, roles for a while, and how many sessions stand."""

    operator: Operator
    enrolled: bool
    factors: tuple[str, ...]
    elevations: tuple[Elevation, ...]
    sessions: int


@dataclass(frozen=True, slots=True)
class Operators:
    """Everybody, and how many of them a decision takes."""

    operators: tuple[OperatorView, ...]
    quorum: int


@dataclass(frozen=True, slots=True)
class InvitedOperator:
    """A person, and the code that lets them set their factors, empty where they need none."""

    view: OperatorView
    enrolment: str = ""


def view_of(tx: Transaction, operator: Operator) -> OperatorView:
    """As they stand in this transaction."""
    stored, factors = operator.factors, []
    if stored.password and stored.totp:
        factors += ["password", "totp"]
    if stored.oidc_subject:
        factors.append("oidc")
    factors += [f"key {k.label}" for k in tx.people.keys(operator.name)]
    return OperatorView(
        operator=operator,
        enrolled=enrolled(tx, operator),
        factors=tuple(factors),
        elevations=tuple(elevations(tx, operator.name)),
        sessions=len(tx.people.sessions(tx.now_ms, operator.name)),
    )


@dataclass(frozen=True, slots=True)
class ListOperators(Verb[Operators]):
    """Everybody, and the quorum."""

    @classmethod
    def parse(cls, _request: pb.ListRequest) -> Self:
        """Nothing is asked for."""
        return cls()

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        return Aim("operator.list")

    def run(self, tx: Transaction, call: Call) -> Outcome[Operators]:
        """See `Verb.run`."""
        views = tuple(view_of(tx, o) for o in tx.people.all())
        return Outcome(Operators(views, quorum(tx)))


@dataclass(frozen=True, slots=True, kw_only=True)
class AddOperator(Verb[InvitedOperator]):
    """A new operator and the code that lets them set their factors."""

    name: str
    remark: str
    roles: tuple[Scoped, ...]
    oidc_issuer: str
    oidc_subject: str

    @classmethod
    def parse(cls, request: pb.AddOperatorRequest) -> Self:
        """Raises Malformed; Refused for admin, which nobody holds for good."""
        roles = tuple(parse_roles(request.roles))
        for limit, said in ((MAX_ISSUER, request.oidc_issuer), (MAX_SUBJECT, request.oidc_subject)):
            if len(said) > limit:  # cut short it would be somebody else
                expected = f"an issuer or subject of at most {limit} characters"
                raise Malformed.of(Reason.USAGE, expected, len(said))
        return cls(
            name=parse_name(request.name, "operator name"),
            remark=request.remark[:MAX_REMARK],
            roles=roles,
            oidc_issuer=request.oidc_issuer,
            oidc_subject=request.oidc_subject,
        )

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        summary = f"add operator {self.name} as {_listed(self.roles) or 'nobody'}"
        return Aim("operator.add", target=self.name, summary=summary)

    def run(self, tx: Transaction, call: Call) -> Outcome[InvitedOperator]:
        """See `Verb.run`. Raises Refused (NAME_TAKEN, CONFLICT)."""
        new = NewOperator(
            name=self.name,
            roles=self.roles,
            vouched=bool(call.allowed.act.approved_by) or quorum(tx) == 1,
            remark=self.remark,
            oidc_issuer=self.oidc_issuer,
            oidc_subject=self.oidc_subject,
        )
        operator, code = add_operator(tx, new, by=call.actor)
        enrolment = "" if self.oidc_subject else code
        return Outcome(InvitedOperator(view_of(tx, operator), enrolment), (AccessChanged(),))


class Change(StrEnum):
    """What can be changed of an operator."""

    ROLES = "roles"
    ENABLE = "enable"
    RESET = "reset-mfa"


@dataclass(frozen=True, slots=True)
class ChangeOperator(Verb[InvitedOperator]):
    """Other roles, a person let in again, a new second factor."""

    name: str
    change: Change
    roles: tuple[Scoped, ...]

    @classmethod
    def parse(cls, request: pb.ChangeOperatorRequest) -> Self:
        """Raises Malformed; Refused for admin, which nobody holds for good."""
        roles = tuple(parse_roles(request.roles))
        if request.verb not in set(Change):
            expected = "roles, enable or reset-mfa"
            raise Malformed.of(Reason.USAGE, expected, ascii(request.verb[:20]))
        if roles and request.verb != Change.ROLES:
            expected = f"roles only with {Change.ROLES}"
            raise Malformed.of(Reason.USAGE, expected, ascii(request.verb[:20]))
        return cls(request.name, Change(request.verb), roles)

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        name = tx.people.find(self.name).name
        roles = f"roles {_listed(self.roles) or 'none'}"
        what = roles if self.change == Change.ROLES else self.change
        return Aim("operator.change", target=name, summary=f"{name}: {what}")

    def run(self, tx: Transaction, call: Call) -> Outcome[InvitedOperator]:
        """See `Verb.run`."""
        changed, code = self._changed(tx, tx.people.find(self.name))
        tx.raise_revision()
        return Outcome(InvitedOperator(view_of(tx, changed), code), (AccessChanged(),))

    def _changed(self, tx: Transaction, operator: Operator) -> tuple[Operator, str]:
        """(the person after it, an enrolment code where factors were reset)."""
        match self.change:
            case Change.ROLES:
                changed = replace(operator, roles=self.roles)
                before = tuple(map(str, operator.standing_roles))
                after = tuple(map(str, self.roles))
                told = OperatorRolesChanged(operator=operator.name, before=before, after=after)
                tx.people.put(changed)
                tx.record(told)
                return changed, ""
            case Change.ENABLE:
                changed = replace(operator, enabled=True)
                tx.people.put(changed)
                tx.record(OperatorEnabled(operator=operator.name))
                return changed, ""
            case Change.RESET:
                return reset_factors(tx, operator)


@dataclass(frozen=True, slots=True)
class DisableOperator(Verb[OperatorView]):
    """Bar a person at once: sessions end here and at gateways, approvals count no more.

    One person suffices; letting in again takes two.
    """

    name: str
    why: str

    @classmethod
    def parse(cls, request: pb.DisableOperatorRequest) -> Self:
        """Whoever is named."""
        return cls(request.name, request.reason[:MAX_REASON])

    @property
    def reason(self) -> str:
        """See `Verb.reason`."""
        return self.why

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        name = tx.people.find(self.name).name
        return Aim("operator.disable", target=name, summary=f"disable operator {name}")

    def run(self, tx: Transaction, call: Call) -> Outcome[OperatorView]:
        """See `Verb.run`. Raises Refused (CONFLICT) for oneself."""
        operator = tx.people.find(self.name)
        if call.actor == OPERATOR_PREFIX + operator.name:
            hint = "framegate logout ends your session"
            raise Refused.of(Reason.CONFLICT, "somebody else's name", "your own", hint)
        barred = disable(tx, operator, self.why)
        return Outcome(view_of(tx, barred), (AccessChanged(),))


@dataclass(frozen=True, slots=True)
class SetQuorum(Verb[Me]):
    """How many people a decision takes."""

    value: int

    @classmethod
    def parse(cls, request: pb.QuorumRequest) -> Self:
        """Whatever is asked for."""
        return cls(request.value)

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        summary = f"decisions take {self.value} people"
        return Aim("quorum.set", target=str(self.value), summary=summary)

    def run(self, tx: Transaction, call: Call) -> Outcome[Me]:
        """See `Verb.run`. Raises Refused (USAGE, CONFLICT)."""
        set_quorum(tx, self.value)
        return Outcome(me(tx, call.caller), (AccessChanged(),))


def _listed(roles: tuple[Scoped, ...]) -> str:
    return ", ".join(map(str, roles))
