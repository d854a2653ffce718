"""Whose word counts for a request at this moment: asked anew at every use (N119)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from framegate.access.caller import OPERATOR_PREFIX, roles_in
from framegate.access.policy import PolicySet
from framegate.access.questions import verb_request
from framegate.access.verbs import find_verb
from framegate.machines.request import RequestKind, RequestState
from framegate.registry.operator import Operator
from framegate.registry.request import AccessRequest
from framegate_controller.people.operators import enrolled, roles_now
from framegate_controller.store.ports import Transaction

OPEN: Final = (RequestState.PENDING, RequestState.APPROVED)
"""Where a request still leads somewhere."""
_BETWEEN: Final = ", "


def gateways_text(gateways: Sequence[str]) -> str:
    """The gateways of an act as its request's target."""
    return _BETWEEN.join(sorted(set(gateways)))


def gateways_in(target: str) -> tuple[str, ...]:
    """The gateways in a request's target."""
    return tuple(target.split(_BETWEEN))


def approvers(tx: Transaction, request: AccessRequest, policy: PolicySet) -> tuple[str, ...]:
    """Those of a request's approvers whose word counts at this moment (N119).

    1. not the requester; 2. enabled, and able to sign in; 3. there before it was asked, and not
    brought in by the requester alone; 4. the policy in force lets them approve this, by the roles
    they hold now.
    """
    allowed = []
    for name in (a.operator for a in request.approvals):
        person = tx.people.get(name)
        if name == request.requester or person is None:  # 1
            continue
        if not person.enabled or not enrolled(tx, person):  # 2
            continue
        alone = person.added_by == OPERATOR_PREFIX + request.requester and not person.vouched
        if person.added_ms > request.asked_ms or alone:  # 3
            continue
        if may_approve(tx, person, request, policy):  # 4
            allowed.append(name)
    return tuple(sorted(allowed))


def may_approve(
    tx: Transaction, person: Operator, request: AccessRequest, policy: PolicySet
) -> bool:
    """Whether the policy lets `person` approve; that their factor was fresh was asked then."""
    asked = verb_request(
        find_verb("access.approve"),
        operator=person.name,
        roles=roles_in(roles_now(tx, person), request.zone),
        zone=request.zone,
        frozen=tx.zones.get(request.zone).frozen,
        fleet="",
        approvals=0,
        quorum=1,
        factor_age_s=0,
        source="",
        target=request.about,
    )
    return policy.decide(asked).allow


def approved(
    tx: Transaction,
    requester: str,
    verb: str,
    content_sha256: bytes,
    policy: PolicySet,
    *,
    target: str | None = None,
    gateways: Sequence[str] = (),
) -> tuple[AccessRequest | None, tuple[str, ...]]:
    """(the request for exactly this, who approves it now); nobody where none waits to be used.

    With `target`, of an act on what was asked for: what the same name leads to by now is another
    thing where it was replaced. With `gateways`, of an act at these, all of which were asked for.
    """
    same = [
        r
        for r in tx.requests.of(requester, OPEN)
        if r.kind == RequestKind.ACT
        and (r.verb, r.content_sha256, r.policy_sha256) == (verb, content_sha256, policy.sha256)
        and r.expires_ms > tx.now_ms
        and target in {None, r.target}
        and set(gateways) <= set(gateways_in(r.target))
    ]
    same.sort(key=lambda r: r.state != RequestState.APPROVED)  # else the newest
    return (same[0], approvers(tx, same[0], policy)) if same else (None, ())
