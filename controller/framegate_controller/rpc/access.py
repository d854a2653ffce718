"""Rows of the operator's port: roles for a while, approvals, and what the policy would say."""

from __future__ import annotations

from typing import Any, Final

from framegate.machines.request import RequestKind
from framegate_controller.context import Fleet
from framegate_controller.rpc.table import Rpc
from framegate_controller.verbs.access import (
    AskedContent,
    CanI,
    DecideAccess,
    ListAccess,
    Opinion,
    RequestRole,
    Requests,
    RequestVerb,
    RequestView,
    ShowAccess,
    TakeApproval,
)
from framegate_proto.edge import to_failures
from framegate_proto.v1 import framegate_pb2 as pb


def _request(view: RequestView, _fleet: Fleet) -> pb.AccessRow:
    request = view.request
    return pb.AccessRow(
        id=request.id,
        requester=request.requester,
        verb="" if request.kind == RequestKind.ROLE else request.about,
        role=request.role,
        zone=request.zone,
        target=request.target,
        content_sha256=request.content_sha256,
        summary=request.summary,
        reason=request.reason,
        state=request.state,
        approvals=[a.operator for a in request.approvals],
        asked_ms=request.asked_ms,
        expires_ms=request.expires_ms,
        until_ms=request.until_ms,
        needed=view.needed,
        content_type=request.content_type,
    )


def _content(asked: AskedContent, fleet: Fleet) -> pb.AskedContent:
    return pb.AskedContent(
        row=_request(asked.view, fleet),
        content=asked.content,
        compared=asked.in_force is not None,
        in_force=asked.in_force or b"",
    )


def _requests(requests: Requests, fleet: Fleet) -> pb.AccessReply:
    return pb.AccessReply(rows=[_request(v, fleet) for v in requests.views], quorum=requests.quorum)


def _approvals(signed: tuple[bytes, ...], _fleet: Fleet) -> pb.ApprovalReply:
    return pb.ApprovalReply(approvals=signed)


def _opinion(opinion: Opinion, _fleet: Fleet) -> pb.CanIReply:
    decision = opinion.decision
    failures = () if decision.failure is None else (decision.failure,)
    return pb.CanIReply(
        allow=decision.allow,
        policies=decision.policies,
        failures=to_failures(failures),
        policy=opinion.policy,
    )


ROWS: Final[tuple[Rpc[Any, Any, Any], ...]] = (
    Rpc("RequestRole", RequestRole.parse, _request),
    Rpc("RequestVerb", RequestVerb.parse, _request),
    Rpc("DecideAccess", DecideAccess.parse, _request),
    Rpc("ListAccess", ListAccess.parse, _requests),
    Rpc("ShowAccess", ShowAccess.parse, _content),
    Rpc("TakeApproval", TakeApproval.parse, _approvals),
    Rpc("CanI", CanI.parse, _opinion),
)
