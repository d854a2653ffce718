"""The access policy in the store: signed by the controller's policy key, verified at every load, versions only rise."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from cryptography import x509
from sqlalchemy import select
from sqlalchemy.orm import Session

from framegate.access.policy import PolicySet, PolicyStatement, default_files, parse_policy, verify_policy
from framegate.access.questions import verb_request
from framegate.access.verbs import FLEET_WIDE, find_verb
from framegate.errors import Reason, Refused
from framegate_controller.ca.keys import FleetKeys
from framegate_controller.people.operators import enrolled, standing_roles
from framegate_controller.store.registry import raise_revision, record
from framegate_controller.store.tables import OperatorRow, PolicyRow


def apply_policy(session: Session, keys: FleetKeys, files: Mapping[str, str], *, base: int, note: str, actor: str, now_ms: int) -> PolicyRow:
    """Put a policy in force.

    1. `base` is the version in force: whoever changed another one meanwhile is not overwritten; 2. it parses and fits its schema
    (`parse_policy`); 3. somebody who is there could still put another in force, with others' approval; 4. it is signed under the next version.
    Raises Malformed or Refused (CONFLICT).
    """
    current = current_row(session)
    held = current.version if current else 0
    if base != held:  # 1
        raise Refused.of(Reason.CONFLICT, f"a change of version {held}, which is in force", f"one of version {base}", "framegate policy pull --out DIR, change that, apply again")
    made = parse_policy(files, held + 1)  # 2
    if current is not None and current.sha256 == made.sha256:
        raise Refused.of(Reason.CONFLICT, "a policy that differs from the one in force", "the same")
    if current is not None:  # 3
        _still_steerable(session, keys, made)
    signer = keys.signing["policy"]  # 4
    statement = PolicyStatement(version=held + 1, files=tuple({"name": n, "text": t} for n, t in sorted(files.items())), applied_by=actor, applied_at_ms=now_ms)
    row = PolicyRow(version=held + 1, sha256=made.sha256, envelope=statement.seal(signer.der, signer.sign), applied_by=actor, applied_ms=now_ms, note=note[:500])
    session.add(row)
    raise_revision(session)
    record(session, now_ms, "", "policy-applied", actor, f"{made.words}{': ' + note[:500] if note else ''}")
    return row


def _still_steerable(session: Session, keys: FleetKeys, policy: PolicySet) -> None:
    people = [p for p in session.scalars(select(OperatorRow).where(OperatorRow.enabled)).all() if enrolled(session, p)]
    for person in people:
        roles = tuple(sorted({r.role for r in standing_roles(person)}))
        question = verb_request(
            find_verb("policy.apply"), operator=person.name, roles=roles, zone=FLEET_WIDE, frozen=False, fleet=keys.fleet, approvals=9, quorum=2, factor_age_s=0, source="",
        )  # fmt: skip
        if policy.decide(question).allow:
            return
    if people:
        raise Refused.of(Reason.POLICY_INVALID, "a policy under which somebody may apply the next one", "one that lets nobody", "permit policy.apply to a role that somebody holds")


def current_row(session: Session) -> PolicyRow | None:
    """The row in force."""
    return session.scalars(select(PolicyRow).order_by(PolicyRow.version.desc()).limit(1)).one_or_none()


def load_policy(session: Session, keys: FleetKeys, version: int = 0) -> PolicySet:
    """The policy in force, or `version`. Raises Refused: none, or one whose signature, version or text does not hold. Then nothing is allowed."""
    row = session.get(PolicyRow, version) if version else current_row(session)
    if row is None:
        raise Refused.of(Reason.POLICY_INVALID, "an access policy in force", "none", "framegate-controller init makes one; restore the registry")
    found = _verified(row.envelope, keys.root.certificate)
    if found.version != row.version:
        raise Refused.of(Reason.POLICY_INVALID, f"policy version {row.version}", found.version, "the store was changed: restore it")
    return found


def ensure_policy(session: Session, keys: FleetKeys, now_ms: int) -> None:
    """A new fleet begins with the default policy."""
    if current_row(session) is None:
        apply_policy(session, keys, default_files(), base=0, note="the default policy", actor="controller", now_ms=now_ms)


@lru_cache(maxsize=8)
def _verified(envelope: bytes, root: x509.Certificate) -> PolicySet:
    """Once for each text: it is asked for at every call."""
    return verify_policy(envelope, root)
