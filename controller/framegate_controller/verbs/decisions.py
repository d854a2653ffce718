"""The log of decisions: read, and a release of this software approved into it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Self

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from framegate.errors import Malformed, Reason, Refused
from framegate.identity.certificates import UNREADABLE
from framegate.record.transparency_events import ReleaseApproved
from framegate.signed.release import MAX_BUNDLE_BYTES, Provenance, verify_release
from framegate.transparency.decision import Kind, Named
from framegate.wire import sha256
from framegate_controller.people.authority import Aim
from framegate_controller.record.decisions import decisions_key, present_head, published_head
from framegate_controller.store.ports import Transaction, WitnessStanding
from framegate_controller.store.shared.decisions import log_release
from framegate_controller.verbs.verb import Call, Outcome, Verb
from framegate_proto.v1 import framegate_pb2 as pb

AT_ONCE: Final = 2_000
"""Entries of one answer: some hundred kilobytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionsRead:
    """Entries from the one asked for on, the heads of `DecisionsReply`, and how witnesses stand."""

    entries: tuple[bytes, ...]
    head: bytes
    published: bytes
    key: str
    witnesses: tuple[WitnessStanding, ...]


@dataclass(frozen=True, slots=True)
class ReadDecisions(Verb[DecisionsRead]):
    """The log of decisions from an entry on."""

    WRITES: ClassVar[bool] = True  # a head that is signed is kept

    first: int

    @classmethod
    def parse(cls, request: pb.ReadDecisionsRequest) -> Self:
        """Whatever is asked for."""
        return cls(request.first)

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        return Aim("audit.read")

    def run(self, tx: Transaction, call: Call) -> Outcome[DecisionsRead]:
        """See `Verb.run`."""
        keys = call.fleet.keys
        published = published_head(tx, keys, call.fleet.require_cosigned)
        return Outcome(
            DecisionsRead(
                entries=tuple(tx.decisions.entries(self.first, AT_ONCE)),
                head=present_head(tx, keys).note,
                published=published.note if published is not None else b"",
                key=decisions_key(tx, keys).text,
                witnesses=tuple(tx.decisions.witnesses()),
            )
        )


@dataclass(frozen=True, slots=True)
class ApprovedRelease:
    """A release that may be installed, by its signed bundle."""

    version: str
    commit: str
    sha256: str


@dataclass(frozen=True, slots=True)
class ApproveRelease(Verb[ApprovedRelease]):
    """Approve a release of this software, by its bundle and the public key (DER) that must have
    signed that: whoever asks for it in the log installs no other.
    """

    bundle: bytes
    key: bytes

    @classmethod
    def parse(cls, request: pb.ApproveReleaseRequest) -> Self:
        """Raises Malformed (TOO_LARGE)."""
        if len(request.bundle) > MAX_BUNDLE_BYTES:
            wanted = f"a bundle of at most {MAX_BUNDLE_BYTES} bytes"
            raise Malformed.of(Reason.TOO_LARGE, wanted, len(request.bundle))
        return cls(request.bundle, request.key)

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`. Raises what `verify_release` does: what does not hold asks nobody."""
        release, digest = self._verified(), sha256(self.bundle).hex()
        summary = f"approve release {release.version} (bundle {digest[:16]})"
        summary += (
            f", built from {release.commit[:12]}, signed by key {sha256(self.key).hex()[:16]}"
        )
        return Aim("release.approve", target=digest, summary=summary)

    def run(self, tx: Transaction, call: Call) -> Outcome[ApprovedRelease]:
        """See `Verb.run`. Raises Refused (CONFLICT) where it is approved."""
        release, digest = self._verified(), sha256(self.bundle).hex()
        if tx.decisions.index_of(Named(Kind.RELEASE, digest)) is not None:
            wanted = "a release that is not approved yet"
            raise Refused.of(Reason.CONFLICT, wanted, release.version, "framegate log list")
        log_release(tx, release.version, digest)
        event = ReleaseApproved(release=release.version, digest=digest, commit=release.commit)
        tx.record(event)
        return Outcome(ApprovedRelease(release.version, release.commit, digest))

    def _verified(self) -> Provenance:
        try:
            key = load_der_public_key(self.key)
        except UNREADABLE as error:
            raise Malformed.of(Reason.USAGE, "a public key", type(error).__name__) from error
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise Malformed.of(Reason.USAGE, "an elliptic-curve key", type(key).__name__)
        return verify_release(self.bundle, (), key)
