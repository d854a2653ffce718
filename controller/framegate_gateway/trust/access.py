"""People and policy as this gateway knows them: out of the trust feed, evaluated here, parsed once
for each version.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography import x509

from framegate.access.approvals import APPROVAL_LIFE_MS, AskedAct, content_digest, verify_approval
from framegate.access.caller import BREAK_GLASS_ROLES, OPERATOR_PREFIX, Caller, Place, question
from framegate.access.policy import PolicySet, verify_policy
from framegate.access.questions import inspect_request
from framegate.access.verbs import find_verb, parse_scoped
from framegate.errors import Malformed, Reason, Refused
from framegate.federation.bundle import parse_bundle
from framegate.federation.receipts import KnownSite, SiteStanding
from framegate.identity.certificates import VerifiedCertificate, from_ms
from framegate.pilot.policy import Stage, stage_of
from framegate.signed.statement import CLOCK_SLACK_MS
from framegate.wire import sha256
from framegate_host.private_files import keep_private
from framegate_proto.v1 import framegate_pb2 as pb

MAX_CACHED: Final = 10_000
"""Decisions kept for devices of one zone and policy; more devices than a zone has."""


@dataclass(frozen=True, slots=True)
class GatewayAllowed:
    """What was decided: by which policies, on whose approval."""

    policies: tuple[str, ...]
    policy: str
    approved_by: tuple[str, ...] = ()
    request: str = ""


def _site(told: pb.SiteTrust) -> KnownSite:
    standing = SiteStanding.TRUSTED if told.trusted else SiteStanding.WITHDRAWN
    return KnownSite(name=told.name, bundle=parse_bundle(told.bundle), standing=standing)


class AccessView:
    """Policy, operators and the zone's rule. Nothing is allowed before the first policy came.
    `folder` keeps the highest version, and used approvals.
    """

    def __init__(self, folder: Path | None, root: Callable[[], x509.Certificate | None]) -> None:
        self._folder, self._root = folder, root
        self.policy: PolicySet | None = None
        self.quorum, self.grace, self.frozen = 2, False, False
        self.sites: dict[str, KnownSite] = {}
        """Other sites by the names people gave them here, those that were withdrawn among them."""
        self._operators: dict[str, pb.OperatorTrust] = {}
        self._decided: dict[tuple[str, str, str, str], tuple[tuple[str, ...], Refused | None]] = {}
        self._used: dict[str, int] = {}
        self._envelope = b""
        self._floor = (0, b"")
        if folder is not None and (folder / "access.json").exists():
            body = json.loads((folder / "access.json").read_text())
            self._floor, self._used = (
                (int(body["version"]), bytes.fromhex(body["sha256"])),
                {str(k): int(v) for k, v in body["used"].items()},
            )

    def apply(self, update: pb.AccessUpdate) -> None:
        """Take in what the feed says.

        1. the policy is signed by this fleet's policy key;
        2. its version is not below the highest seen, and the same version is the same policy;
        3. it parses. Then people, quorum and rule with it. Raises Malformed or Refused: the feed is
           then worth nothing, and the gate closes.
        """
        root = self._root()
        if root is None or not update.policy:
            raise Refused.of(Reason.POLICY_INVALID, "an access policy in the trust feed", "none")
        if self.policy is None or sha256(update.policy) != self._envelope:
            policy = verify_policy(update.policy, root)  # 1, 3
            floor, digest = self._floor
            if policy.version < floor or (
                policy.version == floor and digest not in {b"", policy.sha256}
            ):  # 2
                raise Refused.of(
                    Reason.POLICY_INVALID,
                    f"access policy {floor} or later",
                    f"version {policy.version}",
                    "restore the controller's registry",
                )
            self.policy, self._envelope = policy, sha256(update.policy)
            self._decided.clear()
            if policy.version > floor or not digest:
                self._floor = (policy.version, policy.sha256)
                self._keep()
        self.sites = {s.name: _site(s) for s in update.sites}
        self._operators = {o.name: o for o in update.operators}
        self.quorum, self.grace, self.frozen = max(1, update.quorum), update.grace, update.frozen

    def stage(self, zone: str, now_ms: int) -> Stage:
        """How far `zone` is enforced by the policy in force; wholly before one was heard."""
        return stage_of(self.policy.pilots if self.policy else {}, zone, now_ms)

    def inspect(self, device: str, facts: str, model: str, zone: str) -> tuple[str, ...]:
        """The policies that let `device`, with these facts, use the model with this digest here;
        decided once for the same question. Raises Refused.
        """
        key = (device, facts, model, zone)
        decided = self._decided.get(key)
        if decided is None:
            if self.policy is None:
                raise Refused.of(
                    Reason.POLICY_INVALID,
                    "an access policy",
                    "none heard yet",
                    "the gate opens when the controller is back",
                )
            try:
                body = json.loads(facts)
            except ValueError as error:
                raise Malformed.of(
                    Reason.TRUST_FEED, "facts of a device as JSON", type(error).__name__
                ) from error
            decision = self.policy.decide(inspect_request(body, device, model, zone))
            decided = (
                decision.policies,
                Refused([decision.failure]) if decision.failure is not None else None,
            )
            if len(self._decided) >= MAX_CACHED:
                self._decided.clear()
            self._decided[key] = decided
        if decided[1] is not None:
            raise Refused(decided[1].failures)
        return decided[0]

    def caller(self, identity: VerifiedCertificate, source: str, zone: str, now_ms: int) -> Caller:
        """The operator whose certificate this is, if their session stands by the feed. Raises
        Refused (SIGNED_OUT).
        """
        name = identity.common_name.removeprefix(OPERATOR_PREFIX)
        key, person = sha256(identity.spki), self._operators.get(name)
        sessions = person.sessions if person is not None else ()
        standing = [s for s in sessions if s.spki_sha256 == key and s.expires_ms > now_ms]
        if person is None or not standing or identity.common_name != f"{OPERATOR_PREFIX}{name}":
            raise Refused.of(
                Reason.SIGNED_OUT,
                "a session that stands",
                "none that the controller names",
                "framegate login",
            )
        roles = {r for r in map(parse_scoped, person.roles) if r.covers(zone)}
        if standing[0].break_glass:
            roles |= set(BREAK_GLASS_ROLES)
        return Caller(
            name=name,
            roles=tuple(sorted(roles)),
            session=key,
            factor_ms=standing[0].factor_ms,
            break_glass=standing[0].break_glass,
            source=source,
        )

    def authorise(
        self,
        caller: Caller,
        verb: str,
        request: Any,
        *,
        zone: str,
        gateway: str,
        now_ms: int,
        target: str = "",
    ) -> GatewayAllowed:
        """Ask the policy whether `caller` may do exactly `request` here; an approval that came
        along counts if it verifies, its approvers stand, and it was not used.

        Raises Refused (APPROVAL_NEEDED, FACTOR_NEEDED, POLICY_DENIED, …).
        """
        if self.policy is None:
            raise Refused.of(Reason.POLICY_INVALID, "an access policy", "none heard yet")
        approval, identifier = getattr(request, "approval", b""), ""
        people: tuple[str, ...] = ()
        if approval:
            bare = type(request)()
            bare.CopyFrom(request)
            bare.ClearField("approval")
            root = self._root()
            if root is None:
                raise Refused.of(Reason.NOT_TRUSTED, "a gateway's host in standing", "no warrant")
            act = AskedAct(
                verb=verb,
                content_sha256=content_digest(
                    verb, type(request).DESCRIPTOR.name, bare.SerializeToString(deterministic=True)
                ),
                requester=caller.name,
                gateway=gateway,
                zone=zone,
                policy_sha256=self.policy.sha256,
            )
            verified = verify_approval(approval, act, root, from_ms(now_ms))
            people = tuple(p for p in verified.approvers if p in self._operators)
            identifier = verified.request_id
            if identifier in self._used:
                raise Refused.of(
                    Reason.APPROVAL_NEEDED,
                    "an approval not used yet",
                    f"{identifier}, used",
                    "ask anew: it counts once",
                )
        place = Place(zone=zone, frozen=self.frozen, fleet="", quorum=self.quorum)
        asked = question(
            caller, find_verb(verb), place, approvals=len(people), target=target, now_ms=now_ms
        )
        decision = self.policy.decide(asked)
        if decision.failure is not None:
            raise Refused([decision.failure])
        if identifier:
            self._spend(identifier, now_ms)
        return GatewayAllowed(decision.policies, self.policy.label, people, identifier)

    def _spend(self, identifier: str, now_ms: int) -> None:
        """Remember an approval until it could not be shown any more, over restarts too."""
        keep = APPROVAL_LIFE_MS + 2 * CLOCK_SLACK_MS
        self._used = {k: v for k, v in self._used.items() if v > now_ms - keep}
        self._used[identifier] = now_ms
        self._keep()

    def _keep(self) -> None:
        if self._folder is None:
            return
        keep_private(
            self._folder / "access.json",
            json.dumps(
                {"version": self._floor[0], "sha256": self._floor[1].hex(), "used": self._used}
            ).encode(),
        )
