"""Others' approval of an act at a gateway: signed for gateways of one zone, spent by that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from framegate.access.approvals import ApprovalStatement
from framegate.access.policy import PolicySet
from framegate.errors import Reason, Refused
from framegate.identity.names import split_device_id
from framegate.record.people_events import ApprovalTaken
from framegate.registry.request import AccessRequest
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.people.approvers import approved
from framegate_controller.people.operators import quorum
from framegate_controller.people.requests import use
from framegate_controller.store.ports import Transaction

MAX_GATEWAYS: Final = 64
"""Of one zone; a line has two or three."""


def find_approved(
    tx: Transaction,
    requester: str,
    verb: str,
    content_sha256: bytes,
    policy: PolicySet,
    *,
    gateways: Sequence[str],
) -> tuple[AccessRequest, tuple[str, ...]]:
    """The approved request for exactly this at `gateways`, and who approves it.

    Raises Refused (NOT_FOUND).
    """
    request, people = approved(tx, requester, verb, content_sha256, policy, gateways=gateways)
    if request is not None and len(people) + 1 >= quorum(tx):
        return request, people
    expected = f"an approved request for exactly this {verb[:60]}"
    if request is None:
        hint = "it is asked for by the command itself"
        raise Refused.of(Reason.NOT_FOUND, expected, "none", hint)
    hint = f"somebody else: framegate access approve {request.id}"
    raise Refused.of(Reason.NOT_FOUND, expected, f"{len(people)} approvals", hint)


def sign_approvals(
    tx: Transaction,
    keys: FleetKeys,
    request: AccessRequest,
    people: tuple[str, ...],
    gateways: Sequence[str],
) -> tuple[bytes, ...]:
    """Spend an approved request: its approval by `people`, signed for each gateway.

    All are of the zone for which it was approved, by who may approve there. Raises Malformed,
    Refused (APPROVAL_NEEDED).
    """
    named = sorted(set(gateways))
    elsewhere = any(split_device_id(g).zone != request.zone for g in named)
    if not 0 < len(named) <= MAX_GATEWAYS or elsewhere:
        expected = f"1 to {MAX_GATEWAYS} gateways of zone {request.zone}, for which it was approved"
        raise Refused.of(Reason.APPROVAL_NEEDED, expected, ascii(", ".join(named)[:200]))
    use(tx, request)
    signer = keys.signing["approval"]
    statements = (_statement(tx.now_ms, request, people, g) for g in named)
    signed = tuple(s.seal(signer.der, signer.sign) for s in statements)
    told = ApprovalTaken(
        request=request.id, summary=request.summary, gateways=tuple(named), approvers=people
    )
    tx.record(told)
    return signed


def _statement(
    now_ms: int, request: AccessRequest, people: tuple[str, ...], gateway: str
) -> ApprovalStatement:
    return ApprovalStatement(
        request_id=request.id,
        verb=request.verb,
        zone=request.zone,
        content_sha256=request.content_sha256.hex(),
        requester=request.requester,
        approvers=people,
        policy_sha256=request.policy_sha256.hex(),
        gateway=gateway,
        reason=request.reason,
        issued_at_ms=now_ms,
    )
