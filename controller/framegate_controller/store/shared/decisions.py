"""What is decided on is logged in the transaction that decides it, for witnesses to see."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from framegate.access.policy_statement import PolicyStatement
from framegate.profile.model import PROFILE_TYPE
from framegate.registry.model import Model, ZonePin
from framegate.registry.rollout import ProfileRevision
from framegate.registry.zone import AppliedPolicy
from framegate.signed.dsse import parse_envelope
from framegate.signed.pin import ModelPin
from framegate.transparency.decision import MAX_SUBJECT, Decision, Kind
from framegate.wire import sha256
from framegate_controller.store.ports import Transaction

POLICY_SUBJECT: Final = "access"
MOST_APPROVED: Final = 500
"""Approved models that a log begins with: as many as are listed."""


def begin_log(tx: Transaction) -> int:
    """A log without an entry begins with what is in force: of a fleet that decided before there was
    one. How many entries that are; 0 where it has some.
    """
    if tx.decisions.size():
        return 0
    for decision in _in_force(tx):
        tx.decisions.append(decision)
    return tx.decisions.size()


def log_policy(tx: Transaction, applied: AppliedPolicy) -> None:
    """An access policy is in force."""
    _log(tx, _of_policy(tx, applied))


def log_pin(tx: Transaction, pin: ZonePin) -> None:
    """A model is in force in a zone."""
    _log(tx, _of_pin(tx, pin))


def log_profile(tx: Transaction, revision: ProfileRevision) -> None:
    """A revision of a firmware profile is kept."""
    _log(tx, _of_profile(tx, revision))


def log_model(tx: Transaction, model: Model, kind: Kind = Kind.MODEL) -> None:
    """A model is approved, or withdrawn."""
    _log(tx, _decision(tx, kind, model.name, model.version, model.digest))


def log_release(tx: Transaction, version: str, digest: str) -> None:
    """A release of this software may be installed; `digest` (hex) is of its signed bundle."""
    _log(tx, _decision(tx, Kind.RELEASE, version, 0, digest))


def payload_digest(envelope: bytes, kind: str) -> str:
    """SHA-256 (hex) of what an envelope signs: one that is signed anew says the same. Raises
    Malformed.
    """
    return sha256(parse_envelope(envelope, kind).payload).hex()


def _log(tx: Transaction, decision: Decision) -> None:
    begun = begin_log(tx)  # with what this transaction put in force before it came here
    if not begun or tx.decisions.index_of(decision.named) is None:
        tx.decisions.append(decision)


def _in_force(tx: Transaction) -> Iterator[Decision]:
    policy = tx.policies.current()
    if policy is not None:
        yield _of_policy(tx, policy)
    yield from (_of_profile(tx, revision) for revision in tx.profiles.revisions())
    for model in tx.models.approved(MOST_APPROVED):
        yield _decision(tx, Kind.MODEL, model.name, model.version, model.digest)
    pins = [tx.models.pin(zone) for zone in tx.models.pinned_zones()]
    yield from (_of_pin(tx, pin) for pin in pins if pin is not None)


def _of_policy(tx: Transaction, applied: AppliedPolicy) -> Decision:
    digest = payload_digest(applied.envelope, PolicyStatement.TYPE)
    return _decision(tx, Kind.POLICY, POLICY_SUBJECT, applied.version, digest)


def _of_pin(tx: Transaction, pin: ZonePin) -> Decision:
    digest = payload_digest(pin.envelope, ModelPin.TYPE)
    return _decision(tx, Kind.PIN, pin.zone, pin.sequence, digest)


def _of_profile(tx: Transaction, revision: ProfileRevision) -> Decision:
    digest = payload_digest(revision.envelope, PROFILE_TYPE)
    return _decision(tx, Kind.PROFILE, revision.name, revision.revision, digest)


def _decision(tx: Transaction, kind: Kind, subject: str, version: int, digest: str) -> Decision:
    return Decision(
        kind=kind,
        subject=subject[:MAX_SUBJECT],
        version=version,
        sha256=digest,
        at_ms=tx.now_ms,
    )
