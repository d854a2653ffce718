"""The access policy: shown, put in force, and tried on what was decided before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Self

from framegate.access.policy import PolicySet, Request, parse_policy
from framegate.access.policy_statement import pilots_of, segments_of
from framegate.errors import Failure, FramegateError, Malformed, Reason, Refused
from framegate.pilot.policy import pilot_changes, require_ends
from framegate.registry.zone import AppliedPolicy, KeptDecision
from framegate.segment.draft import Effect, changes_between
from framegate_controller.context import Fleet
from framegate_controller.events.notices import AccessChanged
from framegate_controller.people.authority import Aim
from framegate_controller.people.policies import apply_policy
from framegate_controller.store.ports import Store, Transaction
from framegate_controller.verbs.verb import Call, Outcome, StreamedVerb, Verb
from framegate_proto.v1 import framegate_pb2 as pb

MAX_VERSIONS: Final = 200
MAX_SUMMARY: Final = 300
"""Characters of a note in what approvers read."""
_SHORT: Final = 16
"""Digits of a digest that tell two policies apart for people."""


@dataclass(frozen=True, slots=True)
class ShowPolicy(Verb[AppliedPolicy]):
    """A version, by default (0) the one in force, as it was signed."""

    version: int

    @classmethod
    def parse(cls, request: pb.PolicyRequest) -> Self:
        """Whatever is asked for."""
        return cls(request.version)

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        return Aim("policy.show")

    def run(self, tx: Transaction, call: Call) -> Outcome[AppliedPolicy]:
        """See `Verb.run`. Raises Refused (NOT_FOUND)."""
        policy = tx.policies.version(self.version) if self.version else tx.policies.current()
        if policy is None:
            expected, hint = "a version of the access policy", "framegate policy history"
            raise Refused.of(Reason.NOT_FOUND, expected, self.version, hint)
        return Outcome(policy)


@dataclass(frozen=True, slots=True)
class PolicyHistory(Verb[list[AppliedPolicy]]):
    """Every version that was in force, newest first."""

    @classmethod
    def parse(cls, _request: pb.ListRequest) -> Self:
        """Nothing is asked for."""
        return cls()

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        return Aim("policy.show")

    def run(self, tx: Transaction, call: Call) -> Outcome[list[AppliedPolicy]]:
        """See `Verb.run`."""
        return Outcome(tx.policies.history(MAX_VERSIONS))


@dataclass(frozen=True, slots=True)
class ApplyPolicy(Verb[AppliedPolicy]):
    """Put a policy in force, here and at every gateway."""

    files: Mapping[str, str]
    sha256: bytes
    base: int
    note: str

    @classmethod
    def parse(cls, request: pb.ApplyPolicyRequest) -> Self:
        """Raises Malformed: nobody is asked to approve what is no policy."""
        files = _files(request.files)
        return cls(files, parse_policy(files).sha256, request.base, request.note)

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        short = self.sha256.hex()[:_SHORT]
        told = self._piloted(tx) + self._opened(tx)
        change = f"access policy {short} in place of version {self.base}{told}"
        return Aim("policy.apply", target=short, summary=change[:MAX_SUMMARY])

    def _opened(self, tx: Transaction) -> str:
        """What its segments let through that those in force do not, in words (N167)."""
        kept = tx.policies.current()
        try:
            before = segments_of(kept.envelope) if kept is not None else {}
        except FramegateError:
            return "; segments in force cannot be read"
        changes = changes_between(before, parse_policy(self.files).segments)
        opened = [c.what for c in changes if c.effect is Effect.OPENS]
        if not changes:
            return ""
        told = f": {'; '.join(opened)}" if opened else ""
        return f"; its segments open {len(opened)} of {len(changes)} changes{told}"

    def _piloted(self, tx: Transaction) -> str:
        """Which zones it stops enforcing, or enforces again, in words."""
        kept = tx.policies.current()
        try:
            before = pilots_of(kept.envelope) if kept is not None else {}
        except FramegateError:
            return "; pilots in force cannot be read"
        told = pilot_changes(before, parse_policy(self.files).pilots)
        return f"; {'; '.join(told)}" if told else ""

    def run(self, tx: Transaction, call: Call) -> Outcome[AppliedPolicy]:
        """See `Verb.run`. Raises Refused (CONFLICT, POLICY_INVALID), and (PILOT) where a pilot has
        no end in sight.
        """
        keys = call.fleet.keys
        require_ends(parse_policy(self.files).pilots, tx.now_ms)
        applied = apply_policy(tx, keys, self.files, base=self.base, note=self.note)
        return Outcome(applied, (AccessChanged(grants=True),))


@dataclass(frozen=True, slots=True)
class Simulated:
    """A decision that was kept, what was asked, and what another policy says to it."""

    kept: KeptDecision
    asked: Request
    would: bool = False
    policies: tuple[str, ...] = ()
    failures: tuple[Failure, ...] = ()


@dataclass(frozen=True, slots=True)
class SimulatePolicy(StreamedVerb[list[KeptDecision], Simulated]):
    """Recorded decisions since a time, decided again by another policy; changes nothing."""

    policy: PolicySet
    since_ms: int

    @classmethod
    def parse(cls, request: pb.SimulateRequest) -> Self:
        """Raises Malformed."""
        return cls(parse_policy(_files(request.files)), request.since_ms)

    def aim(self, tx: Transaction) -> Aim:
        """See `Verb.aim`."""
        return Aim("policy.simulate", target=self.policy.sha256.hex()[:_SHORT])

    def run(self, tx: Transaction, call: Call) -> Outcome[list[KeptDecision]]:
        """See `Verb.run`."""
        return Outcome(tx.policies.decisions(self.since_ms))

    def rows(self, store: Store, fleet: Fleet, start: list[KeptDecision]) -> Iterator[Simulated]:
        """See `StreamedVerb.rows`."""
        for kept in start:
            yield self._again(kept)

    def _again(self, kept: KeptDecision) -> Simulated:
        asked = Request.parse(kept.request)
        try:
            decision = self.policy.decide(asked)
        except FramegateError as error:
            return Simulated(kept, asked, failures=error.failures)
        failures = () if decision.failure is None else (decision.failure,)
        return Simulated(kept, asked, decision.allow, decision.policies, failures)


def _files(files: Iterable[pb.PolicyFile]) -> dict[str, str]:
    """Name to text. Raises Malformed where there is none, or a name stands twice."""
    named = [(f.name, f.text) for f in files]
    by_name = dict(named)
    if not by_name or len(by_name) < len(named):
        raise Malformed.of(Reason.USAGE, "files of a policy, each name once", len(named))
    return by_name
