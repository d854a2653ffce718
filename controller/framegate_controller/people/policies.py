"""The access policy in force: signed, verified before it counts; versions only rise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from framegate.access.policy import PolicySet, default_files, parse_policy, verify_policy
from framegate.access.policy_statement import PolicyStatement
from framegate.access.questions import verb_request
from framegate.access.verbs import FLEET_WIDE, find_verb
from framegate.errors import Reason, Refused
from framegate.record.fleet_events import PolicyApplied
from framegate.registry.operator import Operator
from framegate.registry.zone import AppliedPolicy
from framegate.wire import sha256
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.people.operators import enrolled
from framegate_controller.store.ports import CONTROLLER, Transaction
from framegate_controller.store.shared.decisions import log_policy
from framegate_controller.store.shared.policies import PolicyCache
from framegate_controller.store.shared.versions import next_version

MAX_NOTE: Final = 500
"""Characters of the note that a version is kept with."""
_ENOUGH: Final = 9
"""Approvals of others with which every quorum is met."""


def apply_policy(
    tx: Transaction, keys: FleetKeys, files: Mapping[str, str], *, base: int, note: str
) -> AppliedPolicy:
    """Put a policy in force, in the name of who acts.

    1. `base` is the version in force: whoever changed another one meanwhile is not overwritten;
    2. it parses and fits its schema (`parse_policy`), and differs; 3. somebody who is there could
    still put another in force, with others' approval; 4. it is signed under the next version.
    Raises Malformed or Refused (CONFLICT, POLICY_INVALID).
    """
    current = tx.policies.current()
    version_in_force = current.version if current is not None else 0
    if base != version_in_force:  # 1
        raise Refused.of(
            Reason.CONFLICT,
            f"a change of version {version_in_force}, which is in force",
            f"one of version {base}",
            "framegate policy pull --out DIR, change that, apply again",
        )
    policy = parse_policy(files, next_version(tx, version_in_force))  # 2
    if current is not None and current.sha256 == policy.sha256:
        expected = "a policy that differs from the one in force"
        raise Refused.of(Reason.CONFLICT, expected, "the same")
    if current is not None:  # 3
        _require_steerable(tx, keys, policy)
    applied = _signed(tx, keys, policy, note[:MAX_NOTE])  # 4
    _put_in_force(tx, applied)
    tx.record(PolicyApplied(policy=policy.label, note=applied.note))
    return applied


def sign_policy_anew(tx: Transaction, keys: FleetKeys, note: str) -> AppliedPolicy:
    """The policy in force once more, under the next version. Raises Refused (POLICY_INVALID) where
    there is none, or one that does not hold.
    """
    kept = tx.policies.current()
    if kept is None:
        wanted, hint = "an access policy in force", "this backup is of no founded fleet"
        raise Refused.of(Reason.POLICY_INVALID, wanted, "none", hint)
    present = verify_policy(kept.envelope, keys.root.certificate)
    policy = parse_policy(dict(present.files), next_version(tx, kept.version))
    applied = _signed(tx, keys, policy, note[:MAX_NOTE])
    _put_in_force(tx, applied)
    tx.record(PolicyApplied(policy=policy.label, note=applied.note))
    return applied


def found_policy(tx: Transaction, keys: FleetKeys) -> None:
    """A new fleet begins with the default policy; a fleet that has one keeps it."""
    if tx.policies.current() is None:
        apply_policy(tx, keys, default_files(), base=0, note="the default policy")


def _put_in_force(tx: Transaction, applied: AppliedPolicy) -> None:
    tx.policies.add(applied)
    tx.raise_revision()
    log_policy(tx, applied)


def load_policy(
    tx: Transaction, keys: FleetKeys, cache: PolicyCache, version: int = 0
) -> PolicySet:
    """The policy in force, or `version`.

    Raises Refused: none, or one whose signature, version or text does not hold. Then nothing is
    allowed.
    """
    kept = tx.policies.version(version) if version else tx.policies.current()
    if kept is None:
        raise Refused.of(
            Reason.POLICY_INVALID,
            "an access policy in force",
            "none",
            "framegate-controller init makes one; restore the registry",
        )
    policy = _verified(kept.envelope, keys, cache)
    if policy.version != kept.version:
        expected, hint = f"policy version {kept.version}", "the store was changed: restore it"
        raise Refused.of(Reason.POLICY_INVALID, expected, policy.version, hint)
    return policy


def _verified(envelope: bytes, keys: FleetKeys, cache: PolicyCache) -> PolicySet:
    root = keys.root.certificate
    verified = sha256(keys.root.der + envelope)
    policy = cache.get(verified)
    if policy is None:
        policy = verify_policy(envelope, root)
        cache.keep(verified, policy)
    return policy


def _signed(tx: Transaction, keys: FleetKeys, policy: PolicySet, note: str) -> AppliedPolicy:
    signer = keys.signing["policy"]
    by = tx.act.actor if tx.act is not None else CONTROLLER
    statement = PolicyStatement(
        version=policy.version,
        files=tuple({"name": n, "text": t} for n, t in sorted(policy.files.items())),
        applied_by=by,
        applied_at_ms=tx.now_ms,
    )
    return AppliedPolicy(
        version=policy.version,
        sha256=policy.sha256,
        envelope=statement.seal(signer.der, signer.sign),
        applied_by=by,
        applied_ms=tx.now_ms,
        note=note,
    )


def _require_steerable(tx: Transaction, keys: FleetKeys, policy: PolicySet) -> None:
    people = [p for p in tx.people.all(enabled_only=True) if enrolled(tx, p)]
    if people and not any(_could_apply(p, keys, policy) for p in people):
        raise Refused.of(
            Reason.POLICY_INVALID,
            "a policy under which somebody may apply the next one",
            "one that lets nobody",
            "permit policy.apply to a role that somebody holds",
        )


def _could_apply(person: Operator, keys: FleetKeys, policy: PolicySet) -> bool:
    """With a fresh factor, and everybody else's approval."""
    asked = verb_request(
        find_verb("policy.apply"),
        operator=person.name,
        roles=tuple(sorted({r.role for r in person.standing_roles})),
        zone=FLEET_WIDE,
        frozen=False,
        fleet=keys.fleet,
        approvals=_ENOUGH,
        quorum=2,
        factor_age_s=0,
        source="",
    )
    return policy.decide(asked).allow
