"""What the access policy says of machines: which camera a model may look at, and where."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from framegate.access.decision import Decision
from framegate.access.policy import PolicySet
from framegate.access.questions import inspect_request
from framegate.identity.names import DeviceId
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.people.decisions import kept
from framegate_controller.people.policies import load_policy
from framegate_controller.store.ports import Transaction
from framegate_controller.store.shared.policies import PolicyCache


def may_inspect(
    tx: Transaction,
    policies: PolicyCache,
    keys: FleetKeys,
    facts: Mapping[str, Any],
    device: DeviceId,
    model: str,
    zone: str,
) -> tuple[Decision, PolicySet]:
    """Whether a machine may use the model with this digest (hex) at a gateway of `zone`.

    The decision is kept, to be asked of another policy. Raises Refused (POLICY_INVALID).
    """
    policy = load_policy(tx, keys, policies)
    request = inspect_request(facts, device, model, zone)
    decision = policy.decide(request)
    tx.policies.keep_decision(kept(request, decision, policy, tx.now_ms))
    return decision, policy
