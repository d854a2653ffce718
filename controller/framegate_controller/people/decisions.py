"""Decisions of the access policy as they are kept, so that another policy can be asked the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from framegate.access.decision import Decision
from framegate.access.policy import PolicySet, Request
from framegate.registry.zone import KeptDecision
from framegate.wire import sha256

_NO_CONTENT: Final = frozenset({"factorAge", "source"})
"""The age of a factor and the address differ from call to call: they are no content."""


def kept(request: Request, decision: Decision, policy: PolicySet, now_ms: int) -> KeptDecision:
    """What was asked and answered now, once; the same content has the same digest."""
    context = {k: v for k, v in request.context.items() if k not in _NO_CONTENT}
    same = replace(request, context=context)
    return KeptDecision(
        sha256=sha256(f"{same.marshal()} {decision.allow} {policy.version}".encode()),
        request=request.marshal(),
        allow=decision.allow,
        policies=decision.policies,
        policy_version=policy.version,
        first_ms=now_ms,
        last_ms=now_ms,
        count=1,
    )
