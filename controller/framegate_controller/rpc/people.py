"""Rows of the operator's port: sessions, factors and operators."""

from __future__ import annotations

from typing import Any, Final

from framegate_controller.context import Fleet
from framegate_controller.people.security_keys import KeyCeremony
from framegate_controller.rpc.table import Rpc
from framegate_controller.verbs.people import (
    AddOperator,
    ChangeOperator,
    DisableOperator,
    InvitedOperator,
    ListOperators,
    Operators,
    OperatorView,
    SetQuorum,
)
from framegate_controller.verbs.sessions import (
    AddKeyBegin,
    AddKeyComplete,
    FactorAnswer,
    Me,
    ProveFactor,
    SignOut,
    WhoAmI,
)
from framegate_proto.v1 import framegate_pb2 as pb


def _me(me: Me, fleet: Fleet) -> pb.WhoAmIReply:
    return pb.WhoAmIReply(
        operator=me.caller.name,
        roles=[str(r) for r in me.caller.roles],
        session_expires_ms=me.session.expires_ms if me.session is not None else 0,
        factor_ms=me.caller.factor_ms,
        elevations=[
            pb.AccessRow(id=e.request, role=e.scoped.role, zone=e.scoped.zone, until_ms=e.until_ms)
            for e in me.elevations
        ],
        method=me.session.method if me.session is not None else "",
        quorum=me.quorum,
        notices=me.notices,
        fleet=fleet.name,
        totp=me.totp,
        security_keys=me.security_keys,
        authorities=fleet.keys.authorities,
    )


def _signed_out(name: str, _fleet: Fleet) -> pb.WhoAmIReply:
    return pb.WhoAmIReply(operator=name)


def _challenge(ceremony: KeyCeremony, _fleet: Fleet) -> pb.KeyChallenge:
    return pb.KeyChallenge(state=ceremony.state, options=ceremony.options)


def _proved(answer: FactorAnswer, fleet: Fleet) -> pb.ProveFactorReply:
    if answer.challenge is not None:
        return pb.ProveFactorReply(challenge=_challenge(answer.challenge, fleet))
    return pb.ProveFactorReply(factor_ms=answer.factor_ms)


def _record(view: OperatorView) -> pb.OperatorRecord:
    operator = view.operator
    return pb.OperatorRecord(
        name=operator.name,
        remark=operator.remark,
        enabled=operator.enabled,
        roles=[str(r) for r in operator.standing_roles],
        elevations=[f"{e.scoped} until {e.until_ms}" for e in view.elevations],
        enrolled=view.enrolled,
        factors=view.factors,
        seen_ms=operator.seen_ms,
        added_ms=operator.added_ms,
        added_by=operator.added_by,
        sessions=view.sessions,
    )


def _operators(listing: Operators, _fleet: Fleet) -> pb.OperatorsReply:
    return pb.OperatorsReply(operators=map(_record, listing.operators), quorum=listing.quorum)


def _invited(invited: InvitedOperator, fleet: Fleet) -> pb.OperatorReply:
    return pb.OperatorReply(
        operator=_record(invited.view),
        enrolment=invited.enrolment,
        join_address=fleet.addresses.join,
        fleet_address=fleet.addresses.fleet,
        server_name=fleet.addresses.server_name,
        root=fleet.keys.root.der,
    )


def _barred(view: OperatorView, _fleet: Fleet) -> pb.OperatorReply:
    return pb.OperatorReply(operator=_record(view))


ROWS: Final[tuple[Rpc[Any, Any, Any], ...]] = (
    Rpc("WhoAmI", WhoAmI.parse, _me),
    Rpc("SignOut", SignOut.parse, _signed_out),
    Rpc("ProveFactor", ProveFactor.parse, _proved),
    Rpc("AddKeyBegin", AddKeyBegin.parse, _challenge),
    Rpc("AddKeyComplete", AddKeyComplete.parse, _me),
    Rpc("ListOperators", ListOperators.parse, _operators),
    Rpc("AddOperator", AddOperator.parse, _invited),
    Rpc("ChangeOperator", ChangeOperator.parse, _invited),
    Rpc("DisableOperator", DisableOperator.parse, _barred),
    Rpc("SetQuorum", SetQuorum.parse, _me),
)
